"""STAC documents that lead to files of this machine, never end, or are not what they say."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import counting_server
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import InputError, LongLlavaError
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.stac import read


def item(href: str, **more: Any) -> dict[str, Any]:
    asset = {"href": href, "type": "image/tiff", "roles": ["data"]}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "a", "bbox": [3, 48, 3, 48],
        "geometry": {"type": "Point", "coordinates": [3, 48]}, "links": [],
        "properties": {"datetime": "2024-05-01T12:00:00Z"}, "assets": {"data": asset}, **more,
    }  # fmt: skip


def sending(document: object) -> counting_server.Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps(document).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    "href",
    ["/etc/hostname", "file:///etc/hostname", "/vsizip//etc/a.zip/a.tif", "vrt:///etc/a.tif"],
)
@pytest.mark.parametrize("collected", [False, True])
def test_a_remote_item_opens_no_local_file(href: str, collected: bool) -> None:
    document: dict[str, Any] = item(href, links=[{"rel": "self", "href": "/data/item.json"}])
    if collected:
        document = {"type": "FeatureCollection", "features": [document]}
    with counting_server.serving(sending(document)) as (root, _):
        with pytest.raises(LongLlavaError) as refused:
            open_raster(f"{root}/item.json")
        # A bare path stands for one on the server, which has no such file.
        on_server = href.startswith("/etc") and not collected
        expected = "raster.unreachable" if on_server else "raster.stac_local"
        assert refused.value.code == expected


def test_a_remote_catalogue_leads_to_no_local_document(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps(item("/etc/hostname")))
    catalogue = {
        "type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "d",
        "links": [{"rel": "item", "href": str(tmp_path / "item.json")}],
    }  # fmt: skip
    with counting_server.serving(sending(catalogue)) as (root, _), pytest.raises(LongLlavaError):
        open_raster(f"{root}/catalog.json")


@pytest.mark.parametrize("answer", ["never_end", "drip", "drip_headers"])
def test_answers_that_do_not_end_are_given_up(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_TIMEOUT_S", 0.5)
    with (
        counting_server.serving(getattr(counting_server, answer)) as (root, _),
        pytest.raises(LongLlavaError) as refused,
    ):
        open_raster(f"{root}/item.json")
    assert refused.value.code in ("network.too_long", "raster.unreachable")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
PLACES = st.sampled_from(
    [
        "assets",
        "properties",
        "links",
        "bbox",
        "geometry",
        "id",
        "stac_version",
        "type",
        "collection",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(PLACES, ODD, min_size=1, max_size=3), st.data())
def test_an_odd_item_is_refused_in_our_words(changes: dict[str, Any], data: st.DataObject) -> None:
    document = item("absent.tif", **changes)
    if isinstance(document["assets"], dict) and "data" in document["assets"]:
        field = data.draw(st.sampled_from(["href", "type", "roles", "bands", "raster:bands"]))
        document["assets"]["data"][field] = data.draw(ODD)
    with pytest.raises(LongLlavaError):
        open_raster(document)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 5000, "{}", "[]", "3", "\0", '{"type":[]}']
)
def test_json_that_is_no_stac_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError):
        open_raster(tmp_path / "a.json")
