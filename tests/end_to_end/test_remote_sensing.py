"""One place on Earth, stored in many ways: each view shows the same ground, or it is refused.

Layout, type, scale, direction of rows and georeference are changed at the source. What a model is
shown, read back at the map coordinates of the views' places, is always the same ground.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import raster_builder
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from other_family import OtherModel
from rasterio.control import GroundControlPoint

from longllava_domains import pipelines, remote_sensing
from longllava_domains.visual import MapPlace, VisualSequence

WIDTH, HEIGHT = 448, 336
SCENE = raster_builder.scene(width=WIDTH, height=HEIGHT)
NORTH_UP = raster_builder.NORTH_UP


def shown(path: Path, **options: Any) -> VisualSequence:
    """Return what `RemoteSensingQA` showed its model."""
    with remote_sensing.open_raster(path, **options) as raster:
        return pipelines.RemoteSensingQA(OtherModel())(raster, "What is this?").sequence


def ground(sequence: VisualSequence) -> np.ndarray:
    """Return the scene as the tiles show it, laid out by map coordinates: (HEIGHT, WIDTH, 3)."""
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for view in sequence:
        place = view.place
        assert isinstance(place, MapPlace)
        if place.role != "tile":
            continue
        rows, columns = np.indices(view.pixels.shape[:2])
        at_column, at_row = to_scene(place, view.pixels.shape) @ (columns + 0.5, rows + 0.5)
        at_column, at_row = np.floor(at_column).astype(int), np.floor(at_row).astype(int)
        inside = (at_row >= 0) & (at_row < HEIGHT) & (at_column >= 0) & (at_column < WIDTH)
        canvas[at_row[inside], at_column[inside]] = view.pixels[inside]
    return canvas


def to_scene(place: MapPlace, shape: tuple[int, ...]) -> Affine:
    """Return the affine from pixels of a view to pixels of the plain scene, by the map."""
    assert place.pixel_to_map is not None
    left, top = place.column, place.row
    x0, y0 = place.pixel_to_map(left, top)
    x1, y1 = place.pixel_to_map(left + place.width, top)
    x2, y2 = place.pixel_to_map(left, top + place.height)
    columns, rows = shape[1], shape[0]
    to_map = Affine(
        (x1 - x0) / columns, (x2 - x0) / rows, x0, (y1 - y0) / columns, (y2 - y0) / rows, y0
    )
    return ~NORTH_UP @ to_map


def assert_same_ground(found: np.ndarray, expected: np.ndarray) -> None:
    both = found.any(axis=2) & expected.any(axis=2)
    assert both.mean() > 0.95
    np.testing.assert_allclose(found[both].astype(int), expected[both].astype(int), atol=1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = raster_builder.write(tmp_path_factory.mktemp("plain") / "a.tif", SCENE)
    return ground(shown(path))


def test_the_ground_that_is_read_back_is_the_scene(plain: np.ndarray) -> None:
    np.testing.assert_array_equal(plain, np.moveaxis(SCENE, 0, -1))


@given(
    tiled=st.booleans(),
    compress=st.sampled_from(["none", "deflate", "lzw"]),
    interleave=st.sampled_from(["pixel", "band"]),
    south_up=st.booleans(),
    order=st.permutations([1, 2, 3]),
)
@settings(deadline=None, max_examples=12)
def test_a_scene_stored_otherwise_shows_the_same_ground(
    plain: np.ndarray,
    tiled: bool,
    compress: str,
    interleave: str,
    south_up: bool,
    order: list[int],
) -> None:
    data, transform = SCENE, NORTH_UP
    if south_up:
        data = data[:, ::-1]
        transform = NORTH_UP @ Affine.translation(0, HEIGHT) @ Affine.scale(1, -1)
    stored = np.stack([data[band - 1] for band in order])
    options = {"tiled": True, "blockxsize": 128, "blockysize": 128} if tiled else {}
    with TemporaryDirectory() as folder:
        path = raster_builder.write(
            Path(folder) / "a.tif", stored, transform=transform, compress=compress,
            interleave=interleave, photometric="minisblack", **options,
        )  # fmt: skip
        bands = [order.index(band) + 1 for band in (1, 2, 3)]
        assert_same_ground(ground(shown(path, bands=bands, stretch="none")), plain)


def test_control_points_in_place_of_a_transform_show_the_same_ground(
    plain: np.ndarray, tmp_path: Path
) -> None:
    corners = [(0, 0), (0, WIDTH), (HEIGHT, 0), (HEIGHT, WIDTH), (HEIGHT / 2, WIDTH / 2)]
    points = [
        GroundControlPoint(row, column, *(NORTH_UP @ (column, row))) for row, column in corners
    ]
    path = raster_builder.write(
        tmp_path / "a.tif", SCENE, transform=None, gcps=points, crs=raster_builder.UTM_31N
    )
    assert_same_ground(ground(shown(path)), plain)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_wider_type_is_stretched_to_the_same_order_of_brightness(
    plain: np.ndarray, dtype: str, tmp_path: Path
) -> None:
    path = raster_builder.write(tmp_path / "a.tif", (SCENE.astype(dtype) * 3 + 7).astype(dtype))
    found = ground(shown(path))
    both = found.any(axis=2) & plain.any(axis=2)
    for channel in range(3):
        ours, theirs = found[both][:, channel], plain[both][:, channel]
        assert np.corrcoef(ours.astype(float), theirs.astype(float))[0, 1] > 0.99
