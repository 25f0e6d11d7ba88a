"""Natural mistakes with the Python API end in our errors, before a view is read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from tiny_longllava import count_encoded, tiny_model

from longllava_domains import (
    View,
    VisualSequence,
    ct,
    evaluate,
    load_model,
    pathology,
    pipelines,
    remote_sensing,
)
from longllava_domains.adapters.phantoms import (
    chest_phantom,
    labelled_chest,
    labelled_scene,
    labelled_slide,
    write_nifti,
)
from longllava_domains.adapters.phantoms.scene_files import write_geotiff, write_pyramid
from longllava_domains.errors import LongLlavaError
from longllava_domains.model import inspect_checkpoint
from longllava_domains.vision_language import Monitor, Sampling
from longllava_domains.visual import SlicePlace

MODEL = tiny_model()
CT = pipelines.CTReport(MODEL)
SLIDE_QA = pipelines.PathologyQA(MODEL)
SCENE_QA = pipelines.RemoteSensingQA(MODEL)
VOLUME = ct.open_volume(Path(__file__).parents[2] / "examples/chest_phantom.nii.gz")
FEW = VOLUME.to_sequence(ct.SlicePolicy(max_views=3))


def occluded(sequence: object = FEW, label: object = "Lung nodule", **other: object) -> object:
    """Occlude, with one argument of another kind."""
    return pipelines.occlusion_evidence(MODEL, sequence, label, CT.preset, **{"parts": 2, **other})


MISTAKES: dict[str, Callable[[], object]] = {
    "a volume of an empty path": lambda: ct.open_volume(""),
    "a slab without thickness": lambda: ct.SlicePolicy(slab="mip"),
    "a policy of a text": lambda: ct.SlicePolicy.from_json('{"count": 4}'),
    "progress that is a text": lambda: Monitor(on_progress="bar"),
    "a temperature of words": lambda: Sampling(temperature="hot"),
    "an unknown tiling": lambda: remote_sensing.GridPolicy(protocol="referense"),
    "scores of nothing": lambda: evaluate.score("vqa-rad", None, None, protocol="strict"),
    "a card of a text": lambda: evaluate.save_card("result", "card.html"),
    "a volume of nothing": lambda: ct.open_volume(None),
    "a file descriptor": lambda: ct.open_volume(3),
    "purposes": lambda: ct.open_volume("x", purpose=["chest"]),
    "a series of nothing": lambda: ct.list_series(None),
    "metadata of nothing": lambda: ct.read_ct_rate_metadata(None),
    "an affine of words": lambda: ct.volume_from_array(np.zeros((9, 9, 9)), "eye"),
    "a window that is a number": lambda: ct.SlicePolicy(windows=40),
    "a window of numbers": lambda: ct.SlicePolicy(windows=(40,)),
    "a spacing that is a text": lambda: ct.SlicePolicy(spacing_mm="45"),
    "views by a window": lambda: VOLUME.to_sequence("lung"),
    "a picture by a number": lambda: VOLUME.show(window=40),
    "a report by a window": lambda: CT(VOLUME, policy="lung"),
    "a report told to a text": lambda: CT(VOLUME, on_progress="bar"),
    "an answer drawn by a word": lambda: CT.ask(VOLUME, "What?", sampling="greedy"),
    "no question": lambda: CT.ask(VOLUME, " "),
    "a pipeline of a name": lambda: pipelines.CTReport("demo"),
    "a pipeline of nothing": lambda: pipelines.MedicalVQA(None),
    "a preset's name": lambda: pipelines.CTReport(MODEL, preset="ct-default@1"),
    "a calibration's file": lambda: pipelines.CTReport(MODEL, calibration="calibration.json"),
    "occlusion of a number": lambda: occluded(3),
    "occlusion of an unknown finding": lambda: occluded(label="Nodule"),
    "occlusion in half a part": lambda: occluded(parts=2.5),
    "a slide of nothing": lambda: pathology.open_slide(None),
    "a slide's descriptor": lambda: pathology.open_slide(3),
    "a slide by a protocol": lambda: SLIDE_QA("slide.svs", "What?", policy="joint-lowmag@1"),
    "a closer look by a number": lambda: SLIDE_QA("slide.svs", "What?", zoom=2),
    "one text for questions": lambda: SLIDE_QA.ask("slide.svs", "What?"),
    "half a region": lambda: SLIDE_QA("slide.svs", "What?", regions=[(0, 0)]),
    "tissue by a word": lambda: SLIDE_QA("slide.svs", "What?", tissue="all"),
    "a thing of nothing": lambda: SLIDE_QA.find("slide.svs", None),
    "a resolution by a text": lambda: SLIDE_QA.find("slide.svs", "gland", view_mpp="0.5"),
    "a resolution that is no number": lambda: pathology.TilePolicy(mpp=float("nan")),
    "one date": lambda: remote_sensing.open_dates(None),
    "a scene by a word": lambda: SCENE_QA("scene.tif", "What?", policy="neutral"),
    "a scene's thing of nothing": lambda: SCENE_QA.find("scene.tif", None),
    "tiles by a text": lambda: remote_sensing.GridPolicy(tile_px="336"),
    "views of a number": lambda: View(1, 2),
    "a sequence of a text": lambda: VisualSequence("views"),
    "an adapter that is a number": lambda: load_model("demo", adapter=5),
    "a model of nothing": lambda: load_model(None),
    "a sent document without a goal": lambda: pipelines.send(
        "report.dcm", destination=None, audit="a"
    ),
    "a data set of nothing": lambda: evaluate.load_dataset("vqa-rad", None),
    "a checkpoint of nothing": lambda: inspect_checkpoint(None),
    "a window around no number": lambda: ct.Window("x", float("nan"), 3.0),
    "a protocol that is an array": lambda: pathology.TilePolicy(protocol=np.zeros(2)),
    "draws below none": lambda: pipelines.RunSettings(draws=-1),
    "draws of a word": lambda: pipelines.RunSettings(draws="many"),
    "a limit below one": lambda: pipelines.RunSettings(limit=-3),
    "a phantom of a seed below 0": lambda: labelled_chest(-1),
    "a scene of a word": lambda: labelled_scene("a"),
    "a finding that nobody draws": lambda: labelled_chest(7, findings=("Nodule",)),
    "a file of the wrong phantom": lambda: write_nifti(labelled_chest(7), "x.nii.gz"),
    "a file in no folder": lambda: write_nifti(chest_phantom(), "no/such/x.nii.gz"),
    "a place of words": lambda: SlicePlace("a", "b", "c", 5),
    "a training that goes nowhere": lambda: pipelines.FineTune.from_recipe("own-lora", base="demo")(
        data="mine.jsonl", output=None
    ),
    "one slice in parts": lambda: occluded(VOLUME.to_sequence(ct.SlicePolicy(count=1))),
    "one text about pictures": lambda: pipelines.MedicalVQA(MODEL).ask("figure.png", "What?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_an_error_with_a_remedy(mistake: str, monkeypatch) -> None:
    batches = count_encoded(monkeypatch, MODEL)
    with pytest.raises(LongLlavaError) as refusal:
        MISTAKES[mistake]()
    assert refusal.value.remedy
    assert refusal.value.code not in ("input.missing", "input.unreadable"), "found before the file"
    assert batches == []


def test_an_unknown_finding_is_told_the_nearest() -> None:
    with pytest.raises(LongLlavaError) as refusal:
        occluded(label="Lung nodul")
    assert "Did you mean Lung nodule?" in refusal.value.remedy


def test_views_of_an_open_slide_and_scene_refuse_a_word(tmp_path) -> None:
    path = write_pyramid(labelled_slide(8_000_000), tmp_path / "slide.tif")
    with (
        pathology.open_slide(path) as slide,
        pytest.raises(LongLlavaError, match="policy is a str"),
    ):
        slide.to_sequence("joint-lowmag@1")
    with (
        pathology.open_slide(path) as slide,
        pytest.raises(LongLlavaError, match="read the way 'makr'") as refusal,
    ):
        slide.read(0, 0, 9, 9, mpp=1.0, damaged="makr")
    assert "Did you mean mark?" in refusal.value.remedy
    path = write_geotiff(labelled_scene(8_000_000), tmp_path / "scene.tif")
    with (
        remote_sensing.open_raster(path) as scene,
        pytest.raises(LongLlavaError, match="policy is a str"),
    ):
        scene.to_sequence("neutral")


@pytest.mark.parametrize("compress", ["lzw", "jpeg"])  # the second is decoded in a jail
def test_a_closed_raster_is_not_read(compress: str, tmp_path) -> None:
    path = tmp_path / "scene.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (3, 512, 512), dtype=np.uint8)
    kept = {"width": 512, "height": 512, "count": 3, "dtype": "uint8", "compress": compress}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", tiled=True, **kept) as file:
        file.write(pixels)
    with remote_sensing.open_raster(path) as scene:
        pass
    for look in (
        scene.to_sequence,
        scene.overview,
        lambda: list(scene.views()),
        lambda: [*scene.chips()],
    ):
        with pytest.raises(LongLlavaError, match="The raster is closed"):
            look()


def test_a_raster_refuses_words_for_numbers_and_policies(tmp_path) -> None:
    path = write_geotiff(labelled_scene(8_000_000), tmp_path / "scene.tif")
    with remote_sensing.open_raster(path) as scene:
        with pytest.raises(LongLlavaError, match="The argument policy is a str"):
            scene.plan("neutral")
        with pytest.raises(LongLlavaError, match="The argument area is None"):
            scene.within(None)
        with pytest.raises(LongLlavaError, match="The argument column is a str"):
            scene.pixel_to_lonlat("1", 2)
