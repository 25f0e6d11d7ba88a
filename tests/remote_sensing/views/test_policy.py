"""How much of a raster is shown, by arithmetic alone."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing.views.policy import GridPolicy, plan, region_grid


def test_what_fits_is_native() -> None:
    chosen = plan(5000, 5000, GridPolicy(), 0.5)
    assert (chosen.mode, chosen.factor, chosen.resolution_m) == ("native", (1.0, 1.0), 0.5)
    assert chosen.tokens == (1 + 15 * 15) * 150 + 15


def test_30000_pixels_are_decimated_to_what_40960_tokens_show() -> None:
    chosen = plan(30000, 30000, GridPolicy(), 0.3)
    assert chosen.mode == "decimated"
    assert (chosen.grid.rows, chosen.grid.columns) == (16, 16)
    assert chosen.size == (5376, 5376)
    assert chosen.resolution_m == pytest.approx(0.3 * 30000 / 5376)
    assert chosen.tokens + 1024 <= 40960
    assert "1.67 m" in str(chosen)


def test_176000_tokens_show_30000_pixels_2_6_times_sharper() -> None:
    chosen = plan(30000, 30000, GridPolicy(max_tokens=176_000))
    assert chosen.factor[0] == pytest.approx(30000 / (34 * 336), rel=1e-3)
    assert chosen.resolution_m is None


@given(tokens_per_view=st.integers(1, 600), reserved_tokens=st.integers(0, 5000))
def test_a_budget_that_is_too_small_is_refused_with_the_least_that_is_not(
    tokens_per_view: int, reserved_tokens: int
) -> None:
    sizes = {"tokens_per_view": tokens_per_view, "reserved_tokens": reserved_tokens}
    with pytest.raises(PolicyError) as caught:
        GridPolicy(max_tokens=1, **sizes)
    found = re.search(r"max_tokens to (\d+) at least", caught.value.remedy or "")
    assert found is not None
    least = int(found[1])
    assert GridPolicy(max_tokens=least, **sizes).max_tiles == 1
    with pytest.raises(PolicyError):
        GridPolicy(max_tokens=least - 1, **sizes)


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(1, 60_000),
    height=st.integers(1, 60_000),
    max_tokens=st.integers(2000, 200_000),
    tile_px=st.sampled_from([168, 336, 504]),
)
def test_decimation_always_fits_and_never_enlarges(width, height, max_tokens, tile_px) -> None:
    policy = GridPolicy(tile_px=tile_px, max_tokens=max_tokens)
    chosen = plan(width, height, policy)
    assert chosen.tokens + policy.reserved_tokens <= max_tokens
    assert 1 <= chosen.size[0] <= width
    assert 1 <= chosen.size[1] <= height
    if chosen.mode == "decimated":
        sharper = (int(chosen.size[0] * 1.2) + 400, int(chosen.size[1] * 1.2) + 400)
        tiles = -(-sharper[0] // tile_px) * -(-sharper[1] // tile_px)
        assert tiles > policy.max_tiles * 0.5  # the budget is used


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(1, 40_000),
    height=st.integers(1, 40_000),
    max_tokens=st.integers(2000, 60_000),
)
def test_super_tiles_cover_the_raster_once_and_each_fits(width, height, max_tokens) -> None:
    policy = GridPolicy(max_tokens=max_tokens, beyond_budget="super-tiles")
    chosen = plan(width, height, policy)
    assert sum(region.width * region.height for region in chosen.regions) == width * height
    assert chosen.tokens + policy.reserved_tokens <= max_tokens
    assert all(len(region_grid(region, policy)) <= policy.max_tiles for region in chosen.regions)
    right = max(region.column + region.width for region in chosen.regions)
    bottom = max(region.row + region.height for region in chosen.regions)
    assert (right, bottom) == (width, height)


def test_a_policy_may_refuse_and_names_what_fits() -> None:
    with pytest.raises(PolicyError) as caught:
        plan(30000, 30000, GridPolicy(beyond_budget="refuse"))
    assert caught.value.facts["tiles"] == 8100
    assert caught.value.facts["fitting_width_px"] == 5376


@pytest.mark.parametrize("settings", [
    {"tile_px": 0}, {"max_tokens": 1000}, {"tokens_per_view": 0}, {"global_px": 0},
    {"reserved_tokens": -1}, {"beyond_budget": "hope"}, {"max_tokens": 1024 + 150},
])  # fmt: skip
def test_policies_that_cannot_be_followed_are_refused(settings) -> None:
    with pytest.raises(PolicyError):
        GridPolicy(**settings)
