"""What does not fit in memory is refused before the model runs, with a setting that does fit."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from longllava_domains import ct
from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model import LongLlava, load_model
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.pipelines import CTReport, RemoteSensingQA
from longllava_domains.pipelines.cli.main import run
from longllava_domains.remote_sensing import GridPolicy

ROOT = Path(__file__).parents[2]
PHANTOM = ROOT / "examples/chest_phantom"
SHOWN = ct.SlicePolicy(windows=("lung", "mediastinum"), count=12, view_px=56)
MB = 10**6


@pytest.fixture(scope="module")
def model() -> LongLlava:
    return load_model("demo", dtype="float32")


@pytest.fixture
def free(monkeypatch) -> Any:
    """Return a setter of the memory that is free, bytes."""

    def leave(size: float) -> None:
        monkeypatch.setattr("longllava_domains.model.budget.fit.free_bytes", lambda _: size)

    return leave


@pytest.fixture
def idle(monkeypatch) -> list[str]:
    """Note whenever the tower runs."""
    ran: list[str] = []
    encode = LongLlavaForConditionalGeneration.encode_images

    def watched(self, pixels) -> Any:
        ran.append("tower")
        return encode(self, pixels)

    monkeypatch.setattr(LongLlavaForConditionalGeneration, "encode_images", watched)
    return ran


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (3, 1400, 1400), np.uint8)
    profile = {"driver": "GTiff", "width": 1400, "height": 1400, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        path, "w", crs="EPSG:32631", transform=rasterio.Affine(1, 0, 5e5, 0, -1, 5e6), **profile
    ) as dataset:
        dataset.write(pixels)
    return path


def test_a_report_that_does_not_fit_names_the_slice_spacing_that_does(model, free, idle) -> None:
    free(1.95 * MB)
    with pytest.raises(MemoryBudgetError) as caught:
        CTReport(model)(PHANTOM, policy=SHOWN, max_new_tokens=2)
    assert idle == []
    facts = caught.value.facts
    assert facts["needed_bytes"] > facts["available_bytes"] == 1.95 * MB
    assert 2 <= facts["largest_views"] < 40
    assert f"SlicePolicy(spacing_mm={facts['slice_spacing_mm']:g}, max_views=" in str(caught.value)
    fitting = ct.SlicePolicy(
        windows=SHOWN.windows, spacing_mm=facts["slice_spacing_mm"], view_px=SHOWN.view_px
    )
    told = CTReport(model)(PHANTOM, policy=fitting, max_new_tokens=2)
    assert 2 <= len(told.sequence) <= facts["largest_views"]
    assert idle


def test_a_question_of_a_ct_is_refused_alike(model, free, idle) -> None:
    free(1.95 * MB)
    with pytest.raises(MemoryBudgetError, match="--every-mm"):
        CTReport(model).ask(PHANTOM, "What is this?", policy=SHOWN)
    assert idle == []


def test_a_scene_that_does_not_fit_names_the_token_budget_that_does(
    model, free, idle, scene
) -> None:
    free(1.5 * MB)
    with pytest.raises(MemoryBudgetError) as caught:
        RemoteSensingQA(model)(scene, "What is this?", max_new_tokens=2)
    assert idle == []
    most = caught.value.facts["grid_max_tokens"]
    assert f"max_tokens={most}" in caught.value.remedy
    told = RemoteSensingQA(model)(
        scene, "What is this?", policy=GridPolicy(max_tokens=most), max_new_tokens=2
    )
    assert 2 <= len(told.sequence) <= caught.value.facts["largest_views"]


def test_a_chip_that_does_not_fit_ends_the_search_at_once(model, free, idle, scene) -> None:
    free(0.5 * MB)
    with pytest.raises(MemoryBudgetError, match="int8") as caught:
        RemoteSensingQA(model).find(scene, "ship")
    assert caught.value.facts["largest_views"] == 0
    assert idle == []


def test_smaller_steps_are_taken_before_anything_is_refused(model, free) -> None:
    """The same text, from less memory: results do not depend on the size of steps."""
    at_ease = CTReport(model).ask(PHANTOM, "What is this?", policy=SHOWN, max_new_tokens=4)
    free(2.5 * MB)
    in_little = CTReport(model).ask(PHANTOM, "What is this?", policy=SHOWN, max_new_tokens=4)
    assert in_little.text == at_ease.text
    assert in_little.provenance["chunk_tokens"] < at_ease.provenance["chunk_tokens"] == 512
    assert in_little.provenance["out_of_memory_retries"] == 0


def test_the_command_line_refuses_with_a_setting_that_it_then_accepts(
    free, capfd, tmp_path: Path
) -> None:
    free(2.5 * MB)
    arguments = ["report", str(PHANTOM), "--model", "demo", "--dtype", "float32"]
    arguments += ["--max-new-tokens", "2"]
    assert run(arguments) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "2.4 MiB are there" in said.err
    setting = re.search(r"--every-mm [0-9.]+", said.err)
    assert setting is not None
    assert run([*arguments, *setting[0].split()]) == 0
    assert "research use only" in capfd.readouterr().out


def test_the_command_line_shows_a_scene_in_the_tokens_it_named(free, capfd, scene: Path) -> None:
    free(1.5 * MB)
    arguments = ["ask", str(scene), "What is this?", "--model", "demo", "--dtype", "float32"]
    arguments += ["--max-new-tokens", "2"]
    assert run(arguments) == 2
    setting = re.search(r"--max-tokens [0-9]+", capfd.readouterr().err)
    assert setting is not None
    assert run([*arguments, *setting[0].split()]) == 0


@pytest.mark.parametrize(("needed", "said"), [(1.02, "are there."), (0.98, "of which 3% are kept")])
def test_what_is_kept_free_is_said_where_it_would_be_enough_without_that(needed, said) -> None:
    from longllava_domains.errors import MemoryBudgetError
    from longllava_domains.model.budget.fit import require_fit
    from longllava_domains.model.budget.plan import Request

    peak = require_fit("demo", Request(views=4), memory_bytes=1e15).peak
    with pytest.raises(MemoryBudgetError, match=said):
        require_fit("demo", Request(views=4), memory_bytes=peak / needed)
