"""From a volume and a policy to views: choose slices, window them, resize one grey channel."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.slice_source import PlacedSlices, SliceStack
from longllava_domains.ct.views.body_crop import BodyBox, body_box
from longllava_domains.ct.views.notices import notices_of, series_of
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.selection import choose_slices
from longllava_domains.ct.views.windows import AnyWindow, RgbWindow, Window, header_window
from longllava_domains.provenance import Provenance
from longllava_domains.visual import SlicePlace, View, VisualSequence
from longllava_domains.visual.resample import resize_grey, to_uint8

# Hounsfield units decoded at a time. A series stored in coronal slices must be read whole for
# any of them, so few large batches; still far less than a volume of a thousand slices.
BATCH_BYTES: Final = 64 * 2**20


class _Slab(NamedTuple):
    """The slice that was chosen, and the slices shown together with it."""

    centre: int
    members: range


def render_sequence(volume: SliceStack, policy: SlicePolicy) -> VisualSequence:
    """Turn a volume into views: patient right on image left, anterior up, head first.

    Slabs are formed in Hounsfield units; then the window is applied, then one grey channel is
    resized and rounded. Only slices that are shown are decoded, a batch at a time.

    Raises:
        PolicyError: The policy chooses no slice, or asks for a header window there is none of.
        GeometryError: The policy shows a grid, and the slices are on none.
    """
    slices = volume.slices(policy.at)
    chosen, left_out = choose_slices(volume, policy)
    windows = [
        header_window(volume.facts, w) if isinstance(w, str) else w for w in policy.windows_shown
    ]
    slabs = _slabs(slices, policy, chosen)
    # Hashing takes about as long as reading; it lets other threads run.
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(slices.source.content_sha256)
        box = _box(slices, policy, slabs)
        size = view_size((box.rows, box.columns), slices.pixel_spacing_mm, policy.view_px)
        sweeps: list[list[View]] = [[] for _ in windows]
        shown = zip(_places(slices, slabs), _decode(slices, policy, slabs), strict=True)
        for place, hu in shown:
            part = box.cut(hu)
            for sweep, window in zip(sweeps, windows, strict=True):
                sweep.append(View(render(part, window, size), replace(place, window=window.name)))
    views = tuple(view for sweep in sweeps for view in sweep)
    told = {"notices": notices_of(volume, policy), "series": series_of(volume)}
    return VisualSequence(
        views,
        layout=policy.layout,
        left_out=left_out,
        provenance=Provenance(
            domain="ct",
            source_kind=volume.report.source_kind,
            input_sha256=digest.result(),
            load_report=volume.report.to_json(),
            spacing_mm=[slices.spacing_mm, *slices.pixel_spacing_mm],
            size=list(slices.shape),
            policy=policy.to_json(),
            layout=policy.layout,
            views=len(views),
            left_out=dict(left_out),
            **{key: value for key, value in told.items() if value},
        ),
    )


def view_size(
    size: tuple[int, int], spacing_mm: tuple[float, float], view_px: int | None
) -> tuple[int, int]:
    """Return (rows, columns) of a view with square pixels.

    Args:
        size: Source rows and columns.
        spacing_mm: Source row and column spacing.
        view_px: Longer side wanted; None for the source's own (finer) sampling.
    """
    height_mm, width_mm = size[0] * spacing_mm[0], size[1] * spacing_mm[1]
    # Pixels that stay within half a pixel of square over the whole view count as square.
    skewed = abs(spacing_mm[0] / spacing_mm[1] - 1) * max(size) >= 0.5
    if not skewed:
        height_mm, width_mm = float(size[0]), float(size[1])
    if view_px is None and not skewed:
        return size
    pixel_mm = min(spacing_mm) if view_px is None else max(height_mm, width_mm) / view_px
    return max(1, round(height_mm / pixel_mm)), max(1, round(width_mm / pixel_mm))


def render(hu: NDArray[np.int16], window: AnyWindow, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Window one slice and resize it: read-only RGB uint8 (rows, columns, 3).

    A grey window's three channels are one array seen three times, not three copies.
    """
    if isinstance(window, RgbWindow):
        colour = np.stack([_grey(hu, channel, size) for channel in window.channels], axis=2)
        colour.flags.writeable = False
        return colour
    grey = _grey(hu, window, size)
    grey.flags.writeable = False
    return np.broadcast_to(grey[:, :, None], (*size, 3))


def _grey(hu: NDArray[np.int16], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    if hu.shape == size:
        return window.grey(hu)
    return to_uint8(resize_grey(window.grey_levels(hu), size))


def _box(slices: PlacedSlices, policy: SlicePolicy, slabs: Sequence[_Slab]) -> BodyBox:
    whole = BodyBox(0, slices.shape[1], 0, slices.shape[2])
    if not policy.body_crop:
        return whole
    return body_box(_decode(slices, policy, slabs), slices.pixel_spacing_mm) or whole


def _slabs(slices: PlacedSlices, policy: SlicePolicy, chosen: Sequence[int]) -> list[_Slab]:
    """Return the slab around each chosen slice, thinner where the volume ends."""
    depth = max(1, round((policy.slab_mm or 0) / (slices.spacing_mm or 1.0)))
    firsts = [index - (depth - 1) // 2 for index in chosen]
    return [
        _Slab(index, range(max(0, first), min(slices.shape[0], first + depth)))
        for index, first in zip(chosen, firsts, strict=True)
    ]


def _decode(
    slices: PlacedSlices, policy: SlicePolicy, slabs: Sequence[_Slab]
) -> Iterator[NDArray[np.int16]]:
    """Yield the Hounsfield units of each slab, (rows, columns)."""
    deepest = max(len(slab.members) for slab in slabs)
    together = max(1, BATCH_BYTES // (2 * slices.shape[1] * slices.shape[2] * deepest))
    for start in range(0, len(slabs), together):
        batch = slabs[start : start + together]
        needed = sorted({index for slab in batch for index in slab.members})
        decoded = slices.source.read(needed)
        position = {index: number for number, index in enumerate(needed)}
        for slab in batch:
            first = position[slab.members[0]]
            yield _project(decoded[first : first + len(slab.members)], policy.slab)


def _places(slices: PlacedSlices, slabs: Sequence[_Slab]) -> list[SlicePlace]:
    """Return the place of each slab, its window still unnamed."""
    instances, synthetic = slices.source.instances, slices.source.synthetic
    return [
        SlicePlace(
            index=centre,
            z_mm=round(float(slices.z_mm[members[0]] + slices.z_mm[members[-1]]) / 2, 4),
            thickness_mm=round(float(slices.thickness_mm[list(members)].sum()), 4),
            window="",
            instances=tuple(name for number in members for name in instances[number]),
            synthetic=any(synthetic[number] for number in members),
        )
        for centre, members in slabs
    ]


def _project(part: NDArray[np.int16], how: str) -> NDArray[np.int16]:
    if len(part) == 1:
        return np.asarray(part[0], np.int16)
    if how == "mip":
        return np.asarray(part.max(axis=0), np.int16)
    return np.asarray(np.rint(part.mean(axis=0, dtype=np.float32)), np.int16)
