"""Bright squares planted at known places come back on the map, each once."""

import json
import math
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from planted_scenes import HEIGHT, SCENES, SIDE, SQUARES, WIDTH, Seer
from pyproj import Transformer
from rasterio.transform import Affine

from longllava_domains.answer import Answer
from longllava_domains.errors import OutputError
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA
from longllava_domains.remote_sensing import open_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(params=sorted(SCENES))
def scene(request, tmp_path, picture) -> Any:
    path = tmp_path / "scene.tif"
    return path, SCENES[request.param](path, picture)


def centre(feature) -> tuple[float, float]:
    """Return the centre of a feature's outline, longitudes of both sides of 180 brought together."""
    geometry = feature["geometry"]
    polygons = geometry["coordinates"]
    rings = [p[0] for p in polygons] if geometry["type"] == "MultiPolygon" else [polygons[0]]
    points = np.unique([point for ring in rings for point in ring], axis=0)
    points[:, 0] = np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0])
    low, high = points.min(axis=0), points.max(axis=0)
    return tuple((low + high) / 2)


def test_planted_squares_come_back_once_each_within_half_a_pixel(scene, tmp_path) -> None:
    path, to_lonlat = scene
    found = RemoteSensingQA(Seer()).find(path, "ship")
    assert found.outcomes == {"seen": 4, "skipped": 0, "failed": 0}
    assert sum(chip.boxes for chip in found.chips) > len(SQUARES)  # seen twice or four times
    assert found.is_complete
    found.save_geojson(tmp_path / "ships.geojson")
    features = json.loads((tmp_path / "ships.geojson").read_text())["features"]
    assert len(features) == len(SQUARES)
    for column, row in SQUARES:
        lon, lat = to_lonlat(column + SIDE / 2, row + SIDE / 2)
        beside_lon, beside_lat = to_lonlat(column + SIDE / 2 + 0.5, row + SIDE / 2)
        half_pixel = math.dist((lon, lat), (beside_lon, beside_lat))
        nearest = min(math.dist((lon % 360, lat), (x % 360, y)) for x, y in map(centre, features))
        assert nearest < half_pixel


def test_planted_squares_of_a_mosaic_in_two_crss_come_back_once_each(tmp_path) -> None:
    """Two scenes either side of 6 degrees east, each in its own UTM zone, overlapping a little."""
    corners = {"EPSG:32631": (720_500, 5_398_700), "EPSG:32632": (279_440, 5_398_690)}
    planted, paths = [], []
    for name, (left, top) in corners.items():
        values = np.full((3, 500, 500), 60, np.uint8)
        to_lonlat = Transformer.from_crs(name, "OGC:CRS84", always_xy=True).transform
        for column, row in ((160, 100), (300, 210), (430, 420)):
            values[:, row : row + SIDE, column : column + SIDE] = 255
            planted.append(to_lonlat(left + column + SIDE / 2, top - row - SIDE / 2))
        paths.append(tmp_path / f"{name[-5:]}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", width=500, height=500, count=3, dtype="uint8",
            crs=name, transform=Affine(1, 0, left, 0, -1, top), nodata=0,
        ) as file:  # fmt: skip
            file.write(values)
    with open_raster(paths) as mosaic:
        assert mosaic.report.source_kind == "mosaic"
        found = RemoteSensingQA(Seer()).find(mosaic, "ship", size_px=300)
        assert len(found.detections) == len(planted)
        found.save_geojson(tmp_path / "ships.geojson")
        back = [mosaic.georeference.lonlat_to_pixel(*place) for place in planted]
        features = json.loads((tmp_path / "ships.geojson").read_text())["features"]
        told = [mosaic.georeference.lonlat_to_pixel(*centre(feature)) for feature in features]
    for place in back:
        assert min(math.dist(place, other) for other in told) < 0.5


def test_counting_says_when_it_is_not_complete(tmp_path, picture) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    counted = RemoteSensingQA(Seer()).count(path, "ship")
    assert (counted.count, counted.is_complete) == (len(SQUARES), True)

    class Brief(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            text = super().answer(sequence, question).text
            return Answer(f"{text}, and the remaining objects are not listed.")

    brief = RemoteSensingQA(Brief()).count(path, "ship")
    assert (brief.count, brief.is_complete) == (len(SQUARES), False)
    assert brief.to_json()["count_is_complete"] is False


def test_without_a_georeference_pixels_are_given_and_maps_refused(tmp_path, picture) -> None:
    path = tmp_path / "scene.png"
    with rasterio.open(
        path, "w", driver="PNG", width=WIDTH, height=HEIGHT, count=3, dtype="uint8"
    ) as file:
        file.write(picture)
    found = RemoteSensingQA(Seer()).find(path, "ship")
    for save in (found.save_geojson, found.save_geopackage, found.save_geoparquet):
        with pytest.raises(OutputError, match="to_json"):
            save(tmp_path / "out.gpkg")
    with pytest.raises(OutputError, match="to_json"):
        found.save_stac(tmp_path / "out.json")
    told = json.loads(json.dumps(found.to_json()))
    assert told["detections"][0]["ring_map"] is None
    assert told["detections"][0]["corners_pixel"][0] == pytest.approx([52, 60], abs=0.1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.png"]


def test_all_formats_carry_notice_model_and_place(tmp_path, picture) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    found = RemoteSensingQA(Seer()).find(path, "ship")
    found.save_geopackage(tmp_path / "ships.gpkg")
    found.save_geoparquet(tmp_path / "ships.parquet")
    found.save_stac(tmp_path / "ships.json", assets=[tmp_path / "ships.gpkg"])
    for frame in (
        geopandas.read_file(tmp_path / "ships.gpkg", layer="detections"),
        geopandas.read_parquet(tmp_path / "ships.parquet"),
    ):
        assert len(frame) == len(SQUARES)
        assert set(frame["class"]) == {"ship"}
        assert frame["notice"].str.startswith("For research use only.").all()
        assert frame["demo"].all()
        assert set(frame["model"]) == {"scripted"}
        assert frame["prompt_sha256"].str.len().eq(64).all()
        assert frame["score"].isna().all()
        corner = min(frame.geometry.bounds.itertuples(), key=lambda b: b.minx)
        assert corner.minx == pytest.approx(500_000 + 0.5 * 40, abs=0.1)
        assert corner.maxy == pytest.approx(5_400_000 - 0.5 * 60, abs=0.1)
    item = json.loads((tmp_path / "ships.json").read_text())
    assert item["links"] == [{"rel": "derived_from", "href": "scene.tif"}]
    assert item["properties"]["datetime"] == "2024-05-01T00:00:00Z"


def test_scene_question_shows_the_global_view_and_the_grid(tmp_path, picture) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)

    class Describer:
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            return Answer(f"{sequence.layout} of {len(sequence)} for: {question}")

    told = RemoteSensingQA(Describer())(path, "What is this place?")
    assert told.text == "grid of 10 for: What is this place?"
    assert [view.place.role for view in told.sequence][:2] == ["global", "tile"]
    assert told.notices[0].startswith("For research use only.")
    with open_raster(path) as raster:
        again = RemoteSensingQA(Describer())(raster, "What is this place?")
    assert json.dumps(again.to_json()) == json.dumps(told.to_json())


def test_prompt_and_answer_say_where_north_is(tmp_path, picture) -> None:
    """Family: pictures that are not what they look like; a south-up scene is a mirror image."""
    asked = []

    class Describer:
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            asked.append(question)
            return Answer("a harbour")

    for name in ("south-up", "affine"):
        path = tmp_path / f"{name}.tif"
        SCENES[name](path, picture)
        told = RemoteSensingQA(Describer())(path, "What is in the north?")
        assert ("The views are not north up." in told.notices) == (name == "south-up")
    assert asked == [
        "North is at the bottom of the image, east at the right. What is in the north?",
        "What is in the north?",
    ]


def test_two_dates_are_one_question_and_its_answer_lies_on_the_map(tmp_path, picture) -> None:
    """Family: good data refused; before and after are one question."""
    for name in ("before", "after"):
        SCENES["affine"](tmp_path / f"{name}.tif", picture)

    class Comparer:
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            box = "{<50.00><50.00><10.00><10.00>|<90>}"
            return Answer(f"{sequence.layout} {len(sequence)} {question} <ref>ship</ref> {box}")

    pair = [tmp_path / "before.tif", tmp_path / "after.tif"]
    told = RemoteSensingQA(Comparer())(pair, "What changed?")
    assert told.text.startswith("temporal 20 The images come in sets of 2")
    assert "What changed?" in told.text
    (box,) = told.to_json()["boxes"]
    x, y = np.mean(box["ring_map"], axis=0)
    assert (x, y) == pytest.approx((500_000 + 0.5 * WIDTH / 2, 5_400_000 - 0.5 * HEIGHT / 2))
    assert told.shown() == "Shown at 0.5 m per pixel: a global view and 9 tiles of each of 2 dates."
