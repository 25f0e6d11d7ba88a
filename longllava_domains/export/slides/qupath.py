"""GeoJSON as QuPath reads it: views of a slide as annotations, and what was found, in level-0 pixels.

RFC 7946 asks for longitudes and latitudes; QuPath, TRIDENT and others write pixels of the full
resolution instead, x to the right and y down, and so do we.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from longllava_domains.boxes import SCORE_KIND
from longllava_domains.errors import OutputError
from longllava_domains.files import write_text
from longllava_domains.pathology.detections import FoundOnSlide
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.visual import SlidePlace, VisualSequence

_NAMESPACE: Final = uuid.UUID("6f0c1d7e-3a52-5d0b-9a58-0d6f5f3b7c14")
_COLOUR: Final = [60, 120, 200]
_FOUND_COLOUR: Final = [220, 60, 40]


def write_views(
    path: str | Path,
    sequence: VisualSequence,
    *,
    origin: tuple[int, int] = (0, 0),
    attention: Sequence[float] = (),
    overwrite: bool = False,
) -> None:
    """Write where the views of a slide lie, for ``File > Import objects`` of QuPath.

    Args:
        path: Where the file goes.
        sequence: Views of a slide.
        origin: Level-0 place that the program counts from: (0, 0), or the corner of the slide's
            bounds for QuPath where a slide has bounds.
        attention: Share of an answer's attention on each view, written as a measurement.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: Views of another kind, or the file exists or cannot be written.
    """
    features = view_features(sequence, origin, attention)
    _write(path, features, {"provenance": sequence.provenance.to_json()}, overwrite=overwrite)


def write_detections(path: str | Path, found: FoundOnSlide, *, overwrite: bool = False) -> None:
    """Write what was found on a slide as detections, for ``File > Import objects`` of QuPath.

    Each has its class, and as measurements its score (see `boxes.SCORE_KIND`) and the resolution at
    which it was seen.

    Args:
        path: Where the file goes.
        found: What was found; counted from its `origin`.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    features = [
        _feature(
            f"{number}:{detection.name}:{detection.corners}",
            [(x - found.origin[0], y - found.origin[1]) for x, y in detection.corners],
            {"objectType": "detection", "name": f"{detection.name} {number}",
             "classification": {"name": detection.name, "color": _FOUND_COLOUR}},
            {"mpp": detection.place.mpp, "pieces": detection.pieces}
            | ({} if detection.score is None else {"score": detection.score}),
        )
        for number, detection in enumerate(found.detections, start=1)
    ]  # fmt: skip
    head = {
        "notices": list(found.notices),
        "score_kind": SCORE_KIND,
        "is_complete": found.is_complete,
        "provenance": found.provenance.to_json(),
    }
    _write(path, features, head, overwrite=overwrite)


def _write(
    path: str | Path,
    features: Sequence[Mapping[str, Any]],
    more: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    head = json.dumps({"type": "FeatureCollection", "notice": RESEARCH_NOTICE, **more})[:-1]
    lines = ",\n".join(json.dumps(feature) for feature in features)
    write_text(path, f'{head}, "features": [\n{lines}\n]}}\n', overwrite=overwrite)


def view_features(
    sequence: VisualSequence,
    origin: tuple[int, int] = (0, 0),
    attention: Sequence[float] = (),
) -> list[dict[str, Any]]:
    """Return one annotation for each view, in order; see `write_views`."""
    policy = sequence.provenance.get("policy", {})
    shares: Sequence[float] = policy.get("view_tissue", ())
    features = []
    for position, view in enumerate(sequence):
        place = view.place
        if not isinstance(place, SlidePlace):
            raise OutputError(
                "Only views of a slide have a place that QuPath knows.",
                remedy="Pass the sequence of a pathology slide.",
                code="export.slide",
            )
        measurements = {"mpp": place.mpp, "level": place.level}
        if position < len(shares):
            measurements["tissue"] = shares[position]
        if position < len(attention):
            measurements["attention"] = attention[position]
        features.append(
            _feature(
                f"{position}:{place}",
                _ring(place, origin),
                {"objectType": "annotation", "name": f"view {position + 1}",
                 "classification": {"name": "View", "color": _COLOUR}, "isLocked": True},
                measurements,
            )
        )  # fmt: skip
    return features


def _feature(
    identity: str,
    ring: Sequence[tuple[float, float]],
    properties: Mapping[str, Any],
    measurements: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one object; the same one always has the same id."""
    corners = [list(corner) for corner in ring]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, identity)),
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
        "properties": {**properties, "measurements": dict(measurements)},
    }


def _ring(place: SlidePlace, origin: tuple[int, int]) -> list[tuple[float, float]]:
    left, top = place.x - origin[0], place.y - origin[1]
    right, bottom = left + place.width, top + place.height
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
