"""Detections on a scene, for the writers of map files: chips seen, skipped and failed, two ships."""

from longllava_domains.boxes import Box
from longllava_domains.provenance import Provenance
from longllava_domains.remote_sensing.detections.detection import Detection
from longllava_domains.remote_sensing.detections.detections import ChipOutcome, Detections
from longllava_domains.visual import MapPlace


def to_utm(column: float, row: float) -> tuple[float, float]:
    return 500_000 + 0.5 * column, 5_400_000 - 0.5 * row


def to_dateline(column: float, row: float) -> tuple[float, float]:
    return 179.999 + 1e-5 * column, 10 - 1e-5 * row


def chip(column, row, crs, to_map) -> MapPlace:
    return MapPlace(column, row, 512, 512, "chip", 0.5, crs, to_map)


def findings(crs="EPSG:32631", to_map=to_utm, size=(924, 700), **made) -> Detections:
    places = [chip(c, r, crs, to_map) for r in (0, 188) for c in (0, 412)]
    return Detections(
        category="ship",
        detections=(
            Detection("ship", Box(10, 20, 8, 4, 30), places[0], score=0.75),
            Detection("ship", Box(60, 50, 5, 2, 90), places[3], pieces=2),
        ),
        chips=(
            ChipOutcome(places[0], "seen", "found", 1),
            ChipOutcome(places[1], "skipped", "nodata"),
            ChipOutcome(places[2], "failed", "unreadable", problems={"unclosed": 2}),
            ChipOutcome(places[3], "seen", "found", 1, incomplete=True),
        ),
        size=size,
        provenance=Provenance(
            model="org/model",
            adapter="local:12345678",
            prompt_sha256="ab" * 32,
            datetime="2024-05-01T10:20:30Z",
            created="2026-01-02T03:04:05Z",
            source_href="https://host/scene.tif",
            demo=True,
            **made,
        ),
    )
