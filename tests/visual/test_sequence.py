import numpy as np
import pytest

from longllava_domains.errors import PolicyError
from longllava_domains.visual import MapPlace, SlicePlace, View, VisualSequence

PLACE = SlicePlace(index=0, z_mm=0.0, thickness_mm=1.0, window="lung")


def grey(value: int = 0, size: int = 4) -> View:
    return View(np.full((size, size, 3), value, np.uint8), PLACE)


def test_a_view_cannot_be_changed_through_the_array_it_was_made_from() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    view = View(pixels, PLACE)
    pixels[:] = 9
    assert view.pixels.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        view.pixels[0, 0, 0] = 1


def test_a_grey_plane_shown_as_three_channels_is_not_copied() -> None:
    plane = np.zeros((8, 8), np.uint8)
    shown = np.broadcast_to(plane[..., None], (8, 8, 3))
    assert np.shares_memory(View(shown, PLACE).pixels, plane)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_pixels_that_are_not_rgb_bytes_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(PolicyError, match="RGB uint8"):
        View(pixels, PLACE)


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(PolicyError, match="no view"):
        VisualSequence(())


def test_a_grid_holds_one_global_view_and_every_tile() -> None:
    whole = VisualSequence(tuple(grey() for _ in range(7)), "grid", (2, 3))
    assert len(whole) == 7
    with pytest.raises(PolicyError, match="needs 7 views; found 6"):
        VisualSequence(tuple(grey() for _ in range(6)), "grid", (2, 3))
    with pytest.raises(PolicyError, match="go with the layout"):
        VisualSequence((grey(),), "images", (1, 1))


def test_the_content_hash_depends_on_pixels_and_their_order() -> None:
    first, second = grey(1), grey(2)
    forward, back = VisualSequence((first, second)), VisualSequence((second, first))
    assert forward.content_sha256() != back.content_sha256()
    assert forward.content_sha256() == VisualSequence((grey(1), grey(2))).content_sha256()


def test_a_map_place_gives_the_map_corners_of_its_view() -> None:
    place = MapPlace(
        10, 20, 100, 50, "tile", 0.5, "EPSG:32618", lambda column, row: (column / 2, -row / 2)
    )
    assert place.view_to_pixel(0.5, 0.5) == (60, 45)
    assert place.to_json()["corners"] == [[5, -10], [55, -10], [55, -35], [5, -35]]
