"""Which slices a policy shows, and that each view is upright, windowed and placed."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.from_array import ArraySource, volume_from_array
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.render import render_sequence, view_size
from longllava_domains.ct.views.selection import choose_slices, medgemma_indices
from longllava_domains.ct.views.windows import BONE, LUNG, MEDGEMMA_15
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import PolicyError
from longllava_domains.visual import SlicePlace

PHANTOM = chest_phantom(shape=(40, 96, 96), spacing_mm=(7.5, 4.0, 4.0), noise_hu=0)
VOLUME = volume_from_array(PHANTOM.hu, PHANTOM.affine_ras_mm)


class WatchedSource(ArraySource):
    """Notes which slices are decoded."""

    def __init__(self, hu: NDArray[np.int16]) -> None:
        super().__init__(hu, lambda: "0" * 64)
        self.decoded: list[int] = []

    def read(self, indices: Sequence[int]) -> NDArray[np.int16]:
        self.decoded += indices
        return super().read(indices)


def watched() -> tuple[CTVolume, WatchedSource]:
    source = WatchedSource(PHANTOM.hu)
    return CTVolume(source, PHANTOM.affine_ras_mm, VOLUME.report), source


def places(views: Sequence[object]) -> list[SlicePlace]:
    return [view.place for view in views]  # type: ignore[attr-defined]


def test_by_default_every_slice_is_shown_head_first() -> None:
    sequence = render_sequence(VOLUME, SlicePolicy())
    z = [place.z_mm for place in places(sequence.views)]
    assert [place.index for place in places(sequence.views)] == list(range(40))
    assert z == sorted(z, reverse=True)
    assert z[0] == pytest.approx(7.5 * 19.5)
    assert not sequence.left_out


def test_views_are_radiological() -> None:
    """Below the diaphragm: liver on the image's left, stomach gas on its right, spine below."""
    view = render_sequence(VOLUME, SlicePolicy(windows="400/40"))[35].pixels[:, :, 0]
    assert view[38, 31] > 120
    assert view[38, 65] == 0
    bone = np.argwhere(view == 255)
    assert bone[:, 0].mean() > 56


def test_only_slices_that_are_shown_are_decoded() -> None:
    volume, source = watched()
    sequence = render_sequence(volume, SlicePolicy(spacing_mm=30.0, max_views=7))
    assert source.decoded == [place.index for place in places(sequence.views)]
    assert len(sequence) == 7


def test_a_spacing_shows_the_nearest_slices_and_counts_the_rest() -> None:
    chosen, left_out = choose_slices(VOLUME, SlicePolicy(spacing_mm=20.0))
    assert chosen == [0, 3, 5, 8, 11, 13, 16, 19, 21, 24, 27, 29, 32, 35, 37]
    assert left_out == {"spacing": 25}
    assert choose_slices(VOLUME, SlicePolicy(spacing_mm=1.0)) == (list(range(40)), {})


@settings(deadline=None, max_examples=100)
@given(spacing_mm=st.floats(0.5, 400))
def test_a_spacing_never_strays_more_than_half_a_slice(spacing_mm: float) -> None:
    chosen, left_out = choose_slices(VOLUME, SlicePolicy(spacing_mm=spacing_mm))
    assert chosen == sorted(set(chosen))
    assert len(chosen) + sum(left_out.values()) == 40
    step = max(spacing_mm / 7.5, 1.0)
    for position, index in enumerate(chosen):
        assert abs(index - position * step) <= 0.5 + 1e-9


@settings(deadline=None, max_examples=100)
@given(count=st.integers(1, 60), budget=st.integers(1, 60))
def test_counts_and_budgets_are_kept_exactly_and_spread_evenly(count: int, budget: int) -> None:
    chosen, left_out = choose_slices(VOLUME, SlicePolicy(count=count, max_views=budget))
    assert len(chosen) == min(count, budget, 40)
    assert len(chosen) + sum(left_out.values()) == 40
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, 39)
        assert len(chosen) < 3 or count < 40 or np.ptp(np.diff(chosen)) <= 1


def test_a_budget_is_shared_by_the_windows_and_each_sweep_is_whole() -> None:
    sequence = render_sequence(
        VOLUME, SlicePolicy(windows=("lung", "mediastinum", "bone"), max_views=10)
    )
    shown = [(place.window, place.index) for place in places(sequence.views)]
    assert shown == [(w, i) for w in ("lung", "mediastinum", "bone") for i in (0, 20, 39)]
    assert sequence.left_out == {"max_views": 37}


def test_medgemma_sampling_equals_the_published_indices() -> None:
    of_100, of_300 = medgemma_indices(100), medgemma_indices(300)
    assert of_100[:6] == [1, 2, 3, 5, 6, 7]
    assert of_100[-4:] == [96, 97, 98, 99]
    assert of_300[:6] == [4, 7, 11, 14, 18, 21]
    assert of_300[-4:] == [288, 292, 295, 299]
    assert len(set(of_300)) == 85
    assert medgemma_indices(85) == list(range(85))
    policy = SlicePolicy(windows=MEDGEMMA_15, count=10, sampling="medgemma")
    assert choose_slices(VOLUME, policy)[0] == medgemma_indices(40, 10)


def test_a_range_is_kept_and_an_empty_one_refused() -> None:
    sequence = render_sequence(VOLUME, SlicePolicy(z_range_mm=(-20.0, 20.0)))
    assert [place.z_mm for place in places(sequence.views)] == [
        18.75,
        11.25,
        3.75,
        -3.75,
        -11.25,
        -18.75,
    ]
    assert sequence.left_out == {"outside_range": 34}
    with pytest.raises(PolicyError) as caught:
        render_sequence(VOLUME, SlicePolicy(z_range_mm=(500.0, 600.0)))
    assert caught.value.facts["z_max_mm"] == pytest.approx(146.25)


@pytest.mark.parametrize("slab", ["mean", "mip"])
def test_slabs_project_hounsfield_units_before_the_window(slab: str) -> None:
    policy = SlicePolicy(slab_mm=22.5, slab=slab, count=3, windows=LUNG)  # type: ignore[arg-type]
    sequence = render_sequence(VOLUME, policy)
    around = PHANTOM.hu[19:22].astype(np.float64)
    hu = around.max(axis=0) if slab == "mip" else around.mean(axis=0)
    np.testing.assert_array_equal(
        sequence[1].pixels[:, :, 1], LUNG.grey(np.rint(hu).astype(np.int16))
    )
    middle, first = places(sequence.views)[1], places(sequence.views)[0]
    assert (middle.index, middle.thickness_mm) == (20, 22.5)
    assert middle.z_mm == pytest.approx(VOLUME.z_mm(20))
    assert (first.index, first.thickness_mm) == (0, 15.0)  # the volume ends
    assert first.z_mm == pytest.approx(VOLUME.z_mm(0.5))


def test_an_even_slab_says_where_its_centre_is() -> None:
    place = places(render_sequence(VOLUME, SlicePolicy(slab_mm=15.0, count=3)).views)[1]
    assert (place.thickness_mm, place.z_mm) == (15.0, pytest.approx(VOLUME.z_mm(20.5)))


def test_grey_views_are_three_equal_channels_of_one_read_only_array() -> None:
    view = render_sequence(VOLUME, SlicePolicy(windows=LUNG, count=1, view_px=48))[0]
    assert view.pixels.shape == (48, 48, 3)
    assert view.pixels.strides[2] == 0
    with pytest.raises(ValueError, match="read-only"):
        view.pixels[0, 0, 0] = 1
    assert np.asarray(Image.fromarray(view.pixels)).shape == (48, 48, 3)


def test_colour_windows_fill_the_channels_in_order() -> None:
    view = render_sequence(VOLUME, SlicePolicy(windows=MEDGEMMA_15, count=1))[0].pixels
    for channel, window in enumerate(MEDGEMMA_15.channels):
        np.testing.assert_array_equal(view[:, :, channel], window.grey(PHANTOM.hu[20]))


def test_the_window_is_applied_before_the_resize() -> None:
    """A bone window of a resized slice would blur what the window is to cut off."""
    view = render_sequence(VOLUME, SlicePolicy(windows=BONE, count=1, view_px=40))[0].pixels[
        :, :, 0
    ]
    levels = Image.fromarray(BONE.levels(PHANTOM.hu[20]).astype(np.float32))
    expected = np.asarray(levels.resize((40, 40), Image.Resampling.BICUBIC))
    assert np.abs(view - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("size", "spacing", "view_px", "expected"),
    [
        ((512, 512), (0.7, 0.7), None, (512, 512)),
        ((512, 512), (0.7, 0.7), 336, (336, 336)),
        ((300, 400), (0.7, 0.7), 336, (252, 336)),
        ((30, 200), (5.0, 1.0), None, (150, 200)),
        ((30, 200), (5.0, 1.0), 336, (252, 336)),
        ((200, 30), (1.0, 5.0), 100, (100, 75)),
        ((512, 512), (0.7, 0.7000001), 336, (336, 336)),
        ((1000, 1), (1.0, 1.0), 10, (10, 1)),
    ],
)
def test_views_have_square_pixels(
    size: tuple[int, int],
    spacing: tuple[float, float],
    view_px: int | None,
    expected: tuple[int, int],
) -> None:
    assert view_size(size, spacing, view_px) == expected


def test_a_body_crop_keeps_the_body_and_its_places() -> None:
    whole = render_sequence(VOLUME, SlicePolicy(windows="400/40"))
    cropped = render_sequence(VOLUME, SlicePolicy(windows="400/40", body_crop=True))
    assert cropped[0].pixels.shape[0] < 96
    assert places(cropped.views) == places(whole.views)
    for before, after in zip(whole, cropped, strict=True):
        assert int(after.pixels.sum()) == int(before.pixels.sum())  # nothing bright is cut away


def test_a_volume_of_air_cannot_be_cropped_and_is_shown_whole() -> None:
    air = np.full_like(PHANTOM.hu, -1000)
    volume = CTVolume(ArraySource(air, lambda: "0" * 64), PHANTOM.affine_ras_mm, VOLUME.report)
    assert render_sequence(volume, SlicePolicy(body_crop=True))[0].pixels.shape == (96, 96, 3)


def test_the_header_window_is_used_where_the_source_has_one() -> None:
    facts: dict[str, str | float] = {"window_center_hu": 400.0, "window_width_hu": 1800.0}
    volume = CTVolume(VOLUME.source, VOLUME.affine_ras_mm, VOLUME.report, facts)
    view = render_sequence(volume, SlicePolicy(windows="header", count=1))[0]
    assert view.place.window == "header"  # type: ignore[union-attr]
    np.testing.assert_array_equal(view.pixels[:, :, 0], BONE.grey(PHANTOM.hu[20]))
    with pytest.raises(PolicyError):
        render_sequence(VOLUME, SlicePolicy(windows="header"))


def test_the_same_sequence_is_rebuilt_from_its_provenance() -> None:
    policy = SlicePolicy(windows=("lung", "400/40"), spacing_mm=20, view_px=50, max_views=12)
    sequence = render_sequence(VOLUME, policy)
    rebuilt = render_sequence(VOLUME, SlicePolicy.from_json(sequence.provenance["policy"]))
    assert rebuilt.content_sha256() == sequence.content_sha256()
    assert rebuilt.provenance == sequence.provenance
    made = sequence.provenance
    assert made["domain"] == "ct"
    assert made["views"] == len(sequence)
    assert made["size"] == [40, 96, 96]
    assert made["spacing_mm"] == [7.5, 4.0, 4.0]
    assert made["load_report"] == VOLUME.report.to_json()
    assert made["input_sha256"] == VOLUME.source.content_sha256()
    assert made["left_out"] == {"spacing": 25, "max_views": 9}
