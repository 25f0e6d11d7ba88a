"""A contact sheet shows every view once, in order, labelled by place."""

import numpy as np
import pytest
from PIL import ImageFont

from longllava_domains.errors import PolicyError
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.visual import MapPlace, Place, SlicePlace, SlidePlace, View, VisualSequence
from longllava_domains.visual.contact_sheet import contact_sheet, label


def coloured(number: int, place: Place, size: tuple[int, int] = (40, 40)) -> View:
    """A view of one colour that says which one it is."""
    pixels = np.empty((*size, 3), np.uint8)
    pixels[:] = (40 + number, 200, 90)
    return View(pixels, place)


def slices(count: int) -> VisualSequence:
    return VisualSequence(
        tuple(coloured(n, SlicePlace(n, 10.0 - 5 * n, 5.0, "lung")) for n in range(count))
    )


def order_found(sheet: np.ndarray) -> list[int]:
    """Which views are on the sheet, top to bottom and left to right."""
    found = []
    for number in range(60):
        at = np.argwhere((sheet == (40 + number, 200, 90)).all(axis=2))
        if len(at):
            assert len(at) == 40 * 40
            found.append((tuple(at[0]), number))
    return [number for _, number in sorted(found)]


@pytest.mark.parametrize(("count", "columns"), [(1, None), (7, None), (7, 3), (10, 10), (5, 1)])
def test_every_view_stands_once_in_reading_order(count: int, columns: int | None) -> None:
    sheet = np.asarray(contact_sheet(slices(count), columns=columns))
    assert order_found(sheet) == list(range(count))


def test_a_grid_keeps_its_rows_below_the_global_view() -> None:
    places = [MapPlace(0, 0, 90, 60, "global", 2.0, None)]
    places += [
        MapPlace(30 * c, 30 * r, 30, 30, "tile", 1.0, None) for r in range(2) for c in range(3)
    ]
    views = tuple(coloured(n, place) for n, place in enumerate(places))
    sheet = contact_sheet(VisualSequence(views, layout="grid", grid=(2, 3)))
    pixels = np.asarray(sheet)
    assert order_found(pixels) == list(range(7))
    tops = [np.argwhere((pixels == (40 + n, 200, 90)).all(axis=2))[0][0] for n in range(7)]
    assert len(set(tops[1:4])) == 1
    assert len(set(tops[4:])) == 1
    assert tops[0] < tops[1] < tops[4]


def test_each_cell_has_a_label_below_it() -> None:
    pixels = np.asarray(contact_sheet(slices(1)))
    below = pixels[44:60]
    assert (below > 150).all(axis=2).sum() > 20  # ink


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (SlicePlace(3, -132.46, 5.0, "lung"), "z -132.5 mm  lung"),
        (SlicePlace(3, 0.0, 5.0, "bone", synthetic=True), "z 0.0 mm  bone  (synthetic)"),
        (MapPlace(672, 336, 336, 336, "tile", None, None), "tile  672,336  336x336 px"),
        (
            MapPlace(0, 0, 9, 9, "global", 12.345, None, acquired="2024-05-01"),
            "global  0,0  9x9 px  shown at 12.3 m/px  2024-05-01",
        ),
        (SlidePlace(100, 200, 512, 512, 0, 0.499), "100,200  0.499 um/px"),
    ],
)
def test_labels_say_where(place: Place, expected: str) -> None:
    assert label(place) == expected


def test_large_views_are_shrunk_and_long_ones_keep_their_shape() -> None:
    views = (coloured(0, SlicePlace(0, 0, 1, "lung"), (600, 300)),)
    pixels = np.asarray(contact_sheet(VisualSequence(views), cell_px=100))
    at = np.argwhere((pixels == (40, 200, 90)).all(axis=2))
    assert tuple(at.max(axis=0) - at.min(axis=0) + 1) == (100, 50)


@pytest.mark.parametrize("options", [{"columns": -1}, {"cell_px": 0}])
def test_impossible_sheets_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(PolicyError):
        contact_sheet(slices(2), **options)


def test_a_sheet_too_large_to_open_again_is_refused() -> None:
    one = coloured(0, SlicePlace(0, 0, 1, "lung"), (400, 400))
    with pytest.raises(PolicyError):
        contact_sheet(VisualSequence((one,) * 600), cell_px=400)


@pytest.mark.parametrize("count", [1, 9])
def test_the_notice_of_research_use_stands_whole_at_the_foot(count: int) -> None:
    sheet = contact_sheet(slices(count), columns=1)
    foot = np.asarray(sheet)[-16:]
    inked = np.flatnonzero((foot > 150).all(axis=2).any(axis=0))
    notice_px = ImageFont.load_default(size=11).getlength(RESEARCH_NOTICE)
    assert np.ptp(inked) == pytest.approx(notice_px, abs=4)
    assert inked[-1] < sheet.width - 1


@pytest.mark.parametrize("north_deg", [0.0, 90.0, 180.0, 270.0, None])
def test_an_arrow_points_north_and_captions_are_whole(north_deg: float | None) -> None:
    """Family: captions cut short, and pictures without their north or scale."""
    place = MapPlace(20_000, 10_000, 336, 336, "tile", 0.5, None, north_deg=north_deg)
    view = coloured(0, place, (20, 20))
    sheet = np.asarray(contact_sheet(VisualSequence((view,)))).astype(int)
    text_px = int(ImageFont.load_default(size=11).getlength(label(place)))
    below = sheet[24:40, 4:]
    caption = np.flatnonzero((below > 120).all(axis=2).any(axis=0))
    has_arrow = caption.max() > text_px + 8
    assert has_arrow == (north_deg is not None)
    assert caption.max() < below.shape[1] - 1
    assert caption.max() >= text_px - 4
    if north_deg is None:
        return
    arrow = (below[:, text_px + 3 : text_px + 18] > 120).all(axis=2)
    rows, columns = np.nonzero(arrow)
    # An arrow is wide at its tail and thin at its tip: its ink lies away from where it points.
    lean = np.array([columns.mean() - (columns.min() + columns.max()) / 2,
                     rows.mean() - (rows.min() + rows.max()) / 2])  # fmt: skip
    pointing = np.array([np.sin(np.radians(north_deg)), -np.cos(np.radians(north_deg))])
    assert lean @ pointing < -0.3


def test_slices_have_their_sides_named_and_maps_do_not() -> None:
    """The patient's right is on the left: R and L stand below the edges of a slice."""

    def ink_at_the_right(place: Place) -> bool:
        view = coloured(0, place, (96, 96))
        below = np.asarray(contact_sheet(VisualSequence((view,))))[101:116, 90:101]
        return bool((below > 200).any())

    assert ink_at_the_right(SlicePlace(0, 1.0, 5.0, "lung"))
    assert not ink_at_the_right(SlidePlace(0, 0, 40, 40, 0, 0.5))


def test_the_sides_of_a_small_slice_stand_below_its_own_edges_and_words_below_them() -> None:
    place = SlicePlace(0, 86.2, 7.5, "mediastinum")
    view = coloured(0, place, (60, 60))
    pixels = np.asarray(contact_sheet(VisualSequence((view,))))
    sides = np.flatnonzero((pixels[65:80] > 120).any(axis=(0, 2)))
    words = np.flatnonzero((pixels[81:96] > 120).any(axis=(0, 2)))
    assert 4 <= sides[0] < 14 < 54 < sides[-1] <= 64
    assert not set(range(16, 52)) & set(sides.tolist())  # R and L alone
    assert words[-1] > 64
