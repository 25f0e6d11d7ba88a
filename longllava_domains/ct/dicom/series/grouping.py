"""Group images into sub-series that can each be one volume, and say what each one is.

The split follows 3D Slicer's DICOM plugin (series UID, image type, orientation, size, kernel),
with one difference: acquisition, phase and tube voltage separate images only where positions
repeat, because step-and-shoot scanners number every table step as an acquisition of its own.
They separate images that take turns along one range, too: two scans that lie between each other.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from longllava_domains.ct.dicom.header import CT_CLASSES, SliceHeader

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_LOCALIZERS: Final = ("LOCALIZER", "SCOUT", "SURVIEW", "TOPOGRAM", "SCANOGRAM", "PILOT")
_PAGES: Final = ("SCREEN", "DOSE", "PATIENT_INFO", "RESULTS", "PROT", "REPORT", "SUMMARY")
_REFORMATS: Final = ("MPR", "REFORMAT", "CPR", "CURVED", "MIP", "MINIP", "AVG", "AVERAGE",
                     "VOLUME RENDERED", "VRT", "SSD", "3D", "PROJECTION")  # fmt: skip
ORIENTATION_TOLERANCE: Final = 1e-3
POSITION_TOLERANCE_MM: Final = 0.01

# Phases of one scan cover nearly the same range.
_SAME_RANGE: Final = 1.5
# Scans that take turns have more of their range in common than table steps that overlap.
_IN_TURNS: Final = 0.5
# Attributes that may tell apart images at one position, weakest assumption first.
_SEPARATORS: Final[tuple[tuple[str, Callable[[SliceHeader], Hashable]], ...]] = (
    ("phase", lambda header: header.phase),
    ("acquisition", lambda header: header.acquisition),
    ("energy", lambda header: header.kvp),
)


@dataclass(frozen=True)
class SubSeries:
    """Images that can be one volume.

    Attributes:
        headers: The images, in the order found.
        kind: ``"volume"``, ``"localizer"`` or ``"reformat"``.
        split_by: Which attribute separated it from others of its series, if any:
            ``"phase"``, ``"acquisition"`` or ``"energy"``.
        mixed: Patients or studies differ under its series UID.
        other_sizes: Images that differ from these in nothing but rows and columns.
    """

    headers: tuple[SliceHeader, ...]
    kind: str
    split_by: tuple[str, ...] = ()
    mixed: bool = False
    other_sizes: int = 0


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
    if _mentions(header, _PAGES):
        return "page.screen"
    return None


def _mentions(header: SliceHeader, words: Iterable[str]) -> bool:
    """Tell whether the image type's values from the third on contain one of the words."""
    return any(word in value for value in header.image_type[2:] for word in words)


def group(headers: Iterable[SliceHeader]) -> list[SubSeries]:
    """Split CT slices into sub-series, in a stable order."""
    headers = list(headers)
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for header in headers:
        people[header.series].add((header.patient, header.study))
    clusters = _clusters(headers)
    sizes: Counter[Hashable] = Counter()
    for cluster in clusters:
        sizes[_apart_from_size(cluster[0])] += len(cluster)
    groups = []
    for cluster in clusters:
        uid = cluster[0].series
        mixed = bool(uid) and len(people[uid]) > 1
        other_sizes = sizes[_apart_from_size(cluster[0])] - len(cluster) if uid else 0
        for part, split_by in _separate(cluster):
            groups.append(SubSeries(tuple(part), _kind(part), split_by, mixed, other_sizes))
    return groups


def _clusters(headers: Iterable[SliceHeader]) -> list[list[SliceHeader]]:
    """Put together what shares its series, image type, size, kernel and orientation."""
    alike: dict[Hashable, list[list[SliceHeader]]] = defaultdict(list)
    for header in headers:
        candidates = alike[_discrete_key(header)]
        for cluster in candidates:
            if _same_orientation(cluster[0], header):
                cluster.append(header)
                break
        else:
            candidates.append([header])
    return [cluster for candidates in alike.values() for cluster in candidates]


def _discrete_key(header: SliceHeader) -> Hashable:
    # Without a series UID, all that is left is that the images share a patient and a geometry.
    series = header.series or (header.patient, header.study, header.series_number)
    return (
        series,
        header.frame_of_reference,
        header.image_type,
        header.rows,
        header.columns,
        header.kernel,
        None if header.series else header.pixel_spacing_mm,
    )


def _apart_from_size(header: SliceHeader) -> Hashable:
    turned = tuple(round(x, 2) for x in header.orientation)
    return (header.series, header.image_type, header.kernel, turned)


def _same_orientation(first: SliceHeader, second: SliceHeader) -> bool:
    if len(first.orientation) != len(second.orientation):
        return False
    return bool(
        np.allclose(first.orientation, second.orientation, rtol=0, atol=ORIENTATION_TOLERANCE)
    )


def _kind(headers: list[SliceHeader]) -> str:
    if any(_mentions(header, _LOCALIZERS) for header in headers):
        return "localizer"
    if any(_mentions(header, _REFORMATS) for header in headers):
        return "reformat"
    return "volume"


def _separate(headers: list[SliceHeader]) -> list[tuple[list[SliceHeader], tuple[str, ...]]]:
    """Split images that repeat positions by what tells them apart, if anything does."""
    places = _places(headers)
    if len(places) == len(headers):
        return _separate_turns(headers)
    for count in range(1, len(_SEPARATORS) + 1):
        for chosen in combinations(_SEPARATORS, count):
            parts: dict[Hashable, list[SliceHeader]] = defaultdict(list)
            for header in headers:
                parts[tuple(read(header) for _, read in chosen)].append(header)
            if _explains(list(parts.values()), len(places)):
                names = tuple(name for name, _ in chosen)
                return [(part, names) for part in parts.values()]
    return [(headers, ())]


def _separate_turns(headers: list[SliceHeader]) -> list[tuple[list[SliceHeader], tuple[str, ...]]]:
    """Split images of several phases, acquisitions or energies that take turns along one range.

    Table steps have values of their own, but their ranges lie one behind the other; and a value
    that one image has alone is no second scan.
    """
    for name, read in _SEPARATORS:
        parts: dict[Hashable, list[SliceHeader]] = defaultdict(list)
        for header in headers:
            parts[read(header)].append(header)
        each = list(parts.values())
        shared = all(_overlap(first, second) > _IN_TURNS for first, second in combinations(each, 2))
        if len(each) > 1 and min(map(len, each)) > 1 and shared:
            return [(part, (name,)) for part in each]
    return [(headers, ())]


def _overlap(first: list[SliceHeader], second: list[SliceHeader]) -> float:
    """Return which share of the shorter range of positions the two have in common."""
    if any(len(header.position_mm) != 3 for header in (*first, *second)):
        return 0.0
    ranges = []
    for part in (first, second):
        places = np.array([header.position_mm for header in part])
        along = np.ptp(places, axis=0).argmax()
        ranges.append((places[:, along].min(), places[:, along].max(), along))
    (low, high, axis), (other_low, other_high, other_axis) = ranges
    shorter = min(high - low, other_high - other_low)
    if axis != other_axis or shorter == 0:
        return 0.0
    return float((min(high, other_high) - max(low, other_low)) / shorter)


def _explains(parts: list[list[SliceHeader]], places: int) -> bool:
    """Tell whether a split accounts for repeated positions: each part has every place once.

    A lone image with a number of its own is a stray copy, not a phase; and parts that only touch
    are the table steps of one scan, not phases of one place.
    """
    sizes = [len(part) for part in parts]
    once = all(len(_places(part)) == len(part) for part in parts)
    return len(parts) > 1 and once and min(sizes) > 1 and places <= _SAME_RANGE * max(sizes)


def _places(headers: list[SliceHeader]) -> set[tuple[int, ...]]:
    """Return the positions of images, rounded; those without one are each a place of their own."""
    return {
        tuple(round(x / POSITION_TOLERANCE_MM) for x in header.position_mm) or (number,)
        for number, header in enumerate(headers)
    }
