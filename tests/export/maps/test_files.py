"""Detections become files that GIS programs read: right place, right columns, whole or not at all."""

import hashlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import pyarrow.parquet
import pyogrio
import pyogrio.errors
import pystac
import pytest
import shapely
from map_detections import findings, to_dateline, to_utm

from longllava_domains.boxes import SCORE_KIND, polygon_area
from longllava_domains.errors import OutputError
from longllava_domains.export.maps.geojson import geometry, write_geojson
from longllava_domains.export.maps.geopackage import write_geopackage
from longllava_domains.export.maps.geoparquet import write_geoparquet
from longllava_domains.export.maps.stac import write_stac_item
from longllava_domains.provenance import SCENE_NOTICE, Provenance

COLUMNS = {
    "class", "score", "score_kind", "angle_deg", "resolution_m", "view_id", "datetime", "model",
    "adapter", "prompt_sha256", "demo", "notice",
}  # fmt: skip


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_geojson_is_rfc_7946(tmp_path) -> None:
    write_geojson(tmp_path / "ships.geojson", findings())
    told = read_json(tmp_path / "ships.geojson")
    assert "crs" not in told
    assert told["notice"] == SCENE_NOTICE
    first, second = told["features"]
    assert set(first["properties"]) >= COLUMNS
    assert first["properties"]["score"] == 0.75
    assert first["properties"]["score_kind"] == SCORE_KIND == "token-probability, uncalibrated"
    assert second["properties"]["score"] is None
    for feature in told["features"]:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert polygon_area(ring[:-1]) > 0  # counter-clockwise, east to the right
        assert shapely.geometry.shape(feature["geometry"]).is_valid
    lon, lat = first["geometry"]["coordinates"][0][0]
    assert (round(lon), round(lat)) == (3, 49)
    read = geopandas.read_file(tmp_path / "ships.geojson")
    assert read.crs == "EPSG:4326"
    assert len(read) == 2


def test_footprints_say_what_was_seen_skipped_and_failed(tmp_path) -> None:
    write_geojson(tmp_path / "ships.geojson", findings())
    told = read_json(tmp_path / "ships.footprints.geojson")
    rows = [feature["properties"] for feature in told["features"]]
    assert [row["status"] for row in rows] == ["seen", "skipped", "failed", "seen"]
    assert [row["reason"] for row in rows] == ["found", "nodata", "unreadable", "found"]
    assert [row["problems"] for row in rows] == [0, 0, 2, 0]
    assert [row["incomplete"] for row in rows] == [False, False, False, True]


def test_padding_is_no_part_of_a_footprint(tmp_path) -> None:
    small = findings(size=(300, 700))
    write_geopackage(tmp_path / "a.gpkg", replace(small, chips=small.chips[:1]))
    footprint = geopandas.read_file(tmp_path / "a.gpkg", layer="footprints").geometry[0]
    assert footprint.bounds == (500_000, 5_400_000 - 256, 500_150, 5_400_000)


def test_outlines_are_split_at_the_antimeridian(tmp_path) -> None:
    write_geojson(tmp_path / "a.geojson", findings("EPSG:4326", to_dateline))
    told = read_json(tmp_path / "a.footprints.geojson")["features"]
    crossing = told[0]["geometry"]
    assert crossing["type"] == "MultiPolygon"
    west, east = (polygon[0] for polygon in crossing["coordinates"])
    assert max(lon for lon, _ in west) == 180
    assert min(lon for lon, _ in east) == -180
    area = sum(polygon_area(ring[:-1]) for ring in (west, east))
    assert area == pytest.approx((512 * 1e-5) ** 2, rel=1e-6)
    assert told[1]["geometry"]["type"] == "Polygon"
    assert all(-180 <= lon <= 180 for lon, _ in told[1]["geometry"]["coordinates"][0])


def test_a_ring_beyond_the_pole_is_cut_at_it() -> None:
    told = geometry(((0, 80), (10, 80), (10, 95), (0, 95)))
    assert max(lat for _, lat in told["coordinates"][0]) == 90


def test_features_without_a_place_are_kept_without_geometry(tmp_path) -> None:
    lost = findings(to_map=lambda column, row: (float("inf"), row))
    write_geojson(tmp_path / "a.geojson", lost)
    assert [f["geometry"] for f in read_json(tmp_path / "a.geojson")["features"]] == [None, None]
    write_geopackage(tmp_path / "a.gpkg", lost)
    assert geopandas.read_file(tmp_path / "a.gpkg", layer="detections").geometry.isna().all()


def test_geopackage_holds_both_layers_in_the_scenes_crs(tmp_path) -> None:
    path = tmp_path / "ships.gpkg"
    write_geopackage(path, findings())
    assert set(pyogrio.list_layers(path)[:, 0]) >= {"detections", "footprints"}
    found = geopandas.read_file(path, layer="detections")
    assert found.crs == "EPSG:32631"
    assert set(found.columns) >= COLUMNS
    assert found["angle_deg"].tolist() == [30, 90]
    expected = shapely.Polygon([to_utm(*p) for p in findings().detections[0].corners_pixel()])
    assert found.geometry[0].equals_exact(expected, 1e-6) or found.geometry[0].equals(expected)
    assert found["datetime"].astype(str).str.startswith("2024-05-01").all()
    info = pyogrio.read_info(path, layer="detections")
    assert info["layer_metadata"]["notice"].startswith(SCENE_NOTICE)
    assert json.loads(info["layer_metadata"]["provenance"])["model"] == "org/model"
    status = geopandas.read_file(path, layer="footprints")["status"]
    assert status.tolist() == ["seen", "skipped", "failed", "seen"]


@pytest.mark.filterwarnings("ignore:More than one layer")
def test_the_layer_that_a_reader_takes_unasked_holds_the_detections(tmp_path) -> None:
    path = tmp_path / "ships.gpkg"
    write_geopackage(path, findings())
    assert pyogrio.list_layers(path)[0, 0] == "detections"
    assert geopandas.read_file(path)["class"].tolist() == ["ship", "ship"]


def test_geopackage_brings_its_own_qgis_style(tmp_path) -> None:
    path = tmp_path / "ships.gpkg"
    write_geopackage(path, findings())
    with sqlite3.connect(path) as base:
        rows = base.execute(
            "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
        ).fetchall()
        registered = base.execute(
            "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchall()
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert registered == [("attributes",)]
    styles = {row[0]: row for row in rows}
    assert set(styles) == {"detections", "footprints"}
    for name, column, qml, is_default in styles.values():
        assert (column, is_default) == ("geom", 1)
        renderer = ElementTree.fromstring(qml).find("renderer-v2")  # noqa: S314 - our own
        assert renderer.find("symbols/symbol/layer") is not None, name
    categories = ElementTree.fromstring(styles["footprints"][2]).iter("category")  # noqa: S314
    assert {category.get("value") for category in categories} == {"seen", "skipped", "failed"}


def test_geoparquet_is_1_1_with_a_bounding_box_column(tmp_path) -> None:
    path = tmp_path / "ships.parquet"
    write_geoparquet(path, findings())
    schema = pyarrow.parquet.read_schema(path)
    geo = json.loads(schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["encoding"] == "WKB"
    assert "bbox" in geo["columns"]["geometry"]["covering"]
    read = geopandas.read_parquet(path)
    assert set(read.columns) >= COLUMNS
    assert read.crs == "EPSG:32631"
    assert read.attrs["notice"][0] == SCENE_NOTICE
    near = geopandas.read_parquet(path, bbox=(500_000, 5_399_900, 500_060, 5_400_000))
    assert near["id"].tolist() == [1]
    assert len(geopandas.read_parquet(tmp_path / "ships.footprints.parquet")) == 4


def test_nothing_found_is_a_readable_file_too(tmp_path) -> None:
    empty = replace(findings(), detections=())
    write_geojson(tmp_path / "a.geojson", empty)
    assert read_json(tmp_path / "a.geojson")["features"] == []
    write_geopackage(tmp_path / "a.gpkg", empty)
    read = geopandas.read_file(tmp_path / "a.gpkg", layer="detections")
    assert len(read) == 0
    assert set(read.columns) >= COLUMNS
    write_geoparquet(tmp_path / "a.parquet", empty)
    assert len(geopandas.read_parquet(tmp_path / "a.parquet")) == 0


def test_stac_item_is_derived_from_the_scene(tmp_path) -> None:
    write_geopackage(tmp_path / "ships.gpkg", findings())
    write_stac_item(tmp_path / "ships.json", findings(), assets=[tmp_path / "ships.gpkg"])
    item = pystac.Item.from_file(str(tmp_path / "ships.json"))
    assert item.id == "ships"
    assert item.datetime.isoformat() == "2024-05-01T10:20:30+00:00"
    (link,) = item.get_links("derived_from")
    assert link.href == "https://host/scene.tif"
    asset = item.assets["ships.gpkg"]
    digest = hashlib.sha256((tmp_path / "ships.gpkg").read_bytes()).hexdigest()
    assert asset.extra_fields["file:checksum"] == f"1220{digest}"
    assert asset.href == "ships.gpkg"
    west, south, east, north = item.bbox
    assert shapely.geometry.shape(item.geometry).bounds == pytest.approx((west, south, east, north))
    assert item.properties["longllava:outcomes"] == {"seen": 2, "skipped": 1, "failed": 1}
    assert item.properties["longllava:notice"] == SCENE_NOTICE


def test_stac_bounding_box_of_a_scene_across_the_antimeridian(tmp_path) -> None:
    write_stac_item(tmp_path / "a.json", findings("EPSG:4326", to_dateline))
    west, _, east, _ = read_json(tmp_path / "a.json")["bbox"]
    assert west == pytest.approx(179.999)
    assert east == pytest.approx(-180 + 0.00824)


def test_a_scene_that_was_no_file_is_named_by_its_checksum(tmp_path) -> None:
    found = findings()
    made = {k: v for k, v in found.provenance.items() if k not in ("source_href", "datetime")}
    memory = replace(found, provenance=Provenance(**made, input_sha256="cd" * 32))
    write_stac_item(tmp_path / "a.json", memory)
    item = read_json(tmp_path / "a.json")
    assert item["links"][0]["href"] == f"urn:sha256:{'cd' * 32}"
    assert item["properties"]["datetime"] is None
    assert item["properties"]["longllava:acquired"] == "unknown"


@pytest.mark.parametrize("known", [{}, {"start_datetime": "2024-05-01", "end_datetime": "2024-06-01T12:00:00+02:00"}])  # fmt: skip
def test_a_time_that_no_one_told_is_unknown_and_an_interval_is_kept(tmp_path, known) -> None:
    """Family: what is not known filled in with what is at hand."""
    found = findings()
    made = {k: v for k, v in found.provenance.items() if k != "datetime"}
    write_stac_item(tmp_path / "a.json", replace(found, provenance=Provenance(**made, **known)))
    item = pystac.Item.from_file(str(tmp_path / "a.json"))  # refuses items without any time
    assert item.datetime is None
    end = item.common_metadata.end_datetime.isoformat()
    assert end == ("2024-06-01T10:00:00+00:00" if known else "2026-01-02T03:04:05+00:00")
    assert ("longllava:acquired" in item.properties) != bool(known)


@pytest.mark.parametrize("asset", ["missing.gpkg", "ships.txt"])
def test_assets_must_exist_and_be_known(tmp_path, asset) -> None:
    (tmp_path / "ships.txt").write_text("x")
    with pytest.raises(OutputError):
        write_stac_item(tmp_path / "a.json", findings(), assets=[tmp_path / asset])
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        (write_geojson, "geojson"),
        (write_geopackage, "gpkg"),
        (write_geoparquet, "parquet"),
        (write_stac_item, "json"),
    ],
)
def test_no_file_of_a_scene_speaks_of_a_medical_device(kind, ending, tmp_path) -> None:
    path = tmp_path / f"ships.{ending}"
    kind(path, findings())
    for file in tmp_path.iterdir():
        assert b"research use only" in file.read_bytes()
        assert b"edical device" not in file.read_bytes()
