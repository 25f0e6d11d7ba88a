"""Bright squares planted at known places come back on the map, each once."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine

from longllava_domains.answer import Answer
from longllava_domains.boxes import Box, Dialect, enclosing_box, write_boxes
from longllava_domains.errors import ModelError, OutputError, PolicyError
from longllava_domains.pipelines.remote_sensing_qa import RemoteSensingQA
from longllava_domains.provenance import Provenance
from longllava_domains.remote_sensing import open_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SIDE = 12
NOTHING = "I'm sorry, I cannot answer as the given image does not contain any given objects."
# Pixel corners of planted squares: alone, in the overlap of two chips, of four, at an edge.
SQUARES = [(40, 60), (445, 200), (500, 450), (900, 640), (460, 640), (230, 455)]
WIDTH, HEIGHT = 924, 700


class Seer:
    """Boxes every bright square it sees, as a perfect model would."""

    def __init__(self, dialect: Dialect = "fit-rs") -> None:
        self.dialect = dialect
        self.questions: list[str] = []

    def answer(self, sequence, question, *, max_new_tokens=0) -> Answer:
        self.questions.append(question)
        self.most_tokens = max_new_tokens
        (view,) = sequence
        found = bright_boxes(view.pixels)
        text = NOTHING
        if found:
            text = f"There are {len(found)} ships in the image: " + write_boxes(
                found, dialect=self.dialect
            )
        made = Provenance(model="scripted", demo=True, datetime="2024-05-01")
        return Answer(text, provenance=made)


def bright_boxes(pixels) -> list[Box]:
    """Return the smallest box around each bright patch, per cent of the view."""
    bright = pixels[..., 0] > 200
    scale = 100 / len(pixels)
    found = []
    while bright.any():
        patch, frontier = [], [tuple(np.argwhere(bright)[0])]
        while frontier:
            row, column = frontier.pop()
            if not bright[row, column]:
                continue
            bright[row, column] = False
            patch += [(x, y) for x in (column, column + 1) for y in (row, row + 1)]
            around = ((row, column + 1), (row + 1, column), (row, column - 1), (row - 1, column))
            inside = ((y, x) for y, x in around if 0 <= y < len(bright) and 0 <= x < len(bright))
            frontier += [place for place in inside if bright[place]]
        hull = shapely.MultiPoint(patch).convex_hull.exterior.coords[:-1]
        found.append(enclosing_box([(x * scale, y * scale) for x, y in hull]))
    return found


@pytest.fixture(scope="module")
def picture():
    values = np.random.default_rng(7).integers(20, 90, (3, HEIGHT, WIDTH), np.uint8)
    for column, row in SQUARES:
        values[:, row : row + SIDE, column : column + SIDE] = 255
    return values


def affine_scene(transform: Affine, crs: str) -> Callable[[Path, np.ndarray], Callable]:
    def write(path, values):
        with rasterio.open(
            path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8",
            crs=crs, transform=transform,
        ) as file:  # fmt: skip
            file.write(values)
        to_lonlat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform
        a, b, c, d, e, f = transform[:6]
        return lambda x, y: to_lonlat(a * x + b * y + c, d * x + e * y + f)

    return write


def control_point_scene(path, values):
    """Twenty points on a gently bent sheet over Lake Geneva, in degrees."""

    def lonlat(column, row):
        bend = 1e-9 * (column - WIDTH / 2) * (row - HEIGHT / 2)
        return 6.5 + 9e-6 * column + 1e-6 * row + bend, 46.4 - 6e-6 * row + 1e-6 * column + bend

    points = [
        GroundControlPoint(row, column, *lonlat(column, row))
        for column in np.linspace(0, WIDTH, 5)
        for row in np.linspace(0, HEIGHT, 4)
    ]
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8",
    ) as file:  # fmt: skip
        file.gcps = (points, CRS.from_epsg(4326))
        file.write(values)
    return lonlat


SCENES = {
    "affine": affine_scene(Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), "EPSG:32631"),
    "rotated": affine_scene(Affine(0.4, 0.3, 360_000, 0.3, -0.4, 4_000_000), "EPSG:32618"),
    "south-up": affine_scene(Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000), "EPSG:32631"),
    "antimeridian": affine_scene(Affine(0.5, 0, 736_150, 0, -0.5, 5_000_000), "EPSG:32660"),
    "control points": control_point_scene,
}


@pytest.fixture(params=sorted(SCENES))
def scene(request, tmp_path, picture):
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


def test_planted_squares_come_back_once_each_within_half_a_pixel(scene, tmp_path):
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


def test_planted_squares_of_a_mosaic_in_two_crss_come_back_once_each(tmp_path):
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


def test_plan_comes_first_and_then_with_the_time(tmp_path, picture):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    model = Seer()
    plans, steps = [], []
    RemoteSensingQA(model).find(
        path,
        "ship",
        size_px=300,
        overlap_px=50,
        on_plan=lambda plan: plans.append((len(model.questions), plan)),
        on_progress=lambda *step: steps.append(step),
    )
    assert [asked for asked, _ in plans] == [0, 1]
    assert plans[0][1].chips == 4 * 3
    assert plans[0][1].expected_s is None
    assert plans[1][1].expected_s > 0
    assert "12 chips of 300 px" in str(plans[1][1])
    assert steps[-1] == ("find", 12, 12)


def test_question_is_that_of_the_data_set(tmp_path, picture):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    model = Seer("geochat")
    found = RemoteSensingQA(model).find(path, "storage tank", dialect="geochat", size_px=200)
    assert set(model.questions) == {"[refer] give me the location of <p> storage tanks </p>"}
    assert len(found.detections) == len(SQUARES)
    assert model.most_tokens == 768
    RemoteSensingQA(model).find(path, "ship", max_new_tokens=99)
    assert model.most_tokens == 99
    assert model.questions[-1].startswith("[detection]Detect all the ships in the image")


def test_every_chip_is_accounted_for(tmp_path, picture):
    path = tmp_path / "scene.tif"
    values = picture.copy()
    values[:, :, :512] = 0
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8", nodata=0,
        crs="EPSG:32631", transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000),
    ) as file:  # fmt: skip
        file.write(values)

    class Mumbler(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0):
            super().answer(sequence, question)
            texts = ["({<50.00><50.00><9.00><9.00>|<90>}, {<1><2>|<3>}", "A lovely harbour."]
            return Answer(texts[len(self.questions) - 1], stopped="length")

    found = RemoteSensingQA(Mumbler()).find(path, "ship")
    assert found.outcomes == {"seen": 1, "skipped": 2, "failed": 1}
    assert [chip.reason for chip in found.chips] == ["nodata", "found", "nodata", "unreadable"]
    assert found.problems == {"number_count": 1}
    assert not found.is_complete
    assert found.provenance["left_out"] == {"nodata": 2}
    assert found.provenance["views"] == 2


def test_model_errors_after_the_first_chip_are_counted_and_the_first_is_raised(tmp_path, picture):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)

    class Tired(Seer):
        def __init__(self, good: int) -> None:
            super().__init__()
            self.good = good

        def answer(self, sequence, question, *, max_new_tokens=0):
            if len(self.questions) >= self.good:
                raise ModelError("Too tired.", remedy="Rest.", code="model.tired")
            return super().answer(sequence, question)

    found = RemoteSensingQA(Tired(3)).find(path, "ship")
    assert [chip.reason for chip in found.chips][-1] == "model.tired"
    assert found.outcomes["failed"] == 1
    with pytest.raises(ModelError):
        RemoteSensingQA(Tired(0)).find(path, "ship")


def test_counting_says_when_it_is_not_complete(tmp_path, picture):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    counted = RemoteSensingQA(Seer()).count(path, "ship")
    assert (counted.count, counted.is_complete) == (len(SQUARES), True)

    class Brief(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0):
            text = super().answer(sequence, question).text
            return Answer(f"{text}, and the remaining objects are not listed.")

    brief = RemoteSensingQA(Brief()).count(path, "ship")
    assert (brief.count, brief.is_complete) == (len(SQUARES), False)
    assert brief.to_json()["count_is_complete"] is False


def test_resolutions_outside_the_trained_range_are_noticed_or_refused(tmp_path, picture):
    path = tmp_path / "scene.tif"
    affine_scene(Affine(10, 0, 500_000, 0, -10, 5_400_000), "EPSG:32631")(path, picture)
    found = RemoteSensingQA(Seer()).find(path, "ship")
    assert "Outside the ground resolution the model was trained on." in found.notices
    with pytest.raises(PolicyError, match=r"0\.15 m to 1 m"):
        RemoteSensingQA(Seer(), outside="refuse").find(path, "ship")
    trained = RemoteSensingQA(Seer(), trained_resolution_m=(5, 20), outside="refuse")
    assert len(trained.find(path, "ship").notices) == 1


def test_without_a_georeference_pixels_are_given_and_maps_refused(tmp_path, picture):
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


@pytest.mark.parametrize("thing", ["", "  ", "ship<ref>", "a{b}", "ship\nand more"])
def test_things_that_could_not_be_asked_for_are_refused(tmp_path, picture, thing):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    with pytest.raises(PolicyError):
        RemoteSensingQA(Seer()).find(path, thing)


def test_all_formats_carry_notice_model_and_place(tmp_path, picture):
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


def test_scene_question_shows_the_global_view_and_the_grid(tmp_path, picture):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)

    class Describer:
        def answer(self, sequence, question, *, max_new_tokens=0):
            return Answer(f"{sequence.layout} of {len(sequence)} for: {question}")

    told = RemoteSensingQA(Describer())(path, "What is this place?")
    assert told.text == "grid of 10 for: What is this place?"
    assert [view.place.role for view in told.sequence][:2] == ["global", "tile"]
    assert told.notices[0].startswith("For research use only.")
    with open_raster(path) as raster:
        again = RemoteSensingQA(Describer())(raster, "What is this place?")
    assert json.dumps(again.to_json()) == json.dumps(told.to_json())


@pytest.mark.parametrize("seed", range(10))
def test_whatever_a_model_says_every_chip_is_accounted_for(tmp_path, picture, seed):
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    dice = np.random.default_rng(seed)

    class Babbler(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0):
            letters = list(super().answer(sequence, question).text)
            for at in dice.integers(0, len(letters), 8):
                letters[at] = str(dice.choice(list("{}<>|.,- x9\n☃")))
            return Answer("".join(letters), stopped=str(dice.choice(["end", "length"])))

    found = RemoteSensingQA(Babbler()).find(path, "ship", size_px=300)
    assert sum(found.outcomes.values()) == len(found.chips) == 5 * 4
    assert {chip.reason for chip in found.chips} <= {"found", "nothing", "unreadable"}
    assert sum(chip.boxes for chip in found.chips) >= len(found.detections)
    found.save_geojson(tmp_path / "ships.geojson")
    told = json.loads((tmp_path / "ships.geojson").read_text(encoding="utf-8"))
    assert len(told["features"]) == len(found.detections)
