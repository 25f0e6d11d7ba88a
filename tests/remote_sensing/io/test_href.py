"""What may be written down of a link."""

from urllib.parse import quote

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
    ("/vsizip/{/vsicurl/https://me:secret@host.org/a.zip}/b.tif",
     "https://host.org/a.zip/b.tif"),
    ("vrt://https://me:secret@host.org/b.tif?bands=1&sig=secret", "https://host.org/b.tif"),
    ("https://host.org/a;sig=secret/b.tif;sig=secret", "https://host.org/a/b.tif"),
    ("s3://me:secret@bucket/b.tif", "s3://bucket/b.tif"),
    ("https://[secret/b.tif", "link"),
    ("/home/secret/scenes/harbour.tif", "harbour.tif"),
    ("file:///home/secret/harbour.tif", "harbour.tif"),
    ("relative/har#bour@1.tif", "har%23bour%401.tif"),
    ("zip:///home/secret/scenes.zip!2024/harbour.tif", "scenes.zip/harbour.tif"),
    ("/vsizip//home/secret/scenes.zip/secret/harbour.tif", "scenes.zip/harbour.tif"),
    ("/vsizip/{/home/secret/scenes.zip}/harbour.tif", "scenes.zip/harbour.tif"),
    ("/vsitar/home/secret/scenes.tar.gz/harbour.tif", "scenes.tar.gz/harbour.tif"),
    ("/vsigzip//home/secret/harbour.tif.gz", "harbour.tif.gz"),
    ("vrt:///home/secret/harbour.tif?bands=3,2,1", "harbour.tif"),
    ("vrt:///vsicurl/https://me:secret@host/harbour.tif?bands=1", "https://host/harbour.tif"),
    ("/vsizip//vsicurl/https://me:secret@host/a.zip/b.tif?sig=secret", "https://host/a.zip/b.tif"),
    ("zip+https://me:secret@host/a.zip!b.tif", "https://host/a.zip%21b.tif"),
    ('NETCDF:"/home/secret/sea.nc":sst', "sea.nc:sst"),
    ('HDF5:"/home/secret/sea.h5"://group/sst', "sea.h5:group/sst"),
    ("NETCDF:/home/secret/sea.nc:sst", "sea.nc:sst"),
    ("SENTINEL2_L1C:/vsizip//home/secret/S2.zip/secret.SAFE/MTD.xml:10m:EPSG_32632",
     "S2.zip/MTD.xml:10m:EPSG_32632"),
    ("GTIFF_DIR:2:/home/secret/pages.tif", "pages.tif"),
    ("file:///home/secret/har%20bour.tif", "har%20bour.tif"),
    ("file://localhost/home/secret/a%26b.tif", "a%26b.tif"),
    ("C:\\Users\\secret\\harbour.tif", "harbour.tif"),
])  # fmt: skip
def test_credentials_queries_and_folders_are_left_out(href, kept) -> None:
    """Family: names that GDAL wraps keep what must not be recorded."""
    assert recordable(href) == kept
    assert "secret" not in recordable(href)
    assert Provenance(source_href=recordable(href))["source_href"] == kept


@given(st.text(min_size=1, max_size=60))
def test_whatever_the_name_provenance_takes_what_is_recorded(name) -> None:
    for prefix in ("", "/data/", "https://host/"):
        Provenance(source_href=recordable(prefix + name))


def test_remote_is_what_needs_the_network() -> None:
    for href in (
        "https://h/x.tif",
        "s3://b/x.tif",
        "/vsicurl/http://h/x.tif",
        "/vsis3/b/x",
        "gs://b/x",
        "vrt:///vsicurl/http://h/x.tif?bands=1",
        "/vsizip//vsis3/b/a.zip/x.tif",
        "zip+https://h/a.zip!x.tif",
        'NETCDF:"/vsicurl/https://h/x.nc":sst',
    ):
        assert is_remote(href)
    for href in (
        "x.tif",
        "/data/x.tif",
        "file:///x.tif",
        "/vsizip/a.zip/x.tif",
        "C:\\x.tif",
        "zip:///data/a.zip!x.tif",
        "vrt:///data/x.tif?bands=1",
        'NETCDF:"/data/x.nc":sst',
    ):
        assert not is_remote(href)


@pytest.mark.parametrize("name", ["a&b.tif", "har bour.tif", "100%.tif", "a%26b.tif", "ä.tif"])
def test_file_links_name_any_file(tmp_path, name) -> None:
    """Family: escapes of one notation taken for characters of another."""
    (tmp_path / name).write_bytes(b"")
    assert gdal_name(f"file://{quote(str(tmp_path / name))}") == str(tmp_path / name)
    assert gdal_name(f"file://localhost{tmp_path / name}") == str(tmp_path / name)
