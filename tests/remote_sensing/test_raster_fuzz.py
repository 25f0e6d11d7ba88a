"""Five hundred broken rasters: each is read, or refused by an error of ours that names no path."""

from typing import Any

import numpy as np
import pytest
import raster_builder as builder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longllava_domains.errors import LongLlavaError
from longllava_domains.remote_sensing import GridPolicy, open_raster

SEEDS = ["tiled", "strips_one_row", "strips_sixteen_rows", "planar_strips", "bigtiff_zstd", "big_endian",
         "float_predictor", "internal_mask", "palette", "gcp_only", "with_overviews", "jpeg_ycbcr"]  # fmt: skip


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Any:
    """Small files of every kind; damage to their headers is likelier to be hit."""
    folder = tmp_path_factory.mktemp("secret_place")
    width, height = builder.WIDTH, builder.HEIGHT
    builder.WIDTH, builder.HEIGHT = 90, 70
    builder.scene.__defaults__ = (3, "uint8", 90, 70, 0)
    try:
        for name in SEEDS:
            getattr(builder, name)(folder / f"{name}.tif")
    finally:
        builder.WIDTH, builder.HEIGHT = width, height
        builder.scene.__defaults__ = (3, "uint8", width, height, 0)
    return folder


@settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.booleans()), max_size=6),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damage_anywhere_is_read_or_named(seeds, caplog, name, edits, kept) -> None:
    data = bytearray((seeds / f"{name}.tif").read_bytes())
    for place, value, in_header in edits:
        span = min(len(data), 600) if in_header else len(data)
        data[int(place * (span - 1))] = value
    path = seeds / "broken.tif"
    path.write_bytes(data[: int(len(data) * kept)])
    error = outcome(path)
    assert "broken" not in caplog.text
    if error is not None:
        assert "secret_place" not in str(error)
        assert "broken.tif" not in str(error)
        assert error.remedy
        assert error.__cause__ is None


def outcome(path) -> Any:
    """Show the raster; return our error if it is refused. Any other error fails the test."""
    try:
        with open_raster(path) as raster:
            sequence = raster.to_sequence(GridPolicy(tile_px=64, max_tokens=1024 + 151 * 40))
    except LongLlavaError as error:
        return error
    assert len(sequence) >= 2
    assert all(view.pixels.dtype == np.uint8 for view in sequence)
    return None
