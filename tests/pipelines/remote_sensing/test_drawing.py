"""Detections are drawn where they lie on the scene, and a STAC item links what was saved beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
import raster_builder
from PIL import Image
from planted_scenes import HEIGHT, SCENES, SIDE, SQUARES, WIDTH, Seer, picture

from longllava_domains.answer import Answer
from longllava_domains.errors import OutputError, PolicyError
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA
from longllava_domains.pipelines.remote_sensing.saving import require_savable, save_all
from longllava_domains.remote_sensing import open_raster

YELLOW, RED = (255, 221, 51), (255, 92, 92)


def of_colour(image: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels that have a colour, in the part that shows the scene."""
    return np.argwhere((np.asarray(image)[:HEIGHT] == colour).all(axis=-1))


def test_every_detection_is_outlined_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture())
    with open_raster(path) as scene:
        found = RemoteSensingQA(Seer()).find(scene, "ship")
        drawing = found.draw(scene)
    with pytest.raises(PolicyError, match="not open"):
        found.draw(str(path))
    assert drawing.size[0] == WIDTH
    marked = of_colour(drawing, YELLOW)
    for column, row in SQUARES:
        centre = (row + SIDE / 2, column + SIDE / 2)
        distance = np.abs(marked - centre).max(axis=1)
        assert (distance < SIDE).any()
        assert distance.min() >= SIDE / 2 - 2  # the object itself stays visible
    assert len(of_colour(drawing, RED)) == 0


def test_what_was_not_read_is_drawn_as_such(tmp_path: Path) -> None:
    class Mumbler:
        def answer(self, sequence, question, *, max_new_tokens=0) -> Answer:
            return Answer("A lovely harbour.")

    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture())
    with open_raster(path) as scene:
        drawing = RemoteSensingQA(Mumbler()).find(scene, "ship").draw(scene)
    assert len(of_colour(drawing, RED)) > 2 * WIDTH
    assert len(of_colour(drawing, YELLOW)) == 0


def test_a_scene_without_a_place_on_earth_is_drawn_too(tmp_path: Path) -> None:
    path = raster_builder.write(tmp_path / "plain.tif", picture(), crs=None, transform=None)
    with open_raster(path) as scene:
        require_savable(scene, tmp_path / "ships.png")
        found = RemoteSensingQA(Seer()).find(scene, "ship")
        save_all(found, [tmp_path / "ships.png"], scene)
    with Image.open(tmp_path / "ships.png") as drawing:
        assert len(of_colour(drawing.convert("RGB"), YELLOW)) > 0


def test_a_stac_item_links_what_was_saved_in_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture())
    names = ["ships.json", "ships.geojson", "ships.PNG"]
    with open_raster(path) as scene:
        found = RemoteSensingQA(Seer()).find(scene, "ship")
        written = save_all(found, [tmp_path / name for name in names], scene)
    assets = json.loads((tmp_path / "ships.json").read_text())["assets"]
    assert set(assets) == {"ships.geojson", "ships.footprints.geojson", "ships.PNG"}
    assert assets["ships.PNG"]["type"] == "image/png"
    assert {file.name for file in written} == {*assets, "ships.json"}
    assert all(file.exists() for file in written)


@pytest.mark.parametrize(
    "names", [["a.gpkg", "a.gpkg"], ["a.geojson", "a.footprints.geojson"], ["a.png", "./a.png"]]
)
def test_two_outputs_that_are_one_file_are_refused_before_the_work(
    names: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture())
    with open_raster(path) as scene, pytest.raises(OutputError) as refused:
        require_savable(scene, *(tmp_path / name for name in names))
    assert refused.value.code == "find.same_out"
