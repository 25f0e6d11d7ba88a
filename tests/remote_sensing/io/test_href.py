"""What may be written down of a link."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.provenance import Provenance
from longllava_domains.remote_sensing.io.href import gdal_name, is_remote, recordable


@pytest.mark.parametrize(("href", "kept"), [
    ("https://me:secret@host.org:8080/a/b.tif?sig=secret#secret", "https://host.org:8080/a/b.tif"),
    ("/vsicurl/https://host.org/b.tif?token=secret", "https://host.org/b.tif"),
    ("/vsicurl_streaming/http://u:secret@host.org/b.tif", "http://host.org/b.tif"),
    ("/vsicurl?url=https%3A%2F%2Fhost&header.Authorization=secret", "vsicurl"),
    ("s3://bucket/key/b.tif", "s3://bucket/key/b.tif"),
    ("/vsis3/bucket/key/b.tif?secret", "/vsis3/bucket/key/b.tif"),
    ("/vsizip//vsicurl/https://me:secret@host.org/a.zip/b.tif?sig=secret",
     "/vsizip//vsicurl/https://host.org/a.zip/b.tif"),
    ("/vsizip/{/vsicurl/https://me:secret@host.org/a.zip}/b.tif",
     "/vsizip/%7B/vsicurl/https://host.org/a.zip%7D/b.tif"),
    ("vrt://https://me:secret@host.org/b.tif?bands=1&sig=secret", "https://host.org/b.tif"),
    ("vrt:///home/secret/b.tif?bands=1", "b.tif%3Fbands%3D1"),
    ("https://host.org/a;sig=secret/b.tif;sig=secret", "https://host.org/a/b.tif"),
    ("s3://me:secret@bucket/b.tif", "s3://bucket/b.tif"),
    ("https://[secret/b.tif", "link"),
    ("/home/secret/scenes/harbour.tif", "harbour.tif"),
    ("file:///home/secret/harbour.tif", "harbour.tif"),
    ("relative/har#bour@1.tif", "har%23bour%401.tif"),
])  # fmt: skip
def test_credentials_queries_and_folders_are_left_out(href, kept):
    assert recordable(href) == kept
    assert "secret" not in recordable(href)
    assert Provenance(source_href=recordable(href))["source_href"] == kept


@given(st.text(min_size=1, max_size=60))
def test_whatever_the_name_provenance_takes_what_is_recorded(name):
    for prefix in ("", "/data/", "https://host/"):
        Provenance(source_href=recordable(prefix + name))


def test_remote_is_what_needs_the_network():
    for href in (
        "https://h/x.tif",
        "s3://b/x.tif",
        "/vsicurl/http://h/x.tif",
        "/vsis3/b/x",
        "gs://b/x",
    ):
        assert is_remote(href)
    for href in ("x.tif", "/data/x.tif", "file:///x.tif", "/vsizip/a.zip/x.tif", "C:\\x.tif"):
        assert not is_remote(href)
    assert gdal_name("file:///data/x.tif") == "/data/x.tif"
