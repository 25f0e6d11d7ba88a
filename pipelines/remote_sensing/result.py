"""Results of `RemoteSensingQA`: an answer about a scene, or things on its map."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from longllava_domains.answer import Answer
from longllava_domains.boxes import Dialect
from longllava_domains.errors import PolicyError
from longllava_domains.export.maps.geojson import write_geojson
from longllava_domains.export.maps.geopackage import write_geopackage
from longllava_domains.export.maps.geoparquet import write_geoparquet
from longllava_domains.export.maps.stac import write_stac_item
from longllava_domains.files import new_file
from longllava_domains.html.facts import facts_table, rows_table
from longllava_domains.pipelines.remote_sensing.drawing import DRAWN_PX, draw_detections
from longllava_domains.provenance import Provenance, notices_for
from longllava_domains.remote_sensing import Raster
from longllava_domains.remote_sensing.detections.detection import from_text
from longllava_domains.remote_sensing.detections.detections import Detections
from longllava_domains.visual import MapPlace, VisualSequence


@dataclass(frozen=True, eq=False)
class SceneAnswer:
    """An answer about a whole scene.

    Attributes:
        answer: What the model said.
        sequence: The global view and the tiles it was shown.
    """

    answer: Answer
    sequence: VisualSequence

    @property
    def text(self) -> str:
        """Text of the answer, as the model said it."""
        return self.answer.text

    @property
    def provenance(self) -> Provenance:
        """Provenance of the answer."""
        return self.answer.provenance

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices to read before the answer, the research notice first."""
        return notices_for(self.provenance)

    def boxes_on_map(self, dialect: Dialect = "fit-rs") -> list[dict[str, Any]]:
        """Return the boxes of the text, read in per cent of the global view, in map coordinates.

        Args:
            dialect: How the answer writes boxes.
        """
        place = self.sequence[0].place
        assert isinstance(place, MapPlace)
        read = from_text(place, self.text, "object", dialect=dialect)
        return [detection.to_json() for detection in read.detections]

    def shown(self) -> str:
        """Say in one line at which resolution the scene was shown, and what was left out."""
        ground = self.sequence.provenance.get("resolution_m")
        sharp = "an unknown ground resolution" if ground is None else f"{ground:.3g} m per pixel"
        is_dated = self.sequence.layout == "temporal"
        roles = [getattr(view.place, "role", "") for view in self.sequence]
        dates = max(1, roles.count("global"))
        tiles = roles.count("tile") // dates
        text = f"Shown at {sharp}: a global view and {tiles} tile{'' if tiles == 1 else 's'}"
        text += f" of each of {dates} dates" if is_dated else ""
        averaged = self.sequence.left_out.get("native_tiles_averaged", 0)
        if averaged:
            text += f"; {averaged + tiles} tiles at native resolution were averaged into them"
        return text + "."

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON, with the place of every view."""
        return {
            **self.answer.to_json(),
            "notices": list(self.notices),
            "demo": bool(self.provenance.get("demo", False)),
            "boxes": self.boxes_on_map(),
            "views": [view.place.to_json() for view in self.sequence],
            "left_out": dict(self.sequence.left_out),
        }

    def show(self) -> Image.Image:
        """Return a contact sheet of the views, as a notebook shows a picture."""
        return self.sequence.show()

    def __repr__(self) -> str:
        return f"SceneAnswer({self.text!r}, {len(self.sequence)} views)"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        return facts_table(
            "Scene answer",
            {"notices": " ".join(self.notices), "text": self.text, "views": len(self.sequence)},
        )


@dataclass(frozen=True)
class SceneDetections(Detections):
    """Things found in a scene, and the files they can be saved as."""

    def __repr__(self) -> str:
        whole = "complete" if self.is_complete else "not complete"
        return f"SceneDetections({len(self.detections)} x {self.category}, {whole})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: one row for each class found, and the notices."""
        counts = Counter(found.name for found in self.detections)
        title = f"{len(self.detections)} detections. {' '.join(self.notices)}"
        return rows_table(title, ("class", "detections"), sorted(counts.items()))

    def summary(self) -> str:
        """Say the result in one line: ``"40 ships in 5,329 chips, 3 chips unreadable"``."""
        number, outcomes = len(self.detections), self.outcomes
        name = self.category if number == 1 else f"{self.category}s"
        parts = [f"{number:,} {name} in {_chips(outcomes['seen'] + outcomes['failed'])}"]
        unreadable = sum(chip.status == "failed" and not chip.cut_short for chip in self.chips)
        if unreadable:
            parts.append(f"{_chips(unreadable)} unreadable")
        if self.cut_short:
            parts.append(f"{_chips(self.cut_short)} with an answer cut short")
        if outcomes["skipped"]:
            parts.append(f"{_chips(outcomes['skipped'])} without data")
        more = sum(chip.incomplete and not chip.cut_short for chip in self.chips)
        if more:
            parts.append(f"{_chips(more)} with more than was listed")
        return ", ".join(parts)

    def save_geojson(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write GeoJSON (RFC 7946, longitude and latitude), footprints in a file beside it.

        Raises:
            OutputError: No georeference, or the file exists or cannot be written.
        """
        write_geojson(path, self, overwrite=overwrite)

    def save_geopackage(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a GeoPackage in the scene's CRS: detections and footprints, styled for QGIS.

        Raises:
            OutputError: No georeference, or the file exists or cannot be written.
        """
        write_geopackage(path, self, overwrite=overwrite)

    def save_geoparquet(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write GeoParquet 1.1 in the scene's CRS, footprints in a file beside it.

        Raises:
            OutputError: No georeference, or the file exists or cannot be written.
        """
        write_geoparquet(path, self, overwrite=overwrite)

    def draw(self, scene: Raster) -> Image.Image:
        """Draw what was found on the scene: detections in yellow, parts without an answer in red.

        Args:
            scene: The raster that was searched, still open.

        Raises:
            PolicyError: A path, where the open scene is needed.
            DamagedInputError: A block of the scene cannot be decoded.
        """
        if isinstance(scene, (str, Path)):
            raise PolicyError(
                "The scene to draw on is not open: a name or a path was given.",
                remedy="Open it: with remote_sensing.open_raster(path) as scene, then draw(scene).",
                code="scene.not_open",
            )
        return draw_detections(self, scene.overview(DRAWN_PX), self.summary())

    def save_picture(self, path: str | Path, scene: Raster, *, overwrite: bool = False) -> None:
        """Write the drawing as PNG or JPEG, by the ending of the file.

        Raises:
            DamagedInputError: A block of the scene cannot be decoded.
            OutputError: The file exists or cannot be written.
        """
        with new_file(path, overwrite=overwrite) as temporary:
            self.draw(scene).save(temporary)

    def save_stac(
        self,
        path: str | Path,
        *,
        assets: Sequence[str | Path] = (),
        overwrite: bool = False,
    ) -> None:
        """Write a STAC item that is derived from the scene.

        Args:
            path: Where the item goes.
            assets: Files already saved of these findings, to link with checksums.
            overwrite: Replace a file that is already there.

        Raises:
            OutputError: No georeference, a missing asset, or the file exists or cannot be written.
        """
        write_stac_item(path, self, assets=assets, overwrite=overwrite)


@dataclass(frozen=True)
class Count:
    """Count of one kind of thing, as far as the model saw.

    Attributes:
        findings: What was counted.
    """

    findings: SceneDetections

    @property
    def count(self) -> int:
        """Objects found, each once."""
        return len(self.findings.detections)

    @property
    def is_complete(self) -> bool:
        """False where a view failed, a box was broken, or an answer left objects out."""
        return self.findings.is_complete

    def to_json(self) -> dict[str, Any]:
        """Return the count with all that it rests on."""
        return {"count": self.count, "count_is_complete": self.is_complete} | (
            self.findings.to_json()
        )


def _chips(number: int) -> str:
    return f"{number:,} chip" if number == 1 else f"{number:,} chips"
