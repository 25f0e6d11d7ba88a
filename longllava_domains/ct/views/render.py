"""From a volume and a policy to views: choose slices, window them, resize one grey channel."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.views.body_crop import BodyBox, body_box
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.windows import AnyWindow, RgbWindow, Window, header_window
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import PolicyError
from longllava_domains.provenance import Provenance
from longllava_domains.visual import SlicePlace, View, VisualSequence
from longllava_domains.visual.resample import resize_grey, to_uint8

OTHER_KERNEL_NOTICE: Final = "The reconstruction kernel is not the one asked for."

__all__ = ["SlicePolicy", "choose_slices", "medgemma_indices", "show", "view_size"]

# Hounsfield units decoded at a time. A series stored in coronal slices must be read whole for
# any of them, so few large batches; still far less than a volume of a thousand slices.
BATCH_BYTES: Final = 64 * 2**20


class _Slab(NamedTuple):
    """The slice that was chosen, and the slices shown together with it."""

    centre: int
    members: range


def show(volume: CTVolume, policy: SlicePolicy) -> VisualSequence:
    """Turn a volume into views: patient right on image left, anterior up, head first.

    Slabs are formed in Hounsfield units; then the window is applied, then one grey channel is
    resized and rounded. Only slices that are shown are decoded, a batch at a time.

    Raises:
        PolicyError: The policy chooses no slice, or asks for a header window there is none of.
    """
    chosen, left_out = choose_slices(volume, policy)
    windows = [
        header_window(volume.facts, w) if isinstance(w, str) else w for w in policy.windows_shown
    ]
    slabs = _slabs(volume, policy, chosen)
    # Hashing takes about as long as reading; it lets other threads run.
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(volume.source.content_sha256)
        box = _box(volume, policy, slabs)
        spacing = volume.spacing_mm
        size = view_size((box.rows, box.columns), (spacing[1], spacing[2]), policy.view_px)
        sweeps: list[list[View]] = [[] for _ in windows]
        shown = zip(_places(volume, slabs), _decode(volume, policy, slabs), strict=True)
        for place, hu in shown:
            part = box.cut(hu)
            for sweep, window in zip(sweeps, windows, strict=True):
                sweep.append(View(render(part, window, size), replace(place, window=window.name)))
    views = tuple(view for sweep in sweeps for view in sweep)
    notices = {"notices": [OTHER_KERNEL_NOTICE]} if _is_other_kernel(volume, policy) else {}
    return VisualSequence(
        views,
        layout=policy.layout,
        left_out=left_out,
        provenance=Provenance(
            domain="ct",
            source_kind=volume.report.source_kind,
            input_sha256=digest.result(),
            load_report=volume.report.to_json(),
            spacing_mm=list(spacing),
            size=list(volume.shape),
            policy=policy.to_json(),
            layout=policy.layout,
            views=len(views),
            left_out=dict(left_out),
            **notices,
        ),
    )


def _is_other_kernel(volume: CTVolume, policy: SlicePolicy) -> bool:
    """Tell whether the header names another kernel than was asked for; many name none."""
    wanted, found = policy.kernel, volume.facts.get("kernel", "unknown")
    return wanted is not None and found not in (wanted, "unknown")


def choose_slices(volume: CTVolume, policy: SlicePolicy) -> tuple[list[int], dict[str, int]]:
    """Choose slice numbers, head first, and count the slices left out by reason.

    Reasons: ``outside_range``, ``spacing``, ``count`` and ``max_views``.

    Raises:
        PolicyError: No slice lies in the range.
    """
    left_out: dict[str, int] = {}
    chosen = list(range(volume.shape[0]))
    if policy.z_range_mm is not None:
        low, high = policy.z_range_mm
        z_mm = _z_mm(volume)
        chosen = [index for index in chosen if low <= z_mm[index] <= high]
        _count(left_out, "outside_range", volume.shape[0] - len(chosen))
    if not chosen:
        raise PolicyError(
            "No slice lies in the range that the policy names.",
            remedy="Choose z_range_mm between the volume's ends, which the facts give.",
            code="policy.range",
            facts={"z_min_mm": volume.z_mm(volume.shape[0] - 1), "z_max_mm": volume.z_mm(0)},
        )
    if policy.spacing_mm is not None:
        chosen = _thin(
            chosen,
            _spaced(len(chosen), policy.spacing_mm / volume.spacing_mm[0]),
            left_out,
            "spacing",
        )
    elif policy.count is not None:
        rule = medgemma_indices if policy.sampling == "medgemma" else _uniform
        chosen = _thin(chosen, rule(len(chosen), policy.count), left_out, "count")
    if policy.max_views is not None:
        budget = policy.max_views // len(policy.windows_shown)
        chosen = _thin(chosen, _uniform(len(chosen), budget), left_out, "max_views")
    return chosen, left_out


def medgemma_indices(slices: int, count: int = 85) -> list[int]:
    """Choose `count` of `slices` as the MedGemma 1.5 notebook does: the first is never shown."""
    if slices <= count:
        return list(range(slices))
    return [round(i / count * (slices - 1)) for i in range(1, count + 1)]


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


def _box(volume: CTVolume, policy: SlicePolicy, slabs: Sequence[_Slab]) -> BodyBox:
    whole = BodyBox(0, volume.shape[1], 0, volume.shape[2])
    if not policy.body_crop:
        return whole
    return body_box(_decode(volume, policy, slabs), volume.spacing_mm[1:]) or whole


def _slabs(volume: CTVolume, policy: SlicePolicy, chosen: Sequence[int]) -> list[_Slab]:
    """Return the slab around each chosen slice, thinner where the volume ends."""
    depth = max(1, round((policy.slab_mm or 0) / volume.spacing_mm[0]))
    firsts = [index - (depth - 1) // 2 for index in chosen]
    return [
        _Slab(index, range(max(0, first), min(volume.shape[0], first + depth)))
        for index, first in zip(chosen, firsts, strict=True)
    ]


def _decode(
    volume: CTVolume, policy: SlicePolicy, slabs: Sequence[_Slab]
) -> Iterator[NDArray[np.int16]]:
    """Yield the Hounsfield units of each slab, (rows, columns)."""
    deepest = max(len(slab.members) for slab in slabs)
    together = max(1, BATCH_BYTES // (2 * volume.shape[1] * volume.shape[2] * deepest))
    for start in range(0, len(slabs), together):
        batch = slabs[start : start + together]
        needed = sorted({index for slab in batch for index in slab.members})
        decoded = volume.source.read(needed)
        position = {index: number for number, index in enumerate(needed)}
        for slab in batch:
            first = position[slab.members[0]]
            yield _project(decoded[first : first + len(slab.members)], policy.slab)


def _z_mm(volume: CTVolume) -> NDArray[np.float64]:
    """Return the position of every slice centre along the slice normal."""
    step = volume.z_mm(1) - volume.z_mm(0)
    return np.asarray(volume.z_mm(0) + step * np.arange(volume.shape[0]), np.float64)


def _places(volume: CTVolume, slabs: Sequence[_Slab]) -> list[SlicePlace]:
    """Return the place of each slab, its window still unnamed."""
    instances, synthetic, z_mm = volume.source.instances, volume.source.synthetic, _z_mm(volume)
    return [
        SlicePlace(
            index=centre,
            z_mm=round(float(z_mm[members[0]] + z_mm[members[-1]]) / 2, 4),
            thickness_mm=round(len(members) * volume.spacing_mm[0], 4),
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


def _thin(chosen: list[int], kept: list[int], left_out: dict[str, int], reason: str) -> list[int]:
    _count(left_out, reason, len(chosen) - len(kept))
    return [chosen[position] for position in kept]


def _count(left_out: dict[str, int], reason: str, slices: int) -> None:
    if slices:
        left_out[reason] = slices


def _spaced(slices: int, step: float) -> list[int]:
    """Return positions nearest to every `step`-th, each once; all of them where step <= 1."""
    wanted = np.arange(0, slices - 0.5, max(step, 1.0))
    return sorted({int(position) for position in np.floor(wanted + 0.5) if position < slices})


def _uniform(slices: int, count: int) -> list[int]:
    """Return `count` positions spread from first to last; a single one is the middle."""
    if slices <= count:
        return list(range(slices))
    if count == 1:
        return [slices // 2]
    return [round(i * (slices - 1) / (count - 1)) for i in range(count)]
