"""Scenes and slides show what their questions and boxes say, also once they are files."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from longllava_domains.adapters.phantoms.labelled_scene import (
    OBJECTS,
    labelled_scene,
    scene_split,
)
from longllava_domains.adapters.phantoms.labelled_slide import (
    MPP,
    TISSUES,
    labelled_slide,
    slide_split,
)
from longllava_domains.adapters.phantoms.scene_files import write_geotiff, write_pyramid
from longllava_domains.boxes.text import parse_boxes
from longllava_domains.pathology import open_slide
from longllava_domains.remote_sensing import open_raster

SCENES = [labelled_scene(seed) for seed in range(12)]


def test_questions_of_a_scene_count_its_objects() -> None:
    for scene in SCENES:
        asked = dict(scene.questions())
        counted = Counter(item.name for item in scene.objects)
        for name in OBJECTS:
            assert asked[f"How many {name}s are in this scene?"] == str(counted[name])
            assert asked[f"Is there a {name} in this scene?"] == ("Yes" if counted[name] else "No")


def test_a_detection_answer_reads_back_as_the_boxes_of_the_objects() -> None:
    shown = [(scene, item.name) for scene in SCENES for item in scene.objects]
    assert shown
    for scene, name in shown:
        read = parse_boxes(scene.detection(name), strict=True)
        told = [corner for named in read.boxes for corner in named.box.corners()]
        per_cent = 100 / scene.rgb.shape[0]
        drawn = [
            (x * per_cent, y * per_cent)
            for left, top, right, bottom in (o.box_px for o in scene.objects if o.name == name)
            for x, y in ((right, top), (right, bottom), (left, bottom), (left, top))
        ]
        assert np.array(told) == pytest.approx(np.array(drawn), abs=0.01)
    assert any(one.box_px[2] - one.box_px[0] > 2 * (one.box_px[3] - one.box_px[1])
               for scene, _ in shown for one in scene.objects)  # fmt: skip


def test_a_box_holds_other_colours_than_the_ground_beside_it() -> None:
    scene = next(scene for scene in SCENES if scene.objects)
    left, top, right, bottom = (round(edge) for edge in scene.objects[0].box_px)
    inside = scene.rgb[top:bottom, left:right].astype(float).std((0, 1)).mean()
    empty = labelled_scene(next(s for s in range(100) if not labelled_scene(s).objects)).rgb
    assert inside > empty.astype(float).std((0, 1)).mean()


def test_relations_are_true_of_the_boxes() -> None:
    told = 0
    for scene in SCENES:
        middles = {item.name: (item.box_px[0] + item.box_px[2]) / 2 for item in scene.objects}
        for question, answer in scene.questions():
            if " left of the " in question:
                one, other = question.removeprefix("Is the ").rstrip("?").split(" left of the ")
                assert (answer == "Yes") == (middles[one] < middles[other])
                told += 1
    assert told


def test_mitoses_lie_in_tumour_and_the_whole_question_names_the_largest_tissue() -> None:
    for seed in range(8):
        slide = labelled_slide(seed)
        for x, y in slide.mitoses:
            assert TISSUES[slide.tissue[int(y), int(x)]] == "adenocarcinoma"
        asked = dict(slide.questions()["whole"])
        largest = asked.get("Which tissue covers the largest part of this slide?")
        if largest:
            areas = [(slide.tissue == number).sum() for number in range(len(TISSUES))]
            assert TISSUES[int(np.argmax(areas))] == largest


def test_a_written_scene_and_slide_open_with_place_and_resolution(tmp_path: Path) -> None:
    scene, slide = SCENES[0], labelled_slide(0)
    with open_raster(write_geotiff(scene, tmp_path / "scene.tif")) as raster:
        assert (raster.height, raster.width) == scene.rgb.shape[:2]
        assert raster.resolution_m == pytest.approx(0.5, rel=1e-3)
    with open_slide(write_pyramid(slide, tmp_path / "slide.tiff")) as opened:
        assert opened.mpp == pytest.approx(MPP)
        pixels = opened.read(0, 0, *opened.size, mpp=MPP)
    assert np.array_equal(pixels, slide.rgb)


def test_an_eighth_of_the_seeds_is_held_out() -> None:
    for split in (scene_split, slide_split):
        share = np.mean([split(seed) == "held-out" for seed in range(800)])
        assert 0.08 < share < 0.17
