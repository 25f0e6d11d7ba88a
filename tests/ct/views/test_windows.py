"""Windows follow DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 to the last grey level."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from longllava_domains.ct.views import windows
from longllava_domains.ct.views.windows import (
    RgbWindow,
    Window,
    header_window,
    window,
    window_from_json,
)
from longllava_domains.errors import PolicyError

ALL_HU = np.arange(65536, dtype=np.uint16).view(np.int16)


def by_the_clause(x: int, c: float, w: float, function: str) -> float:
    """One value at a time, as the standard writes it, onto 0..255."""
    if function == "sigmoid":
        exponent = -4 * (x - c) / w
        return 0.0 if exponent > 700 else 255 / (1 + math.exp(exponent))
    if function == "linear_exact":
        if x <= c - w / 2:
            return 0.0
        if x > c + w / 2:
            return 255.0
        return ((x - c) / w + 0.5) * 255
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 255.0
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255


@settings(deadline=None, max_examples=60)
@given(
    center=st.floats(-2000, 3000),
    width=st.floats(1, 5000),
    function=st.sampled_from(["linear", "linear_exact", "sigmoid"]),
    hu=st.lists(st.integers(-32768, 32767), min_size=1, max_size=30),
)
def test_every_function_equals_its_clause(
    center: float, width: float, function: str, hu: list[int]
) -> None:
    made = Window("any", center, width, function)  # type: ignore[arg-type]
    expected = np.array([by_the_clause(x, center, width, function) for x in hu])
    values = np.array(hu, np.int16)
    np.testing.assert_allclose(made.levels(values), expected, atol=1e-9)
    np.testing.assert_array_equal(made.grey(values), np.rint(made.levels(values)))
    np.testing.assert_allclose(made.grey_levels(values), expected, atol=2e-5)


@pytest.mark.parametrize("name", [n for n, w in windows.PRESETS.items() if isinstance(w, Window)])
def test_presets_agree_with_pydicom_on_every_int16(name: str) -> None:
    preset = window(name)
    assert isinstance(preset, Window)
    header = Dataset()
    header.WindowCenter, header.WindowWidth = preset.center_hu, preset.width_hu
    header.PhotometricInterpretation, header.BitsStored = "MONOCHROME2", 16
    header.PixelRepresentation, header.VOILUTFunction = 1, "LINEAR"
    theirs = apply_windowing(ALL_HU.astype(np.float64), header)  # onto -32768..32767
    np.testing.assert_allclose(preset.levels(ALL_HU), (theirs + 32768) * (255 / 65535), atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(center=st.floats(-1000, 1000), width=st.floats(1, 4000))
def test_grey_never_falls_as_density_rises_and_uses_the_whole_range(
    center: float, width: float
) -> None:
    grey = Window("any", center, width).grey(ALL_HU.copy())
    ordered = grey[np.argsort(ALL_HU, kind="stable")].astype(int)
    assert (np.diff(ordered) >= 0).all()
    assert ordered[0] == 0
    assert ordered[-1] == 255


def test_the_narrowest_linear_window_is_a_step() -> None:
    step = Window("step", 40, 1)
    np.testing.assert_array_equal(step.grey(np.array([39, 40, 41], np.int16)), [0, 255, 255])


def test_medgemma_colours_equal_the_published_values() -> None:
    golden = {
        -1024: (0, 0, 0), -1000: (3, 0, 0), -135: (111, 0, 0), -100: (115, 26, 0),
        0: (128, 98, 0), 20: (130, 113, 64), 40: (132, 128, 128), 80: (137, 157, 255),
        215: (154, 255, 255), 1024: (255, 255, 255),
    }  # fmt: skip
    hu = np.array(list(golden), np.int16)
    colours = np.stack([w.grey(hu) for w in windows.MEDGEMMA_15.channels], axis=1)
    assert [tuple(int(c) for c in row) for row in colours] == list(golden.values())


def test_slices_with_any_strides_are_windowed() -> None:
    hu = np.arange(-1024, 976, dtype=np.int16).reshape(40, 50)
    flipped = hu[::-1, ::-1]
    np.testing.assert_array_equal(windows.LUNG.grey(flipped), windows.LUNG.grey(hu)[::-1, ::-1])


@pytest.mark.parametrize("preset", windows.PRESETS.values(), ids=lambda w: w.name)
def test_a_window_survives_json(preset: Window | RgbWindow) -> None:
    assert window_from_json(preset.to_json()) == preset


def test_windows_are_found_by_name_and_by_numbers() -> None:
    assert window("lung") is windows.LUNG
    assert window("1500/-600") == Window("w1500_l-600", -600, 1500)


@pytest.mark.parametrize(
    "make",
    [
        lambda: window("mediastinal"),
        lambda: window("0/40"),
        lambda: Window("lung", 40, 0.5),
        lambda: Window("lung", math.nan, 400),
        lambda: Window("Anna Smith", 40, 400),
        lambda: Window("lung", 40, 400, "cubic"),  # type: ignore[arg-type]
        lambda: window_from_json({"center": 40}),
        lambda: window_from_json({"name": "x", "rgb": []}),
        lambda: header_window({}),
        lambda: header_window({"window_center_hu": 40.0, "window_width_hu": 0.0}),
    ],
)
def test_what_is_no_window_is_refused(make: object) -> None:
    with pytest.raises(PolicyError) as caught:
        make()  # type: ignore[operator]
    assert "Smith" not in str(caught.value)


def test_the_header_window_keeps_its_function() -> None:
    facts: dict[str, str | float] = {
        "window_center_hu": 40.0, "window_width_hu": 300.0, "window_function": "SIGMOID",
    }  # fmt: skip
    assert header_window(facts) == Window("header", 40, 300, "sigmoid")
