"""One kind of thing, looked for in every scene of an archive."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longllava_domains.archive import Item, Scored
from longllava_domains.archive.results.parts import writing
from longllava_domains.files import write_text
from longllava_domains.pipelines.archive.files import ItemFiles, written
from longllava_domains.pipelines.archive.opening import opened
from longllava_domains.pipelines.archive.stages import VisionClock
from longllava_domains.pipelines.archive.task import ArchiveTask
from longllava_domains.pipelines.domains.registry import domains, settings_for
from longllava_domains.pipelines.loading import load
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA
from longllava_domains.pipelines.remote_sensing.result import SceneDetections

_SAVERS = {"geojson": SceneDetections.save_geojson, "gpkg": SceneDetections.save_geopackage}


def try_scene(settings: Mapping[str, Any], item: Item) -> None:
    """Open a scene and close it: what would be refused is refused ahead of the model.

    Chips are read while the model looks; a whole scene would not fit between two processes.
    """
    with opened(item, settings_for(domains()["remote_sensing"], settings)):
        pass


class FindScorer:
    """Looks for one kind of thing in scenes with one loaded model.

    Args:
        asked: What is looked for.
        spec_key: Of the spec.

    Raises:
        ModelError: The model cannot be loaded.
    """

    def __init__(self, asked: ArchiveTask, spec_key: str) -> None:
        assert asked.model is not None
        self._asked = asked
        model = load(asked.model, asked.loading)
        self._search = RemoteSensingQA(model)
        self._clock = VisionClock(model)
        self._files = ItemFiles(asked.output, spec_key)

    def score(self, item: Item, prepared: None) -> Scored:
        """Search one scene; answers about chips are kept, so that a stopped search goes on."""
        settings = settings_for(domains()["remote_sensing"], self._asked.settings)
        with opened(item, settings) as scene:
            journal = self._files.place(item, "answers.jsonl")
            found = self._search.find(scene, self._asked.question, keep_in=journal)
        places = self._write(item, found)
        with writing():
            journal.unlink(missing_ok=True)
        outcomes = found.outcomes
        return Scored(
            text=found.summary(),
            numbers={
                "found": len(found.detections),
                "chips": len(found.chips),
                "unreadable": outcomes["failed"],
                "complete": found.is_complete,
            },
            input_sha256=found.provenance.get("input_sha256", ""),
            seconds=self._clock.parted({"generation": found.provenance.get("seconds", 0.0)}),
            files=self._files.named(places),
            demo=bool(found.provenance.get("demo", False)),
        )

    def _write(self, item: Item, found: SceneDetections) -> list[Path]:
        """Write map files, and JSON where the scene has no place on the map."""
        places: list[Path] = []
        for kind in self._asked.files or ("geojson",):
            if kind in _SAVERS:
                places += self._save(item, found, kind)
        if not places or "json" in self._asked.files:
            place = self._files.place(item, "detections.json")
            write_text(place, json.dumps(found.to_json(), indent=1) + "\n", overwrite=True)
            places.append(place)
        return places

    def _save(self, item: Item, found: SceneDetections, kind: str) -> list[Path]:
        place = self._files.place(item, f"detections.{kind}")

        def write() -> list[Path]:
            _SAVERS[kind](found, place, overwrite=True)
            return sorted(place.parent.glob(f"detections*.{kind}"))

        return written(write)
