"""Several windows in one header: the first by default, the others by their number."""

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.errors import PolicyError


@pytest.fixture
def several(dicom, tmp_path) -> ct.CTVolume:
    def edit(image, index: int) -> None:
        image.WindowCenter, image.WindowWidth = [50, -600], [350, 1500]
        image.WindowCenterWidthExplanation = ["Doe^Jane", "LUNG"]

    return ct.open_volume(dicom.write_series(tmp_path, edit=edit))


def test_each_window_of_a_header_has_a_number(several) -> None:
    policy = ct.SlicePolicy(windows=("header", "header-2"), count=1)
    first, second = several.to_sequence(policy)
    named = several.to_sequence(ct.SlicePolicy(windows=("350/50", "1500/-600"), count=1))
    for view, same in zip((first, second), named, strict=True):
        assert np.array_equal(view.pixels, same.pixels)
    assert not np.array_equal(first.pixels, second.pixels)
    assert (first.place.window, second.place.window) == ("header", "header-2")
    assert ct.SlicePolicy.from_json(policy.to_json()) == policy


def test_a_number_that_the_header_does_not_reach_is_refused(several) -> None:
    with pytest.raises(PolicyError, match=r"'header-3'; it holds 2\.") as caught:
        several.to_sequence(ct.SlicePolicy(windows="header-3"))
    assert caught.value.facts == {"header_windows": 2}
    with pytest.raises(PolicyError):
        ct.SlicePolicy(windows="header-1")


def test_what_an_exporter_calls_a_window_goes_nowhere(several) -> None:
    shown = several.to_sequence(ct.SlicePolicy(windows=("header", "header-2"), count=2))
    assert "doe" not in f"{several.facts} {shown.provenance} {shown.views}".lower()


def test_a_centre_without_its_width_is_no_window(dicom, tmp_path) -> None:
    def edit(image, index: int) -> None:
        image.WindowCenter, image.WindowWidth = [50, -600], 350

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=edit))
    assert volume.to_sequence(ct.SlicePolicy(windows="header", count=1))[0].place.window == "header"
    with pytest.raises(PolicyError, match="holds 1"):
        volume.to_sequence(ct.SlicePolicy(windows="header-2"))
