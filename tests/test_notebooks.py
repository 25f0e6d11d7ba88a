"""What a notebook shows of each object: short, true, and nothing of a patient."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from other_family import OtherModel
from PIL import Image
from rasterio.transform import from_origin

from longllava_domains import ct, pipelines, remote_sensing
from longllava_domains.answer import Answer
from longllava_domains.evaluate.predictions.pairing import Counts
from longllava_domains.evaluate.result import Result
from longllava_domains.pipelines.pathology.result import SlideAnswer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=500, height=300, count=3, dtype="uint8",
        crs="EPSG:32618", transform=from_origin(500000, 4500000, 0.5, 0.5),
    ) as file:  # fmt: skip
        file.write(np.full((3, 300, 500), 90, np.uint8))
    return path


@pytest.fixture(scope="module")
def shown(scene: Path, ct_reports: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One of each object that a notebook shows; the CT's header has names planted in it."""
    folder = tmp_path_factory.mktemp("series")
    ct_reports.write_series(folder)
    volume = ct.open_volume(folder)
    model = OtherModel()
    raster = remote_sensing.open_raster(scene)
    return {
        "volume": volume,
        "sequence": volume.to_sequence(),
        "report": pipelines.CTReport(model)(volume),
        "raster": raster,
        "scene_answer": pipelines.RemoteSensingQA(model)(scene, "What is this?"),
        "answer": Answer("Yes <script>", ()),
        "slide_answer": SlideAnswer(
            Answer("Yes <script>", ()), volume.to_sequence(), {"Yes <script>": 3}
        ),
        "result": Result("b", "p@1 <script>", {"accuracy": 0.5}, Counts(2, 2, 2)),
        "found": pipelines.RemoteSensingQA(model).find(scene, "ship"),
    }


NAMES = ["volume", "sequence", "report", "raster", "scene_answer", "answer", "found", "slide_answer",
         "result"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_table_and_a_line_without_identifiers(
    name: str, shown: Any, ct_reports: ModuleType
) -> None:
    page, line = shown[name]._repr_html_(), repr(shown[name])
    assert page.startswith("<table>")
    assert "<script>" not in page
    assert len(line) < 400
    for value in ct_reports.PLANTED.values():
        if len(value) > 1:
            assert value not in page
            assert value not in line


@pytest.mark.parametrize(
    "name", ["volume", "sequence", "report", "raster", "scene_answer", "slide_answer"]
)
def test_show_is_a_picture_and_the_table_holds_none(name: str, shown: Any) -> None:
    assert isinstance(shown[name].show(), Image.Image)
    assert "<img" not in shown[name]._repr_html_()


def test_lines_say_what_a_reader_wants_first(shown: Any) -> None:
    assert repr(shown["raster"]) == "Raster(500 x 300 pixels, EPSG:32618, 0.5 m)"
    assert repr(shown["volume"]).startswith("CTVolume(4 slices of ")
    assert repr(shown["found"]) == "SceneDetections(0 x ship, not complete)"
    assert repr(shown["scene_answer"]) == "SceneAnswer('7 views, question 1', 7 views)"
