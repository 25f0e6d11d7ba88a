"""Resizing equals a slow, readable cubic filter and never aliases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from longllava_domains.errors import PolicyError
from longllava_domains.visual.resample import resize_grey, to_uint8


def cubic(x: float) -> float:
    """Keys' cubic with a = -0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def filter_matrix(source: int, target: int) -> NDArray[np.float64]:
    """Weights of each source pixel in each target pixel, widened when shrinking."""
    scale = source / target
    wide = max(scale, 1.0)
    weights = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * scale
        # the support is cut to whole pixels around the centre, then renormalised
        first, last = (
            max(0, int(centre - 2 * wide + 0.5)),
            min(source, int(centre + 2 * wide + 0.5)),
        )
        for column in range(first, last):
            weights[row, column] = cubic((column - centre + 0.5) / wide)
        weights[row] /= weights[row].sum()
    return weights


@settings(deadline=None, max_examples=60)
@given(
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    target=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 1000),
)
def test_it_equals_the_slow_filter(
    source: tuple[int, int], target: tuple[int, int], seed: int
) -> None:
    levels = np.random.default_rng(seed).uniform(0, 255, source).astype(np.float32)
    slow = filter_matrix(source[0], target[0]) @ levels @ filter_matrix(source[1], target[1]).T
    np.testing.assert_allclose(resize_grey(levels, target), slow, atol=2e-3)


@settings(deadline=None, max_examples=40)
@given(
    level=st.floats(0, 255),
    source=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    target=st.tuples(st.integers(1, 400), st.integers(1, 400)),
)
def test_a_flat_picture_stays_flat(
    level: float, source: tuple[int, int], target: tuple[int, int]
) -> None:
    resized = resize_grey(np.full(source, level, np.float32), target)
    assert resized.shape == target
    np.testing.assert_allclose(resized, level, atol=1e-3)


def test_stripes_finer_than_the_target_become_grey_not_moire() -> None:
    stripes = np.zeros((512, 512), np.float32)
    stripes[::2] = 255
    resized = resize_grey(stripes, (200, 200))[8:-8]
    assert np.abs(resized - 127.5).max() < 8


def test_memory_order_and_strides_do_not_matter() -> None:
    levels = np.random.default_rng(0).uniform(0, 255, (30, 50)).astype(np.float32)
    plain = resize_grey(levels, (20, 20))
    np.testing.assert_allclose(resize_grey(np.asfortranarray(levels), (20, 20)), plain, atol=1e-4)
    np.testing.assert_allclose(resize_grey(levels[::-1], (20, 20)), plain[::-1], atol=1e-4)


@pytest.mark.parametrize("target", [(336, 336), (448, 300), (1024, 20), (512, 513)])
def test_pillow_agrees_at_real_sizes(target: tuple[int, int]) -> None:
    levels = np.random.default_rng(0).uniform(0, 255, (512, 512)).astype(np.float32)
    theirs = Image.fromarray(levels).resize(target[::-1], Image.Resampling.BICUBIC)
    np.testing.assert_allclose(resize_grey(levels, target), np.asarray(theirs), atol=1e-3)


def test_rounding_clips_the_overshoot() -> None:
    levels = np.array([[-12.0, 0.4, 0.6, 127.5, 254.6, 290.0]], np.float32)
    np.testing.assert_array_equal(to_uint8(levels), [[0, 0, 1, 128, 255, 255]])


@pytest.mark.parametrize("size", [(0, 10), (10, -1)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PolicyError):
        resize_grey(np.zeros((4, 4), np.float32), size)


@pytest.mark.parametrize("shape", [(4, 4, 3), (0, 4), (4,)])
def test_impossible_inputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PolicyError):
        resize_grey(np.zeros(shape, np.float32), (2, 2))
