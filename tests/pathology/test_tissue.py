"""Tissue is found where it is: pale, stained, beside pen, in black borders, none at all, or all."""

from typing import Any

import numpy as np
import pytest
import slide_builder as builder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from longllava_domains.errors import NotFoundError
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pathology.regions import Region, box_region
from longllava_domains.pathology.slide_source import Box
from longllava_domains.pathology.views.components import areas, fill_holes, label
from longllava_domains.pathology.views.tissue import TissueMask, tissue_of

SIZE = (400, 300)
CELL_UM = 20.0
STAINS = {
    "haematoxylin and eosin": (214, 140, 190),
    "pale eosin": (236, 222, 234),
    "pale fat": (238, 226, 235),
    "haematoxylin": (140, 120, 190),
    "pale counterstain": (205, 208, 228),
    "brown": (150, 105, 75),
    "blood": (190, 70, 90),
}
INKS = {"green": (30, 140, 60), "blue": (40, 70, 180), "cyan": (40, 150, 190), "red": (225, 30, 40),
        "black": (25, 25, 28), "yellow": (235, 215, 60)}  # fmt: skip


def scene(colour, *, glass=builder.GLASS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an overview with one island of a stain, darker in its middle, and where it is."""
    rng = np.random.default_rng(seed)
    mask = Image.new("L", SIZE)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((60, 60, 190, 240), fill=255)
    draw.ellipse((250, 150, 330, 220), fill=255)
    share = np.asarray(mask.filter(ImageFilter.GaussianBlur(1)), np.float32)[..., None] / 255
    picture = (1 - share) * np.array(glass, np.float32) + share * np.array(colour, np.float32)
    # Nuclei: no tissue is of one colour.
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    nuclei = (share[..., 0] > 0.9) & ((x * 7 + y * 13) % 23 < 2)
    picture[nuclei] = picture[nuclei] * 0.75 + np.array((110, 70, 150)) * 0.25
    picture += rng.normal(0, 1.5, (*picture.shape[:2], 1)) + rng.normal(0, 0.7, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), np.asarray(mask) > 127


def rates(found: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None) -> Any:
    use = np.ones(truth.shape, np.bool_) if ignored is None else ~ignored
    return found[truth & use].mean(), found[~truth & use].mean()


@pytest.mark.parametrize("stain", STAINS)
def test_every_stain_is_found_and_glass_is_not(stain: str) -> None:
    picture, truth = scene(STAINS[stain])
    found, wrong = rates(tissue_of(picture, CELL_UM), truth)
    assert found > 0.97
    assert wrong < 0.02


@pytest.mark.parametrize("glass", [(255, 255, 255), (225, 222, 210), (235, 238, 230)])
def test_tinted_glass_is_glass(glass) -> None:
    picture, truth = scene((214, 140, 190), glass=glass)
    found, wrong = rates(tissue_of(picture, CELL_UM), truth)
    assert found > 0.97
    assert wrong < 0.02


@pytest.mark.parametrize("ink", INKS)
def test_pen_beside_tissue_is_not_tissue(ink: str) -> None:
    picture, truth = scene((214, 140, 190))
    page = Image.fromarray(picture)
    pen = Image.new("L", SIZE)
    for drawn, colour in ((ImageDraw.Draw(page), INKS[ink]), (ImageDraw.Draw(pen), 255)):
        drawn.line((230, 20, 380, 110), fill=colour, width=9)
        drawn.line((380, 110, 230, 120), fill=colour, width=9)
    page = page.filter(ImageFilter.GaussianBlur(0.7))
    near = np.asarray(pen.filter(ImageFilter.MaxFilter(9))) > 0
    result = tissue_of(np.asarray(page), CELL_UM)
    assert rates(result, truth, near)[0] > 0.97
    assert rates(result, truth, near)[1] < 0.02
    assert result[np.asarray(pen) > 0].mean() < 0.03


@pytest.mark.parametrize("width", [6, 40])
def test_black_borders_are_not_tissue(width: int) -> None:
    picture, truth = scene((214, 140, 190))
    picture[:width], picture[:, -width:] = 8, 12
    result = tissue_of(picture, CELL_UM)
    near = np.zeros(truth.shape, np.bool_)
    near[: width + 4], near[:, -width - 4 :] = True, True
    assert rates(result, truth & ~near, near)[0] > 0.97
    assert result[:width].mean() < 0.01
    assert result[:, -width:].mean() < 0.01


@pytest.mark.parametrize("grey", [255, 240, 225])
def test_a_slide_of_glass_alone_has_no_tissue(grey: int) -> None:
    rng = np.random.default_rng(0)
    picture = np.full((300, 400, 3), grey) + rng.normal(0, 2, (300, 400, 1))
    assert tissue_of(np.clip(picture, 0, 255).astype(np.uint8), CELL_UM).mean() < 0.001


def test_a_slide_of_tissue_alone_is_all_tissue() -> None:
    picture, truth = scene((214, 140, 190))
    middle = (slice(110, 190), slice(90, 160))
    assert truth[middle].all()
    assert tissue_of(picture[middle], CELL_UM).mean() > 0.99


def test_dust_is_dropped_and_small_holes_are_filled() -> None:
    picture, _ = scene((214, 140, 190))
    picture[20, 20] = (214, 140, 190)
    picture[140:146, 120:126] = builder.GLASS
    result = tissue_of(picture, CELL_UM)
    assert not result[15:30, 15:30].any()
    assert result[140:146, 120:126].all()


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_parts_are_numbered_as_flooding_would(rows: int, columns: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.5
    labels = label(mask)
    assert np.array_equal(labels > 0, mask)
    assert areas(labels).sum() == mask.size
    for part in range(1, labels.max() + 1):
        cells = {tuple(cell) for cell in np.argwhere(labels == part)}
        todo, seen = [next(iter(cells))], set()
        while todo:
            y, x = todo.pop()
            if (y, x) in seen or not (0 <= y < rows and 0 <= x < columns) or not mask[y, x]:
                continue
            seen.add((y, x))
            todo += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        assert seen == cells


def test_holes_that_reach_the_edge_or_are_large_stay() -> None:
    mask = np.ones((20, 20), np.bool_)
    mask[3:5, 3:5], mask[10:16, 10:16], mask[0, 7] = False, False, False
    filled = fill_holes(mask, 10)
    assert filled[3:5, 3:5].all()
    assert not filled[10:16, 10:16].any()
    assert not filled[0, 7]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_share_of_a_box_is_exact_with_fractions(data: st.DataObject) -> None:
    mask = np.random.default_rng(1).random((9, 11)) < 0.5
    tissue = TissueMask(mask, (100, 50), 4.0, "overview")
    x, y = data.draw(st.integers(80, 150)), data.draw(st.integers(40, 90))
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    fine = np.zeros((200, 200), np.bool_)
    fine[50:86, 100:144] = np.kron(mask, np.ones((4, 4), np.bool_))
    wanted = fine[y : y + height, x : x + width].mean()
    assert tissue.fractions(np.array([[x, y, width, height]]))[0] == pytest.approx(wanted)


def test_no_tissue_is_a_named_refusal_that_a_drawing_overrides(tmp_path) -> None:
    glass = np.full((400, 500, 3), builder.GLASS, np.uint8)
    with open_slide(builder.tiff(tmp_path / "a.tif", glass, factors=())) as slide:
        with pytest.raises(NotFoundError, match="No tissue") as caught:
            slide.to_sequence()
        assert caught.value.code == "slide.no_tissue"
        drawn = box_region((100, 100, 120, 140), slide.size)
        shown = slide.to_sequence(TilePolicy(view_px=64), tissue=drawn)
        assert shown.provenance["policy"]["tissue"]["source"] == "user"
        assert len(slide.to_sequence(TilePolicy("thumbnail@1"))) == 1


def test_a_region_the_user_names_is_shown_although_no_tissue_is_found_there(tmp_path) -> None:
    image = builder.tissue(700, 500, seed=2)
    image[:, :200] = builder.GLASS
    with open_slide(builder.tiff(tmp_path / "a.tif", image, factors=())) as slide:
        shown = slide.to_sequence(TilePolicy(view_px=64), regions=[(0, 0, 128, 128)])
        assert len(shown) == 5


def test_a_box_is_drawn_by_the_centres_of_cells() -> None:
    drawn = Region(Box(10, 20, 30, 40)).draw((0, 0), 10.0, (8, 8))
    assert drawn.sum() == 3 * 4
    assert drawn[2:6, 1:4].all()
