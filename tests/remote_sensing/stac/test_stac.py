"""STAC items, collections and searches, from files and from a server that speaks HTTP."""

import datetime
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pystac
import pytest
import raster_builder as builder
import rasterio

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.remote_sensing import open_raster, search_stac
from longllava_domains.visual.strips import PixelWindow

NOON = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(name="S2B_31UDQ_20240501") -> Any:
    return pystac.Item(name, {"type": "Point", "coordinates": [3, 48]}, [3, 48, 3, 48], NOON, {})


def asset(href, name=None, common=None, **fields) -> Any:
    bands = {} if name is None else {"eo:bands": [{"name": name, "common_name": common}]}
    return pystac.Asset(href, media_type=TIFF, roles=["data"], extra_fields={**bands, **fields})


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Any:
    """A folder with one item of four single-band files, its visual, and a collection."""
    folder = tmp_path_factory.mktemp("stac")
    data = builder.scene(4, "uint16")
    scene = item()
    for index, (name, common) in enumerate([("B02", "blue"), ("B03", "green"), ("B04", "red")]):
        builder.write(folder / f"{name}.tif", data[index : index + 1], nodata=0)
        scaled = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
        scene.add_asset(name, asset(f"./{name}.tif", name, common, **scaled))
    coarse = builder.scene(1, "uint16", 351, 244)
    builder.write(folder / "B11.tif", coarse, transform=builder.NORTH_UP @ rasterio.Affine.scale(2))
    scene.add_asset("swir", asset("./B11.tif", "B11", "swir16"))
    scene.add_asset(
        "preview", pystac.Asset("./preview.jpg", media_type="image/jpeg", roles=["thumbnail"])
    )
    (folder / "item.json").write_text(json.dumps(scene.to_dict()))
    collection = pystac.Collection(
        "c",
        "d",
        pystac.Extent(
            pystac.SpatialExtent([[3, 48, 4, 49]]), pystac.TemporalExtent([[NOON, None]])
        ),
    )
    document = collection.to_dict()
    document["links"] = [{"rel": "item", "href": "./item.json", "type": "application/geo+json"}]
    (folder / "collection.json").write_text(json.dumps(document))
    return folder


def test_red_green_and_blue_are_found_by_common_name(catalogue) -> None:
    raster = open_raster(catalogue / "item.json")
    seen = raster.source.read(PixelWindow(0, 0, 10, 10)).values
    expected = np.moveaxis(builder.scene(4, "uint16")[[2, 1, 0]], 0, -1)[:10, :10]
    np.testing.assert_array_equal(seen, expected)
    assert raster.rendering.scales == (0.0001,) * 3
    assert raster.rendering.offsets == (-0.1,) * 3
    entries = raster.provenance.to_json()
    assert entries["stac_id"] == "S2B_31UDQ_20240501"
    assert entries["datetime"] == "2024-05-01T12:00:00Z"
    assert entries["source_href"] == "B04.tif B03.tif B02.tif"


def test_a_preset_uses_the_scale_that_stac_gives(catalogue) -> None:
    raster = open_raster(catalogue / "item.json", stretch="sentinel-2")
    assert raster.stretch.low == (0.0,) * 3
    stored = raster.source.read(PixelWindow(100, 100, 1, 1)).values[0, 0]
    expected = np.rint(np.clip((stored * 0.0001 - 0.1) / 0.3558, 0, 1) * 255)
    tiles = raster.to_sequence().views[1:]
    view = next(
        v for v in tiles if 0 <= 100 - v.place.column < 336 and 0 <= 100 - v.place.row < 336
    )
    x, y = int(100 - view.place.column), int(100 - view.place.row)
    np.testing.assert_array_equal(view.pixels[y, x], expected)


def test_bands_of_another_grid_are_brought_to_the_finest(catalogue) -> None:
    raster = open_raster(catalogue / "item.json", bands=("swir16", "B04", "green"))
    assert (raster.width, raster.height) == (builder.WIDTH, builder.HEIGHT)
    assert raster.report.codes["warped"] == 1
    alone = open_raster(catalogue / "item.json", bands="swir")
    assert alone.width == 351


def test_a_visual_asset_is_shown_as_the_provider_made_it(catalogue, raster_file) -> None:
    scene = item()
    scene.add_asset("B04", asset(str(catalogue / "B04.tif"), "B04", "red"))
    scene.add_asset(
        "visual", pystac.Asset(str(raster_file("tiled")), media_type=TIFF, roles=["visual"])
    )
    raster = open_raster(scene)
    assert raster.stretch.name == "none"
    assert raster.width == builder.WIDTH


def test_one_file_with_all_bands_is_opened_once(raster_file) -> None:
    bands = [
        {"name": f"B{i}", "common_name": c} for i, c in enumerate(["blue", "green", "red", "nir"])
    ]
    scene = item()
    scene.add_asset("data", pystac.Asset(str(raster_file("strips_sixteen_rows")), media_type=TIFF,
                                         extra_fields={"eo:bands": bands}))  # fmt: skip
    raster = open_raster(scene)
    assert raster.source.numbers == (3, 2, 1)
    assert open_raster(scene, bands="nir").source.numbers == (4,)
    assert open_raster(scene, bands=(1, 2, 4)).source.numbers == (1, 2, 4)
    assert open_raster(scene, bands="sentinel-2").source.numbers == (3, 2, 1)


def test_stac_1_1_bands_are_understood(raster_file) -> None:
    document = item().to_dict()
    document["assets"] = {"data": {"href": str(raster_file("strips_sixteen_rows")), "type": TIFF, "bands": [
        {"name": "b1", "eo:common_name": "blue"}, {"name": "b2", "eo:common_name": "green"},
        {"name": "b3", "eo:common_name": "red"}, {"name": "b4", "eo:common_name": "nir"}]}}  # fmt: skip
    assert open_raster(document).source.numbers == (3, 2, 1)


def test_a_collection_is_a_mosaic_of_its_items(catalogue) -> None:
    raster = open_raster(catalogue / "collection.json")
    assert raster.origin.stac_id == "S2B_31UDQ_20240501"
    both = open_raster([catalogue / "item.json", catalogue / "item.json"])
    assert (both.width, both.report.source_kind) == (raster.width, "mosaic")


def test_an_item_list_is_a_mosaic(catalogue) -> None:
    features = [json.loads((catalogue / "item.json").read_text())] * 2
    for feature in features:
        for entry in feature["assets"].values():
            entry["href"] = str(catalogue / entry["href"])
    document = {"type": "FeatureCollection", "features": features}
    for source in (document, pystac.ItemCollection.from_dict(document)):
        assert open_raster(source).width == builder.WIDTH


class Handler(SimpleHTTPRequestHandler):
    """A STAC API of two items; files are served only with a valid signature."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        root = f"http://127.0.0.1:{self.server.server_port}"
        if path == "/api":
            self.answer({"type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "d",
                         "conformsTo": ["https://api.stacspec.org/v1.0.0/core",
                                        "https://api.stacspec.org/v1.0.0/item-search"],
                         "links": [{"rel": "search", "href": f"{root}/search", "method": "POST",
                                    "type": "application/geo+json"},
                                   {"rel": "self", "href": f"{root}/api"},
                                   {"rel": "root", "href": f"{root}/api"}]})  # fmt: skip
        elif path == "/search":
            scene = json.loads((self.server.folder / "item.json").read_text())
            for entry in scene["assets"].values():
                entry["href"] = f"{root}/{entry['href'].removeprefix('./')}"
            found = [] if "collections=none" in query else [scene]
            self.answer({"type": "FeatureCollection", "features": found, "links": []})
        elif path.endswith(".tif") and "sig=secret" not in query:
            self.send_error(403)
        else:
            self.ranged(self.server.folder / path.lstrip("/"))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.path = "/search?collections=none" if '"none"' in asked else "/search"
        self.do_GET()

    def answer(self, document) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def ranged(self, path) -> None:
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = self.headers.get("Range")
        first, last = 0, len(data) - 1
        if asked:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[first : last + 1])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def server(catalogue) -> Any:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.folder = catalogue
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def sign(page) -> None:
    """Sign the links of one page of results in place, as providers' own signers do."""
    for feature in page.get("features", []) if isinstance(page, dict) else []:
        for entry in feature["assets"].values():
            entry["href"] += "?sig=secret"


def test_a_search_finds_signed_items_and_nothing_records_the_signature(server) -> None:
    items = search_stac(f"{server}/api", modifier=sign, collections=["c"], bbox=[2, 47, 4, 49])
    raster = open_raster(items)
    assert raster.width == builder.WIDTH
    sequence = raster.to_sequence()
    written = json.dumps(sequence.provenance.to_json()) + json.dumps(
        [v.place.to_json() for v in sequence]
    )
    assert "secret" not in written
    assert sequence.provenance["source_href"].startswith(f"{server}/B04.tif ")
    assert "input_sha256" not in sequence.provenance


def test_an_unsigned_file_and_an_absent_one_are_refused_without_their_links(server) -> None:
    for link in (
        f"{server}/B04.tif",
        f"{server}/gone.tif?sig=secret",
        "http://127.0.0.1:9/x.tif?sig=secret",
    ):
        with pytest.raises(NetworkError) as caught:
            open_raster(link)
        assert "secret" not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)


def test_a_remote_item_is_read_where_it_lies(server) -> None:
    with pytest.raises(NetworkError):  # its files need a signature
        open_raster(f"{server}/item.json")
    with pytest.raises(NetworkError):
        open_raster(f"{server}/nothing.json")
    with pytest.raises(NetworkError):
        open_raster("http://127.0.0.1:9/collections/c/items/i")


def test_searches_that_cannot_be_followed_are_named(server) -> None:
    with pytest.raises(NotFoundError, match="no items"):
        search_stac(f"{server}/api", collections=["none"])
    with pytest.raises(NetworkError):
        search_stac("http://127.0.0.1:9/api", collections=["c"])
    with pytest.raises(PolicyError, match="search"):
        search_stac(f"{server}/api", bbox="everywhere")


def test_what_is_not_stac_is_refused(tmp_path) -> None:
    cases = {"{": DamagedInputError, "[]": DamagedInputError, '{"type": "Feature"}': DamagedInputError,
             '{"a": 1}': DamagedInputError, '{"type": "FeatureCollection", "features": []}': NotFoundError,
             "\xff": DamagedInputError}  # fmt: skip
    for text, expected in cases.items():
        path = tmp_path / "x.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(expected):
            open_raster(path)
    with pytest.raises(NotFoundError):
        open_raster(tmp_path / "absent.json")
    with pytest.raises(UnsupportedInputError):
        open_raster("s3://bucket/item.json")


def test_items_that_do_not_say_what_to_show_are_refused(catalogue) -> None:
    scene = item()
    with pytest.raises(AmbiguousInputError, match="0 files"):
        open_raster(scene)
    for name in ("B02", "B03"):
        scene.add_asset(name, asset(str(catalogue / f"{name}.tif")))
    with pytest.raises(AmbiguousInputError, match="2 files"):
        open_raster(scene)
    with pytest.raises(PolicyError, match="asked for"):
        open_raster(scene, bands=("B02", "B03", "B99"))
    scene.assets["B02"].href = "relative.tif"
    with pytest.raises(LongLlavaError):
        open_raster(scene, bands="B02")


def test_ids_that_are_no_identifiers_are_hashed(raster_file) -> None:
    scene = item("a scene of Mrs Smith")
    scene.add_asset("data", asset(str(raster_file("tiled"))))
    assert open_raster(scene).provenance["stac_id"].isalnum()
