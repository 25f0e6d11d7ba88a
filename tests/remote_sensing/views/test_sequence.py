"""Every view shows exactly the pixels of its place."""

import functools
from typing import Any

import numpy as np
import pytest
import raster_builder as builder
import rasterio
import slow_views
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.remote_sensing.io import tiff_source
from longllava_domains.remote_sensing.views import sequence as view_sequence
from longllava_domains.remote_sensing.views.grid import COLOURS

LAYOUTS = [hazard.__name__ for hazard in builder.LAYOUTS]
CONTENTS = ["scale_offset", "nan_nodata", "alpha_and_nodata", "internal_mask", "sidecar_mask",
            "smaller_than_a_tile", "rotated", "south_up"]  # fmt: skip
NUMBERS = {  # bands shown, where not 1, 2, 3
    "strips_sixteen_rows": (3, 2, 1),
    "float_predictor": (1,),
    "nan_nodata": (1,),
}


def assert_exact(path, view, raster, protocol) -> None:
    place = view.place
    expected = slow_views.shown(
        path, NUMBERS.get(path.stem, (1, 2, 3)), raster.stretch, int(place.column), int(place.row),
        (int(place.width), int(place.height)), *COLOURS[protocol],
    )  # fmt: skip
    np.testing.assert_array_equal(view.pixels, expected)


@pytest.mark.parametrize("hazard", LAYOUTS + CONTENTS)
def test_tiles_equal_rasterio_windows(raster_file, hazard) -> None:
    path = raster_file(hazard)
    raster = open_raster(path)
    views = list(raster.views(GridPolicy(tile_px=200)))
    assert views[0].place.role == "global"
    for view in views[1:]:
        assert_exact(path, view, raster, "neutral")


@functools.cache
def whole(path, stretch, fill) -> Any:
    """Return the whole raster as it must be shown, from one rasterio read."""
    with rasterio.open(path) as dataset:
        size = (dataset.width, dataset.height)
    numbers = NUMBERS.get(path.stem, (1, 2, 3))
    return slow_views.shown(path, numbers, stretch, 0, 0, size, (0, 0, 0), fill)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    hazard=st.sampled_from(LAYOUTS + CONTENTS),
    tile_px=st.integers(96, 800),
    protocol=st.sampled_from(["neutral", "reference"]),
    threads=st.integers(1, 3),
)
def test_tiles_of_any_size_show_the_raster_in_its_padding(
    raster_file, hazard, tile_px, protocol, threads
) -> None:
    path = raster_file(hazard)
    raster = open_raster(path, threads=threads)
    padding, fill = COLOURS[protocol]
    rgb = whole(path, raster.stretch, fill)
    margin = tile_px  # padding is narrower than a tile
    canvas = np.empty((rgb.shape[0] + 2 * margin, rgb.shape[1] + 2 * margin, 3), np.uint8)
    canvas[...] = padding
    canvas[margin:-margin, margin:-margin] = rgb
    for view in raster.tiles_then_global(GridPolicy(tile_px=tile_px, protocol=protocol)):
        place = view.place
        if place.role == "tile":
            top, left = int(place.row) + margin, int(place.column) + margin
            expected = canvas[top : top + int(place.height), left : left + int(place.width)]
            np.testing.assert_array_equal(view.pixels, expected)


@pytest.mark.parametrize(
    "hazard", ["one_giant_strip", "one_giant_strip_raw", "strips_sixteen_rows"]
)
def test_giant_strips_are_streamed_to_the_same_pixels(raster_file, hazard, monkeypatch) -> None:
    monkeypatch.setattr(tiff_source, "_GIANT_BLOCK_BYTES", 1000)
    path = raster_file(hazard)
    raster = open_raster(path)
    for view in raster.tiles_then_global(GridPolicy(tile_px=150)):
        if view.place.role == "tile":
            assert_exact(path, view, raster, "neutral")


@pytest.mark.parametrize("hazard", ["tiled", "with_overviews", "alpha_and_nodata", "internal_mask"])
def test_the_global_view_is_an_area_average(raster_file, hazard) -> None:
    path = raster_file(hazard)
    raster = open_raster(path)
    picture = raster.to_sequence(GridPolicy(global_px=70))[0].pixels
    assert picture.shape == (49, 70, 3)
    whole = slow_views.shown(
        path, (1, 2, 3), raster.stretch, 0, 0, (raster.width, raster.height), (0, 0, 0),
        COLOURS["neutral"][1],
    )  # fmt: skip
    with rasterio.open(path) as dataset:
        window = rasterio.windows.Window(0, 0, raster.width, raster.height)
        data = slow_views.is_data(dataset, (1, 2, 3), window)
    expected = np.asarray(Image.fromarray(whole).resize((70, 49), Image.Resampling.BOX)).astype(int)
    share = np.asarray(
        Image.fromarray(data.astype(np.uint8) * 255).resize((70, 49), Image.Resampling.BOX)
    )
    pure = share == 255  # cells on a border of nodata are averaged over their data alone
    assert pure.mean() > 0.5
    assert np.abs(picture[pure].astype(int) - expected[pure]).mean() < 2.0
    np.testing.assert_array_equal(
        picture[share < 100], np.array(COLOURS["neutral"][1]) * np.ones((np.sum(share < 100), 1))
    )


def test_a_palette_is_shown_in_its_colours_and_never_averaged(raster_file) -> None:
    raster = open_raster(raster_file("palette"))
    colours = {(50 * c, 255 - 50 * c, 10 * c) for c in range(5)} | {COLOURS["neutral"][0]}
    for view in raster.to_sequence(GridPolicy(tile_px=200, global_px=90)):
        assert {tuple(pixel) for pixel in view.pixels.reshape(-1, 3).tolist()} <= colours


def test_views_come_in_one_order_by_every_way(raster_file) -> None:
    raster = open_raster(raster_file("strips_one_row"))
    policy = GridPolicy(tile_px=150)
    views = list(raster.views(policy))
    *tiles, last = raster.tiles_then_global(policy)
    sequence = raster.to_sequence(policy)
    assert sequence.grid == (4, 5)
    for first, second, third in zip(views, [last, *tiles], sequence, strict=True):
        assert first.place == second.place == third.place
        np.testing.assert_array_equal(first.pixels, second.pixels)
        np.testing.assert_array_equal(first.pixels, third.pixels)


def test_a_raster_too_large_to_hold_takes_two_passes_to_the_same_views(
    raster_file, monkeypatch
) -> None:
    raster = open_raster(raster_file("strips_one_row"))
    expected = [view.pixels for view in raster.views()]
    monkeypatch.setattr(view_sequence, "SPOOL_BYTES", 0)
    for view, pixels in zip(raster.views(), expected, strict=True):
        np.testing.assert_array_equal(view.pixels, pixels)


def test_decimation_keeps_places_exact(raster_file) -> None:
    raster = open_raster(raster_file("tiled"))
    policy = GridPolicy(tile_px=100, max_tokens=1024 + 150 * 8)
    plan = raster.plan(policy)
    sequence = raster.to_sequence(policy)
    assert plan.mode == "decimated"
    assert len(sequence) == 1 + len(plan.grid) <= 8
    assert plan.tokens <= policy.max_tokens
    rows, columns = sequence.grid
    first, last = sequence[1].place, sequence[rows * columns].place
    assert first.column + (last.column + last.width) == pytest.approx(
        raster.width, abs=2 * plan.factor[0]
    )
    for view in sequence.views[1:]:
        assert view.pixels.shape == (100, 100, 3)
        assert view.place.width == pytest.approx(100 * plan.factor[0])
        assert view.place.resolution_m == pytest.approx(plan.resolution_m)
    assert sequence.left_out == {"native_tiles_averaged": plan.native_tiles - len(plan.grid)}


@pytest.mark.parametrize("hazard", ["tiled", "with_overviews", "alpha_and_nodata"])
def test_a_bright_square_is_found_where_its_place_says_after_decimation(
    tmp_path, hazard, raster_file
) -> None:
    path = tmp_path / "marked.tif"
    path.write_bytes(raster_file(hazard).read_bytes())
    with rasterio.open(path, "r+") as dataset:
        marked = np.zeros((dataset.count, dataset.height, dataset.width), np.uint8) + 1
        marked[:, 300:330, 410:440] = 255
        if dataset.count == 4:
            marked[3] = 255
        dataset.write(marked)
        if hazard == "with_overviews":
            dataset.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    raster = open_raster(path)
    sequence = raster.to_sequence(GridPolicy(tile_px=60, max_tokens=1024 + 151 * 12))
    mass, moment = 0.0, np.zeros(2)
    for view in sequence.views[1:]:
        bright = np.where(
            view.pixels[..., 0] == COLOURS["neutral"][0][0], 0, view.pixels[..., 0] - 1.0
        )
        rows, columns = np.nonzero(bright > 0)
        for row, column in zip(rows, columns, strict=True):
            x, y = (column + 0.5) / view.pixels.shape[1], (row + 0.5) / view.pixels.shape[0]
            moment += bright[row, column] * np.array(view.place.view_to_pixel(x, y))
            mass += bright[row, column]
    np.testing.assert_allclose(moment / mass, (425, 315), atol=0.7)


def test_super_tiles_cover_everything_once_at_native_resolution(raster_file) -> None:
    path = raster_file("tiled")
    raster = open_raster(path)
    policy = GridPolicy(tile_px=100, max_tokens=1024 + 150 * 6, beyond_budget="super-tiles")
    with pytest.raises(PolicyError, match="super-tiles"):
        raster.to_sequence(policy)
    covered = np.zeros((raster.height, raster.width), int)
    for sequence in raster.to_sequences(policy):
        assert len(sequence) <= 6
        region = sequence[0].place
        covered[
            region.row : region.row + region.height, region.column : region.column + region.width
        ] += 1
        for view in sequence.views[1:]:
            assert view.place.width == 100
            inside = slow_views.shown(path, (1, 2, 3), raster.stretch, int(view.place.column),
                                      int(view.place.row), (100, 100), (0, 0, 0), (0, 0, 0))  # fmt: skip
            left, top = (
                max(0, region.column - int(view.place.column)),
                max(0, region.row - int(view.place.row)),
            )
            width = min(100, region.column + region.width - int(view.place.column))
            height = min(100, region.row + region.height - int(view.place.row))
            np.testing.assert_array_equal(
                view.pixels[top:height, left:width], inside[top:height, left:width]
            )
    assert (covered == 1).all()


def test_all_nodata_is_refused_by_every_way(raster_file) -> None:
    path = raster_file("all_nodata")
    with pytest.raises(NotFoundError, match="nodata"):
        open_raster(path)
    raster = open_raster(path, stretch="worldview")
    for show in (
        raster.to_sequence,
        lambda: list(raster.views()),
        lambda: list(raster.to_sequences()),
    ):
        with pytest.raises(NotFoundError, match="nodata"):
            show()


def test_nine_pixels_of_data_are_found_and_stretched(raster_file) -> None:
    raster = open_raster(raster_file("island"))
    assert 100 <= raster.stretch.low[0] < raster.stretch.high[0] <= 108
    sequence = raster.to_sequence()
    assert sequence.provenance["load_report"]["codes"]["tiles.nodata"] == len(sequence) - 2
    assert len(list(raster.views())) == len(sequence)


def test_provenance_carries_what_was_shown(raster_file) -> None:
    sequence = open_raster(raster_file("scale_offset")).to_sequence()
    entries = sequence.provenance.to_json()
    assert entries["source_href"] == "scale_offset.tif"
    assert len(entries["input_sha256"]) == 64
    assert entries["resolution_m"] == pytest.approx(10.004, abs=0.001)
    assert entries["stretch"]["name"] == "percentile"
    assert entries["policy"]["protocol"] == "neutral"
    assert entries["views"] == len(sequence)
