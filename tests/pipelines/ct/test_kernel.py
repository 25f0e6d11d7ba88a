"""A folder of two reconstructions: soft for the mediastinum, sharp for the lung on request."""

import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from longllava_domains import ct
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines import CTReport
from longllava_domains.pipelines.cli.main import run

PHANTOM = Path(__file__).parents[3] / "examples/chest_phantom"
NOTICE = "The reconstruction kernel is not the one asked for."
MARK = np.s_[96:112, 80:112]  # what only the sharp reconstruction shows


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """B31f and B70f of one scan; only the second has a bright mark in its middle."""
    found = tmp_path_factory.mktemp("study")
    for path in sorted(PHANTOM.iterdir()):
        image = pydicom.dcmread(path)
        image.decompress()
        for kernel, number in (("B31f", 1), ("B70f", 2)):
            image.ConvolutionKernel = kernel
            image.SeriesInstanceUID = f"2.25.77{number}"
            image.SOPInstanceUID = f"2.25.77{number}.{image.InstanceNumber}"
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            if kernel == "B70f":
                pixels = image.pixel_array.copy()
                pixels[MARK] = (1000 - image.RescaleIntercept) / image.RescaleSlope
                image.PixelData = pixels.tobytes()
            image.save_as(found / f"{number}_{path.name}")
    return found


@pytest.fixture(scope="module")
def pipeline() -> CTReport:
    return CTReport.from_pretrained("demo", dtype="float32")


def is_sharp(pixels: np.ndarray) -> bool:
    """Tell the reconstructions apart by the mark, in a view of the phantom's own size."""
    return bool((pixels[MARK] == 255).all())


@pytest.mark.parametrize(("kernel", "sharp"), [(None, False), ("soft", False), ("sharp", True)])
def test_the_kernel_of_a_policy_chooses_the_series(folder, pipeline, kernel, sharp) -> None:
    policy = ct.SlicePolicy(count=1, kernel=kernel)
    told = pipeline(folder, policy=policy, max_new_tokens=2)
    assert is_sharp(told.sequence[0].pixels) is sharp
    codes = told.provenance["load_report"]["codes"]
    assert codes["choice.kernel"] == 1
    assert NOTICE not in told.notices


def test_a_series_that_is_named_goes_before_the_kernel_and_a_notice_says_so(
    folder, pipeline
) -> None:
    soft = next(row for row in ct.list_series(folder) if row.kernel == "soft")
    policy = ct.SlicePolicy(count=1, kernel="sharp")
    told = pipeline(folder, policy=policy, series=str(soft.number), max_new_tokens=2)
    assert not is_sharp(told.sequence[0].pixels)
    assert NOTICE in told.notices
    assert f"[{NOTICE}]" in told.to_text()


def test_a_volume_that_is_open_keeps_its_kernel_and_a_notice_says_so(folder) -> None:
    opened = ct.open_volume(folder)
    shown = opened.to_sequence(ct.SlicePolicy(count=1, kernel="sharp"))
    assert shown.provenance["notices"] == [NOTICE]
    assert "notices" not in opened.to_sequence(ct.SlicePolicy(count=1, kernel="soft")).provenance


def test_the_preset_asks_for_a_soft_kernel_by_name(pipeline) -> None:
    assert pipeline.policy().kernel == "soft"
    assert pipeline.policy(kernel="sharp").kernel == "sharp"


def test_the_table_marks_the_choice_for_each_kernel(folder, capfd) -> None:
    for kernel in ("soft", "sharp"):
        (chosen,) = [row for row in ct.list_series(folder, kernel=kernel) if row.chosen]
        assert chosen.kernel == kernel
        assert run(["series", str(folder), "--kernel", kernel]) == 0
        assert re.search(rf"^->.*{kernel} kernel$", capfd.readouterr().out, re.MULTILINE)
    with pytest.raises(PolicyError, match="kernel"):
        ct.list_series(folder, kernel="bone")  # type: ignore[arg-type]


def test_the_commands_take_a_kernel_or_a_number_of_the_table(folder, capfd, tmp_path) -> None:
    sheets = {}
    wishes = {"default": [], "sharp": ["--kernel", "sharp"], "2": ["--series", "2"]}
    for name, wish in wishes.items():
        sheet = tmp_path / f"{name}.png"
        assert run(["views", str(folder), "--out", str(sheet), "--most", "1", *wish]) == 0
        sheets[name] = np.asarray(Image.open(sheet))
    number = next(row.number for row in ct.list_series(folder) if row.kernel == "sharp")
    assert not np.array_equal(sheets["default"], sheets["sharp"])
    assert np.array_equal(sheets["2"], sheets["sharp" if number == 2 else "default"])
    out = tmp_path / "report.json"
    arguments = ["report", str(folder), "--model", "demo", "--kernel", "sharp", "--out", str(out)]
    assert run([*arguments, "--every-mm", "100", "--max-new-tokens", "2"]) == 0
    assert '"kernel": "sharp"' in out.read_text()
    assert NOTICE not in out.read_text()
    assert run([*arguments[:-4], "--kernel", "bone"]) == 2
    assert "'sharp'" in capfd.readouterr().err
