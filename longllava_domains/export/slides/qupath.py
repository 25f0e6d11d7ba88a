"""GeoJSON as QuPath reads it: the views of a slide as annotations, in level-0 pixels.

RFC 7946 asks for longitudes and latitudes; QuPath, TRIDENT and others write pixels of the full
resolution instead, x to the right and y down, and so do we.
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import OutputError
from longllava_domains.files import write_text
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.visual import SlidePlace, VisualSequence

_NAMESPACE: Final = uuid.UUID("6f0c1d7e-3a52-5d0b-9a58-0d6f5f3b7c14")
_COLOUR: Final = [60, 120, 200]


def write_views(
    path: str | Path,
    sequence: VisualSequence,
    *,
    origin: tuple[int, int] = (0, 0),
    overwrite: bool = False,
) -> None:
    """Write where the views of a slide lie, for ``File > Import objects`` of QuPath.

    Args:
        path: Where the file goes.
        sequence: Views of a slide.
        origin: Level-0 place that the program counts from: (0, 0), or the corner of the slide's
            bounds for QuPath where a slide has bounds.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: Views of another kind, or the file exists or cannot be written.
    """
    features = view_features(sequence, origin)
    head = json.dumps(
        {
            "type": "FeatureCollection",
            "notice": RESEARCH_NOTICE,
            "provenance": sequence.provenance.to_json(),
        }
    )[:-1]
    lines = ",\n".join(json.dumps(feature) for feature in features)
    write_text(path, f'{head}, "features": [\n{lines}\n]}}\n', overwrite=overwrite)


def view_features(
    sequence: VisualSequence, origin: tuple[int, int] = (0, 0)
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
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(_NAMESPACE, f"{position}:{place}")),
                "geometry": {"type": "Polygon", "coordinates": [_ring(place, origin)]},
                "properties": {
                    "objectType": "annotation",
                    "name": f"view {position + 1}",
                    "classification": {"name": "View", "color": _COLOUR},
                    "isLocked": True,
                    "measurements": measurements,
                },
            }
        )
    return features


def _ring(place: SlidePlace, origin: tuple[int, int]) -> list[list[int]]:
    left, top = place.x - origin[0], place.y - origin[1]
    right, bottom = left + place.width, top + place.height
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
