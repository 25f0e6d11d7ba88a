"""A box at a resolution: exact size, exact place, the area's mean, whatever level it comes from."""

from pathlib import Path

import numpy as np
import pytest
import slide_builder as builder
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import PolicyError
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.reading import choose_level, read_box
from longllava_domains.pathology.slide_source import Box, Level, make_levels

KINDS = ["tiff", "svs", "ome", "dicom"]


class Memory:
    """A source that holds its levels in memory."""

    def __init__(self, *images: np.ndarray) -> None:
        self.images = images
        self.levels = make_levels([(image.shape[1], image.shape[0]) for image in images])

    def read(self, level: int, box: Box, damaged: str = "refuse") -> np.ndarray:
        image = self.images[level]
        assert 0 <= box.x < box.x + box.width <= image.shape[1]
        assert 0 <= box.y < box.y + box.height <= image.shape[0]
        return image[box.y : box.y + box.height, box.x : box.x + box.width].copy()


def mean_of_areas(image: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Average the slow way: every pixel wanted over exactly the area below it."""

    def weights(start: float, extent: float, count: int, length: int) -> np.ndarray:
        low = start + np.arange(count)[:, None] * (extent / count)
        pixels = np.arange(length)[None, :]
        share = np.minimum(low + extent / count, pixels + 1) - np.maximum(low, pixels)
        share = np.maximum(share, 0)
        return share / share.sum(axis=1, keepdims=True)

    down = weights(box.y, box.height, size[1], image.shape[0])
    across = weights(box.x, box.width, size[0], image.shape[1])
    return np.einsum("ay,yxc,bx->abc", down, image.astype(float), across, optimize=True)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_shrinking_is_the_mean_of_the_area_below_each_pixel(data: st.DataObject) -> None:
    image = builder.tissue(97, 71, seed=3)
    width, height = data.draw(st.integers(1, 97)), data.draw(st.integers(1, 71))
    x, y = data.draw(st.integers(0, 97 - width)), data.draw(st.integers(0, 71 - height))
    size = (data.draw(st.integers(1, width)), data.draw(st.integers(1, height)))
    box = Box(x, y, width, height)
    found = read_box(Memory(image), box, size, 0)
    assert found.shape == (size[1], size[0], 3)
    assert np.abs(found - mean_of_areas(image, box, size)).max() <= 0.51


@pytest.mark.parametrize("bytes_", [20_000, 4_000, 50])
def test_memory_is_bounded_by_pieces_that_join_without_a_seam(monkeypatch, bytes_: int) -> None:
    image = builder.tissue(211, 307, seed=4)
    whole = read_box(Memory(image), Box(3, 5, 200, 290), (67, 101), 0)
    monkeypatch.setattr("longllava_domains.pathology.reading._PIECE_BYTES", bytes_)
    most = 0

    class Watched(Memory):
        def read(self, level: int, box: Box, damaged: str = "refuse") -> np.ndarray:
            nonlocal most
            most = max(most, box.width * box.height)
            return super().read(level, box, damaged)

    assert np.array_equal(read_box(Watched(image), Box(3, 5, 200, 290), (67, 101), 0), whole)
    assert most <= max(bytes_ / 15 * 1.5 + 40, 25)


@pytest.mark.parametrize("kind", KINDS)
def test_native_resolution_gives_the_stored_pixels(slide_file, kind: str) -> None:
    image = builder.tissue()
    with open_slide(slide_file(kind)) as slide:
        assert slide.size == (builder.WIDTH, builder.HEIGHT)
        shown = slide.read(37, 41, 700, 600, mpp=slide.mpp)
        difference = np.abs(shown.astype(int) - image[41:641, 37:737])
        assert difference.mean() < 1.5  # JPEG
        assert shown.dtype == np.uint8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mpp", [0.5, 0.77, 2.0, 3.1, 8.0])
def test_size_and_place_are_exact_at_any_resolution(slide_file, kind: str, mpp: float) -> None:
    image = builder.tissue()
    box = Box(201, 155, 901, 703)
    with open_slide(slide_file(kind)) as slide:
        shown = slide.read(*box, mpp=mpp)
    size = (round(box.width * builder.MPP / mpp), round(box.height * builder.MPP / mpp))
    assert shown.shape == (size[1], size[0], 3)
    wanted = mean_of_areas(image, box, size)
    error = np.abs(shown - wanted).mean()
    assert error < 4  # JPEG, and pixels of a level shown between pixels of it
    if mpp > 0.5:  # one pixel off would be much worse
        moved = mean_of_areas(image, box._replace(x=box.x + round(mpp / builder.MPP)), size)
        assert error < np.abs(shown - moved).mean() / 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_coarsest_level_that_is_fine_enough_is_read(slide_file, kind: str) -> None:
    with open_slide(slide_file(kind)) as slide:
        assert slide.level_for(0.5) == 0
        assert slide.level_for(1.99) == 0
        assert slide.level_for(2.0) == 1
        assert slide.level_for(7.9) == 1
        assert slide.level_for(8.0) == (2 if len(slide.levels) > 2 else 1)


@pytest.mark.parametrize(
    ("base", "sizes", "factors"),
    [
        ((2220, 2967), [(555, 741)], [4.0]),
        ((46000, 32914), [(11500, 8228), (2875, 2057)], [4.0, 16.0]),
        ((1501, 1103), [(501, 368)], [3.0]),
        ((1501, 1103), [(751, 552), (376, 276)], [2.0, 4.0]),
    ],
)
def test_a_level_is_a_whole_factor_smaller_although_its_last_pixels_are_cut(
    base, sizes, factors
) -> None:
    levels = make_levels([base, *sizes])
    assert [level.downsample for level in levels[1:]] == [(factor, factor) for factor in factors]


def test_levels_of_no_whole_factor_keep_the_ratio_of_their_sizes() -> None:
    level = make_levels([(1000, 800), (301, 241)])[1]
    assert level.downsample == (1000 / 301, 800 / 241)


def test_a_level_a_hair_too_coarse_is_taken_as_it_is() -> None:
    levels = (Level(1000, 1000), Level(250, 250, (4.0, 4.0)))
    assert choose_level(levels, 3.9999) == 1
    assert choose_level(levels, 3.9) == 0


def test_outside_the_slide_is_white_and_counted(slide_file) -> None:
    with open_slide(slide_file("svs")) as slide:
        width, height = slide.size
        inside = slide.read(width - 80, height - 60, 80, 60, mpp=0.5)
        beyond = slide.read(width - 80, height - 60, 100, 90, mpp=0.5)
        assert np.array_equal(beyond[:60, :80], inside)
        assert (beyond[60:] == 255).all()
        assert (beyond[:, 80:] == 255).all()
        before = slide.read(-30, -20, 100, 90, mpp=1.0)
        assert before.shape == (45, 50, 3)
        assert (before[:10] == 255).all()
        assert (before[:, :15] == 255).all()
        assert np.array_equal(before[10:, 15:], slide.read(0, 0, 70, 70, mpp=1.0))
        assert slide.report.codes["read.beyond_edge"] == 2


@pytest.mark.parametrize(
    ("box", "mpp", "code"),
    [
        ((0, 0, 0, 10), 0.5, "slide.empty_box"),
        ((0, 0, 10, -1), 0.5, "slide.empty_box"),
        ((1501, 0, 10, 10), 0.5, "slide.outside"),
        ((0, -10, 10, 10), 0.5, "slide.outside"),
        ((10**9, 10**9, 10, 10), 0.5, "slide.outside"),
        ((0.5, 0, 10, 10), 0.5, "slide.box"),
        ((0, 0, 10, 10), 0, "slide.mpp_wanted"),
        ((0, 0, 10, 10), float("nan"), "slide.mpp_wanted"),
        ((0, 0, 10, 10), 0.1, "slide.enlarged"),
        ((0, 0, 10**6, 10**6), 0.5, "slide.too_large"),
    ],
)
def test_a_box_that_cannot_be_read_is_refused_by_name(slide_file, box, mpp, code: str) -> None:
    with open_slide(slide_file("svs")) as slide, pytest.raises(PolicyError) as caught:
        slide.read(*box, mpp=mpp)
    assert caught.value.code == code


def test_enlarging_is_bilinear_and_counted(slide_file) -> None:
    with open_slide(slide_file("svs")) as slide:
        small = slide.read(700, 500, 40, 40, mpp=0.5)
        large = slide.read(700, 500, 40, 40, mpp=0.25)
        assert large.shape == (80, 80, 3)
        assert np.abs(large.reshape(40, 2, 40, 2, 3).mean(axis=(1, 3)) - small).mean() < 6
        assert slide.report.codes["read.enlarged"] == 1


def test_one_planted_mark_keeps_its_place_through_levels_and_resolutions(tmp_path: Path) -> None:
    image = np.full((1200, 1600, 3), 244, np.uint8)
    x, y, side = 1013, 717, 64
    image[y : y + side, x : x + side] = (20, 90, 20)
    path = builder.tiff(tmp_path / "a.tif", image, compression="lzw", compressionargs=None)
    with open_slide(path) as slide:
        for mpp in (0.5, 0.7, 1.0, 1.9, 2.0, 3.3, 4.0, 8.0):
            dark = 244.0 - slide.read(0, 0, 1600, 1200, mpp=mpp)[..., 0]
            share_x = (np.arange(dark.shape[1]) + 0.5) / dark.shape[1]
            share_y = (np.arange(dark.shape[0]) + 0.5) / dark.shape[0]
            centre = (
                1600 * float((dark.sum(axis=0) * share_x).sum() / dark.sum()),
                1200 * float((dark.sum(axis=1) * share_y).sum() / dark.sum()),
            )
            assert centre == pytest.approx((x + side / 2, y + side / 2), abs=0.75)
