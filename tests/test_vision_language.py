"""Pipelines depend on the protocols: LongLLaVA's classes satisfy them, and so can another family."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from other_family import OtherModel, OtherSession
from rasterio.transform import from_origin

from longllava_domains import pipelines, vision_language
from longllava_domains.errors import SessionError
from longllava_domains.model import LongLlava, Session

PHANTOM = Path(__file__).parents[1] / "examples/chest_phantom"


@pytest.mark.parametrize(
    ("protocol", "implementation"),
    [
        (vision_language.VisionLanguageModel, LongLlava),
        (vision_language.VisionSession, Session),
        (vision_language.VisionLanguageModel, OtherModel),
        (vision_language.VisionSession, OtherSession),
    ],
)
def test_every_call_that_a_protocol_allows_is_one_that_the_class_takes(
    protocol: type, implementation: type
) -> None:
    names = [name for name in vars(protocol) if not name.startswith("_")]
    assert names
    for name in names:
        promised = inspect.getattr_static(protocol, name)
        if not inspect.isfunction(promised):
            continue
        taken = inspect.signature(getattr(implementation, name)).parameters
        for parameter in inspect.signature(promised).parameters.values():
            assert parameter.name in taken, f"{implementation.__name__}.{name}"
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert taken[parameter.name].kind is parameter.kind


def test_a_report_comes_from_a_model_of_another_family() -> None:
    report = pipelines.CTReport(OtherModel())(PHANTOM, max_new_tokens=4)
    assert report.text.endswith("views, question 1")
    assert max(report.sequence[0].pixels.shape[:2]) == 224
    assert len(report.abnormalities) == 18
    assert report.abnormalities["Pleural effusion"].yes_logit_margin == pytest.approx(1.0)


def test_a_scene_is_answered_by_a_model_of_another_family(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=500, height=300, count=3, dtype="uint8",
        crs="EPSG:32618", transform=from_origin(500000, 4500000, 0.5, 0.5),
    ) as file:  # fmt: skip
        file.write(np.full((3, 300, 500), 90, np.uint8))
    told = pipelines.RemoteSensingQA(OtherModel())(path, "What is this?")
    assert told.answer.text == "7 views, question 1"  # a global view, and 3 x 2 tiles of 224


def test_the_protocols_and_their_pipelines_import_without_torch() -> None:
    program = (
        "import sys; from longllava_domains.pipelines.ct import report\n"
        "from longllava_domains.pipelines.domains import registry\n"
        "from longllava_domains import vision_language\nprint('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/"
    )
    assert ran.stdout.strip() == "False"


def test_a_monitor_is_told_and_may_stop_the_work() -> None:
    told: list[tuple[int, int]] = []
    vision_language.Monitor(lambda *now: told.append(now)).between_chunks(3, 9)
    assert told == [(3, 9)]
    with pytest.raises(SessionError, match="3 of 9"):
        vision_language.Monitor(cancelled=lambda: True).between_chunks(3, 9)
