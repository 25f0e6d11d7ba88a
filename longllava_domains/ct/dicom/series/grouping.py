"""Group images into sub-series that can each be one volume, and account for all under one UID.

The split follows 3D Slicer's DICOM plugin (series UID, image type, orientation, size, kernel),
with two differences. Acquisition, phase and tube voltage separate images only where positions
repeat, because step-and-shoot scanners number every table step as an acquisition of its own. And
images that differ in image type or kernel alone are joined where one set goes on where the other
ends, or fills its holes: only a true overlap of positions is another reconstruction. What cannot
be joined is named as the rest of its series, so that no part is taken for the whole.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Final

import numpy as np

from longllava_domains.ct.dicom.geometry.stack import common_plane, tilt_of
from longllava_domains.ct.dicom.header import CT_CLASSES, SliceHeader
from longllava_domains.ct.dicom.series.image_type import is_page, kind
from longllava_domains.ct.dicom.series.phases import separate
from longllava_domains.ct.dicom.series.places import (
    Relation,
    normal_of,
    offsets_mm,
    relation,
    span_mm,
    step_mm,
)
from longllava_domains.errors import GeometryError

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
ORIENTATION_TOLERANCE: Final = 1e-3
# Reconstructions of one scan may end so much apart, as a share of the range.
_SAME_ENDS: Final = 0.1
# Comparing each set with each other is not worth it where nearly every image is a set.
_MOST_SETS: Final = 48
_COPIED: Final = frozenset({"file", "syntax", "little_endian", "pixel_offset", "pixel_length",
                            "spans", "bits_stored", "high_bit", "lossy", "bad"})  # fmt: skip


@dataclass(frozen=True)
class Rest:
    """Images under the same series UID that this sub-series does not account for.

    Attributes:
        images: How many.
        span_mm: Their range along the slice normal, None where they have no place.
        differs: In what they differ: ``"size"``, ``"orientation"``, ``"frame of reference"``,
            ``"kernel"``, ``"image type"``, ``"position"`` or ``"acquisition"``.
    """

    images: int
    span_mm: tuple[float, float] | None
    differs: str


@dataclass(frozen=True)
class SubSeries:
    """Images that can be one volume.

    Attributes:
        headers: The images, in the order found.
        kind: ``"volume"``, ``"localizer"``, ``"reformat"`` or ``"map"`` (of a material, not in
            Hounsfield units).
        split_by: What separated it from others of its series, if anything: ``"phase"``,
            ``"acquisition"``, ``"energy"``, ``"time"`` or ``"file"``.
        phase: Its number among those it was separated from, and how many they are.
        mixed: Patients or studies differ under its series UID.
        joined: Sets of another image type or kernel that were joined to it.
        rest: Images under the same UID that lie where this sub-series has none.
        copies: Pairs of an image and a copy of it that was dropped.
    """

    headers: tuple[SliceHeader, ...]
    kind: str
    split_by: tuple[str, ...] = ()
    phase: tuple[int, int] = (1, 1)
    mixed: bool = False
    joined: int = 0
    rest: tuple[Rest, ...] = ()
    copies: tuple[tuple[SliceHeader, SliceHeader], ...] = ()

    @property
    def span_mm(self) -> tuple[float, float] | None:
        """Lowest and highest slice centre along the slice normal."""
        return span_mm(self.headers)


def not_a_slice(header: SliceHeader) -> str | None:
    """Return the report code that sets an image aside, None for a CT slice.

    Pages that show text may show a name (burned-in annotation, secondary captures, dose and
    screen pages); they are never read further.
    """
    if header.burned_in:
        return "page.burned_in"
    if header.sop_class.startswith(_SECONDARY_CAPTURE):
        return "page.secondary_capture"
    if header.sop_class not in CT_CLASSES and (header.sop_class or header.modality != "CT"):
        return "file.other_modality"
    if header.samples != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return "page.colour"
    if header.bits_allocated == 8:
        return "page.8_bit"
    if is_page(header.image_type):
        return "page.screen"
    return None


def group(headers: Iterable[SliceHeader]) -> list[SubSeries]:
    """Split CT slices into sub-series, in a stable order."""
    kept, copies = _without_copies(list(headers))
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    by_series: dict[Hashable, list[SliceHeader]] = defaultdict(list)
    for header in kept:
        people[header.series].add((header.patient, header.study))
        by_series[_series(header)].append(header)
    groups: list[SubSeries] = []
    for images in by_series.values():
        uid = images[0].series
        mixed = bool(uid) and len(people[uid]) > 1
        own: list[SubSeries] = []
        for cluster, joined in _joined(_clusters(images)):
            parts = separate(cluster)
            for number, (part, split_by) in enumerate(_in_order(parts), 1):
                double = tuple((one, copies[one]) for one in part if one in copies)
                found = SubSeries(tuple(part), kind(part[0].image_type), split_by, mixed=mixed)
                place = (number, len(parts))
                own.append(replace(found, phase=place, joined=joined, copies=double))
        groups += [replace(one, rest=_rest(one, own)) for one in own]
    return groups


def _without_copies(
    headers: list[SliceHeader],
) -> tuple[list[SliceHeader], dict[SliceHeader, SliceHeader]]:
    """Return each instance once, and the last copy of those whose whole header is the same."""
    kept: dict[Hashable, SliceHeader] = {}
    copies: dict[SliceHeader, SliceHeader] = {}
    compared = [entry.name for entry in fields(SliceHeader) if entry.name not in _COPIED]
    for number, header in enumerate(headers):
        # Without an instance UID, nothing says that two images are one.
        same = tuple(getattr(header, name) for name in compared) if header.instance else number
        if same in kept:
            copies[kept[same]] = header
        else:
            kept[same] = header
    return list(kept.values()), copies


def _series(header: SliceHeader) -> Hashable:
    # Without a series UID, all that is left is that the images share a patient and a study.
    return header.series or (header.patient, header.study, header.series_number)


def _clusters(headers: Iterable[SliceHeader]) -> list[list[SliceHeader]]:
    """Put together what shares its image type, size, kernel, frame of reference and orientation."""
    alike: dict[Hashable, list[list[SliceHeader]]] = defaultdict(list)
    for header in headers:
        key = (header.frame_of_reference, header.image_type, header.rows, header.columns,
               header.kernel, None if header.series else header.pixel_spacing_mm)  # fmt: skip
        for cluster in alike[key]:
            if _same_orientation(cluster[0], header):
                cluster.append(header)
                break
        else:
            alike[key].append([header])
    return [cluster for candidates in alike.values() for cluster in candidates]


def _same_orientation(first: SliceHeader, second: SliceHeader) -> bool:
    if len(first.orientation) != len(second.orientation):
        return False
    return bool(
        np.allclose(first.orientation, second.orientation, rtol=0, atol=ORIENTATION_TOLERANCE)
    )


def _joined(clusters: list[list[SliceHeader]]) -> list[tuple[list[SliceHeader], int]]:
    """Join clusters that differ in image type alone, then those that differ in kernel as well."""
    found = [(cluster, 0) for cluster in clusters]
    if not 1 < len(clusters) <= _MOST_SETS:
        return found
    found = _join(found, same_kernel=True)
    return _join(found, same_kernel=False)


def _join(
    found: list[tuple[list[SliceHeader], int]], *, same_kernel: bool
) -> list[tuple[list[SliceHeader], int]]:
    """Join what is connected by going on or filling holes, unless any two of it overlap."""
    joins: frozenset[Relation] = frozenset({"adjoining", "completing"})
    if same_kernel:
        joins |= {"interlaced"}
    relations: dict[tuple[int, int], Relation] = {}
    home = list(range(len(found)))
    for i, j in combinations(range(len(found)), 2):
        first, second = found[i][0], found[j][0]
        if _may_join(first[0], second[0], same_kernel=same_kernel):
            relations[i, j] = relation(first, second)
            if relations[i, j] in joins:
                home = [home[i] if place == home[j] else place for place in home]
    result = []
    for place in dict.fromkeys(home):
        members = [i for i, own in enumerate(home) if own == place]
        pairs = [relations.get(pair, "overlapping") for pair in combinations(members, 2)]
        union = [header for i in members for header in found[i][0]]
        if len(members) > 1 and not {"overlapping", "unplaced"} & set(pairs) and _is_line(union):
            result.append((union, len(members) - 1 + sum(found[i][1] for i in members)))
        else:
            result += [found[i] for i in members]
    return result


def _may_join(first: SliceHeader, second: SliceHeader, *, same_kernel: bool) -> bool:
    return (
        kind(first.image_type) == kind(second.image_type) == "volume"
        and (first.rows, first.columns) == (second.rows, second.columns)
        and first.frame_of_reference == second.frame_of_reference
        and _same_orientation(first, second)
        and (first.kernel == second.kernel or not same_kernel)
    )


def _is_line(headers: list[SliceHeader]) -> bool:
    """Return whether images share one plane and pixel spacing, and their positions one line."""
    try:
        plane = common_plane(tuple(headers))
        places = np.array([header.position_mm for header in headers])
        tilt_of(places @ plane.normal, places, plane)
    except GeometryError:
        return False
    return True


def _in_order(
    parts: list[tuple[list[SliceHeader], tuple[str, ...]]],
) -> list[tuple[list[SliceHeader], tuple[str, ...]]]:
    """Return phases in the order of time, where the headers give one."""
    times = [min((h.acquired_s for h in part if h.acquired_s is not None), default=None)
             for part, _ in parts]  # fmt: skip
    if any(time is None for time in times):
        return parts
    return [parts[i] for i in sorted(range(len(parts)), key=lambda i: times[i] or 0.0)]


def _rest(one: SubSeries, own: list[SubSeries]) -> tuple[Rest, ...]:
    """Return what the series has beside a sub-series that the sub-series does not cover."""
    if len(own) > _MOST_SETS:
        others = sum(len(other.headers) for other in own if other is not one)
        return (Rest(others, None, "image type"),)
    return tuple(
        Rest(len(other.headers), other.span_mm, _difference(one.headers[0], other.headers[0]))
        for other in own
        if other is not one and other.kind in ("volume", "reformat") and _lies_beyond(one, other)
    )


def _lies_beyond(one: SubSeries, other: SubSeries) -> bool:
    """Return whether the other has images where this one has none."""
    first, second = one.headers, other.headers
    found = relation(first, second)
    if found == "other_plane":
        return False
    if found == "unplaced":  # a page that no word gives away has no place either
        return first[0].image_type == second[0].image_type
    if found != "overlapping":
        # Phases in turns have been told apart already, for a reason that is in the headers.
        return not (found == "interlaced" and one.split_by and one.split_by == other.split_by)
    normal = normal_of(first[0])
    ours, theirs = offsets_mm(first, normal), offsets_mm(second, normal)
    beyond_mm = max(float(ours[0] - theirs[0]), float(theirs[-1] - ours[-1]))
    return beyond_mm > max(1.5 * step_mm(ours), _SAME_ENDS * float(np.ptp(ours)))


def _difference(one: SliceHeader, other: SliceHeader) -> str:
    """Say in what two images differ, the weightiest first."""
    if len(one.position_mm) != len(other.position_mm):
        return "position"
    if not _same_orientation(one, other):
        return "orientation"
    differences = (
        ("size", (one.rows, one.columns), (other.rows, other.columns)),
        ("frame of reference", one.frame_of_reference, other.frame_of_reference),
        ("kernel", one.kernel, other.kernel),
        ("image type", one.image_type, other.image_type),
    )
    return next((name for name, a, b in differences if a != b), "acquisition")
