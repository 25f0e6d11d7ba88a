"""A search tells its plan first, asks in the words of the data set, and accounts for every chip."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import raster_builder
import rasterio
from planted_scenes import HEIGHT, NOTHING, SCENES, SQUARES, WIDTH, Seer, affine_scene
from rasterio.transform import Affine

from longllava_domains.answer import Answer
from longllava_domains.errors import LongLlavaError, ModelError, OutputError, PolicyError
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA
from longllava_domains.pipelines.remote_sensing.saving import require_savable
from longllava_domains.remote_sensing import open_raster


def test_plan_comes_first_and_then_with_the_time(tmp_path, picture) -> None:
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


def test_question_is_that_of_the_data_set(tmp_path, picture) -> None:
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


def test_every_chip_is_accounted_for(tmp_path, picture) -> None:
    path = tmp_path / "scene.tif"
    values = picture.copy()
    values[:, :, :512] = 0
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8", nodata=0,
        crs="EPSG:32631", transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000),
    ) as file:  # fmt: skip
        file.write(values)

    class Mumbler(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
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


def test_boxes_in_the_padding_of_a_small_scene_are_no_objects(tmp_path, picture) -> None:
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 300, "height": 200, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(picture[:, :200, :300])

    class Dreamer(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            return Answer("There are 2 ships: ({<20><20><5><5>|<90>}, {<90><90><5><5>|<90>})")

    found = RemoteSensingQA(Dreamer()).find(path, "ship")
    assert len(found.detections) == 1
    assert found.problems == {"outside_scene": 1}
    assert not found.is_complete


def test_model_errors_after_the_first_chip_are_counted_and_the_first_is_raised(
    tmp_path, picture
) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)

    class Tired(Seer):
        def __init__(self, good: int) -> None:
            super().__init__()
            self.good = good

        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            if len(self.questions) >= self.good:
                raise ModelError("Too tired.", remedy="Rest.", code="model.tired")
            return super().answer(sequence, question)

    found = RemoteSensingQA(Tired(3)).find(path, "ship")
    assert [chip.reason for chip in found.chips][-1] == "model.tired"
    assert found.outcomes["failed"] == 1
    with pytest.raises(ModelError):
        RemoteSensingQA(Tired(0)).find(path, "ship")


def test_resolutions_outside_the_trained_range_are_noticed_or_refused(tmp_path, picture) -> None:
    path = tmp_path / "scene.tif"
    affine_scene(Affine(10, 0, 500_000, 0, -10, 5_400_000), "EPSG:32631")(path, picture)
    found = RemoteSensingQA(Seer()).find(path, "ship")
    assert "Outside the ground resolution the model was trained on." in found.notices
    with pytest.raises(PolicyError, match=r"0\.15 m to 1 m"):
        RemoteSensingQA(Seer(), outside="refuse").find(path, "ship")
    trained = RemoteSensingQA(Seer(), trained_resolution_m=(5, 20), outside="refuse")
    assert "Outside the ground resolution the model was trained on." not in (
        trained.find(path, "ship").notices
    )


@pytest.mark.parametrize(
    "category",
    ["", "  ", "ship<ref>", "a{b}", "ship\nand more", "a\0b", "\x1b[31m", "ship\ud800", "a\u2028b"],
)
def test_things_that_could_not_be_asked_for_are_refused(tmp_path, picture, category) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    with pytest.raises(PolicyError):
        RemoteSensingQA(Seer()).find(path, category)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_a_model_says_every_chip_is_accounted_for(tmp_path, picture, seed) -> None:
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    dice = np.random.default_rng(seed)

    class Babbler(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            letters = list(super().answer(sequence, question).text)
            for at in dice.integers(0, len(letters), 8):
                letters[at] = str(dice.choice(list("{}<>|.,- x9\n☃")))
            return Answer("".join(letters), stopped=str(dice.choice(["end", "length"])))

    found = RemoteSensingQA(Babbler()).find(path, "ship", size_px=300)
    assert sum(found.outcomes.values()) == len(found.chips) == 5 * 3
    assert {chip.reason for chip in found.chips} <= {"found", "nothing", "unreadable"}
    assert sum(chip.boxes for chip in found.chips) >= len(found.detections)
    found.save_geojson(tmp_path / "ships.geojson")
    told = json.loads((tmp_path / "ships.geojson").read_text(encoding="utf-8"))
    assert len(told["features"]) == len(found.detections)


def test_boxes_wholly_on_nodata_are_no_objects(tmp_path, picture) -> None:
    """Family: answers about what the view does not show."""
    path = tmp_path / "scene.tif"
    values = picture.copy()
    values[:, :, :256] = 0
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", nodata=0, **profile) as file:
        file.write(values[:, :512, :512])

    class Dreamer(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            return Answer(
                "There are 3 ships: ({<20><20><5><5>|<90>}, {<50><50><9><9>|<45>}, "
                "{<10><80><0.01><0.01>|<90>})"
            )

    found = RemoteSensingQA(Dreamer()).find(path, "ship")
    assert [d.box.cx for d in found.detections] == [50]  # half of it lies on data
    assert found.problems == {"on_nodata": 2}
    assert not found.is_complete


class Interrupted(Seer):
    """Is stopped by the user at its third chip."""

    def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
        if len(self.questions) == 2:
            raise KeyboardInterrupt
        return super().answer(sequence, question)


def test_a_search_that_was_stopped_goes_on_where_it_was(tmp_path, picture) -> None:
    """Family: work that is lost when a long run ends early."""
    path, kept = tmp_path / "scene.tif", tmp_path / "ships.jsonl"
    SCENES["affine"](path, picture)
    with pytest.raises(KeyboardInterrupt):
        RemoteSensingQA(Interrupted()).find(path, "ship", keep_in=kept)
    assert len(kept.read_text().splitlines()) == 1 + 2
    with kept.open("a") as file:
        file.write('{"view_id": "chip-r188')  # a crash in the middle of a line
    model, plans = Seer(), []
    found = RemoteSensingQA(model).find(path, "ship", keep_in=kept, on_plan=plans.append)
    assert len(model.questions) == 2
    whole = RemoteSensingQA(Seer()).find(path, "ship")
    assert found.detections == whole.detections
    assert [chip.to_json() for chip in found.chips] == [chip.to_json() for chip in whole.chips]
    again = Seer()
    assert RemoteSensingQA(again).find(path, "ship", keep_in=kept).detections == whole.detections
    assert again.questions == []


def test_chips_that_failed_are_asked_again(tmp_path, picture) -> None:
    """Family: work that is lost when a long run ends early; a failure is no answer."""
    path, kept = tmp_path / "scene.tif", tmp_path / "ships.jsonl"
    SCENES["affine"](path, picture)

    class Tired(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            if len(self.questions) == 3:
                raise ModelError("Too tired.", remedy="Rest.", code="model.tired")
            return super().answer(sequence, question)

    first = RemoteSensingQA(Tired()).find(path, "ship", keep_in=kept)
    assert first.outcomes["failed"] == 1
    model = Seer()
    assert RemoteSensingQA(model).find(path, "ship", keep_in=kept).outcomes["failed"] == 0
    assert len(model.questions) == 1


@pytest.mark.parametrize("change", ["thing", "chips", "scene", "dialect", "text"])
def test_answers_of_another_search_are_not_taken_for_its_own(tmp_path, picture, change) -> None:
    """Family: results of one run read as another's."""
    path, kept = tmp_path / "scene.tif", tmp_path / "ships.jsonl"
    SCENES["affine"](path, picture)
    RemoteSensingQA(Seer()).find(path, "ship", keep_in=kept)
    words = {"scene": path, "category": "ship"}
    if change == "thing":
        words["category"] = "dock"
    elif change == "chips":
        words["size_px"] = 300
    elif change == "dialect":
        words["dialect"] = "geochat"
    elif change == "scene":
        SCENES["affine"](path, np.flip(picture, 1))
    else:
        kept.write_text("a shopping list\n")
    before = kept.read_bytes()
    with pytest.raises(OutputError, match="another search"):
        RemoteSensingQA(Seer()).find(keep_in=kept, **words)
    assert kept.read_bytes() == before


def test_one_line_says_how_a_search_ended(tmp_path, picture) -> None:
    """Family: results without what they rest on."""
    path = tmp_path / "scene.tif"
    SCENES["affine"](path, picture)
    found = RemoteSensingQA(Seer()).find(path, "ship")
    assert found.summary() == "6 ships in 4 chips"

    class Mumbler(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            super().answer(sequence, question)
            return Answer("A lovely harbour." if len(self.questions) == 2 else NOTHING)

    assert RemoteSensingQA(Mumbler()).find(path, "ship").summary() == (
        "0 ships in 4 chips, 1 chip unreadable"
    )

    class Hasty(Seer):
        def answer(self, sequence, question, *, max_new_tokens=0) -> Any:
            told = super().answer(sequence, question)
            return replace(told, stopped="length") if len(self.questions) == 2 else told

    cut = RemoteSensingQA(Hasty()).find(path, "ship")
    assert cut.summary() == "6 ships in 4 chips, 1 chip with an answer cut short"
    assert [chip.to_json()["cut_short"] for chip in cut.chips] == [False, True, False, False]


@pytest.mark.parametrize(
    ("hazard", "name", "code"),
    [
        ("no_georeference", "a.geojson", "export.no_georeference"),
        ("no_crs", "a.gpkg", "export.no_georeference"),
        ("mars", "a.geojson", "export.not_earth"),
        ("mars", "a.json", "export.not_earth"),
        ("tiled", "a.shp", "find.out"),
        ("tiled", "missing/a.gpkg", None),
        ("tiled", "old.parquet", None),
    ],
)
def test_what_could_not_be_saved_is_refused_before_the_first_chip(
    tmp_path, hazard, name, code
) -> None:
    """Family: work that is lost when it cannot be written."""
    (tmp_path / "old.footprints.parquet").write_bytes(b"")
    with open_raster(getattr(raster_builder, hazard)(tmp_path / "scene.tif")) as raster:
        with pytest.raises(LongLlavaError) as refused:
            require_savable(raster, tmp_path / name)
        assert code is None or refused.value.code == code
        if hazard == "mars":
            require_savable(raster, tmp_path / "a.gpkg")
