"""Connected parts of a mask, without a compiler: runs of each row, joined by the rows below."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def label(mask: Mask) -> NDArray[np.int32]:
    """Number the connected parts of a mask; pixels that touch at a corner are connected.

    Args:
        mask: (rows, columns).

    Returns:
        (rows, columns), 0 where the mask is False, else 1 and up in order of appearance.
    """
    rows, columns = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    run_row, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    roots = _roots(len(start), *_touching(run_row, start, stop, columns + 2))
    _, numbers = np.unique(roots, return_inverse=True)
    labels = np.zeros((rows, columns), np.int32)
    labels[mask] = np.repeat(numbers + 1, stop - start)
    return labels


def areas(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return how many pixels have each label, label 0 first."""
    return np.bincount(labels.ravel())


def keep(labels: NDArray[np.int32], wanted: NDArray[np.bool_]) -> Mask:
    """Return the mask of the labels wanted; `wanted` has one entry for each label, 0 included."""
    wanted = wanted.copy()
    wanted[0] = False
    return np.asarray(wanted[labels])


def fill_holes(mask: Mask, below: float) -> Mask:
    """Fill parts of the background of fewer pixels than `below` that do not reach the edge."""
    holes = label(~mask)
    small = areas(holes) < below
    edge = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    small[np.unique(edge)] = False
    return mask | keep(holes, small)


def _touching(
    row: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of runs in neighbouring rows that touch, corners included."""
    above = (row - 1) * width
    first = np.searchsorted(row * width + stop, above + start, side="left")
    last = np.searchsorted(row * width + start, above + stop, side="right")
    counts = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(row)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return below, np.repeat(first, counts) + offsets


def _roots(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest member of the part that each run belongs to."""
    roots = np.arange(count)
    while True:
        left, right = roots[one], roots[other]
        differ = left != right
        if not differ.any():
            return roots
        low = np.minimum(left, right)[differ]
        np.minimum.at(roots, np.maximum(left, right)[differ], low)
        while True:  # every run points straight at its root
            above = roots[roots]
            if np.array_equal(above, roots):
                break
            roots = above
