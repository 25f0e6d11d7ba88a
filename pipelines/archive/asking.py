"""One question, asked of every item of an archive."""

import json
import time
from pathlib import Path

from longllava_domains.archive import Item, Scored
from longllava_domains.export.slides.qupath import write_views
from longllava_domains.files import write_text
from longllava_domains.pipelines.archive.files import ItemFiles, written
from longllava_domains.pipelines.archive.notices import evidence_notices
from longllava_domains.pipelines.archive.opening import ShownItem
from longllava_domains.pipelines.archive.stages import VisionClock
from longllava_domains.pipelines.archive.task import ArchiveTask
from longllava_domains.pipelines.evidence_notice import with_notices
from longllava_domains.pipelines.loading import load


class AskScorer:
    """Asks one question of CTs, slides or scenes with one loaded model.

    Args:
        asked: What is asked of each.
        spec_key: Of the spec.

    Raises:
        ModelError: The model cannot be loaded.
    """

    def __init__(self, asked: ArchiveTask, spec_key: str) -> None:
        assert asked.model is not None
        self._asked = asked
        self._model = load(asked.model, asked.loading)
        self._clock = VisionClock(self._model)
        self._files = ItemFiles(asked.output, spec_key)

    def score(self, item: Item, prepared: ShownItem) -> Scored:
        """Ask about one item."""
        question = f"{prepared.lead} {self._asked.question}".strip()
        began = time.perf_counter()
        with self._model.open(prepared.sequence) as session:
            seen = time.perf_counter()
            answer = session.ask(question, max_new_tokens=self._asked.max_new_tokens)
        answer = with_notices(
            answer, evidence_notices(answer.provenance, item.domain, self._asked.preset)
        )
        seconds = {"prefill": seen - began, "generation": time.perf_counter() - seen}
        places: list[Path] = []
        if "json" in self._asked.files:
            place = self._files.place(item, "answer.json")
            shown = [view.place.to_json() for view in prepared.sequence]
            content = {**answer.to_json(), "views": shown}
            write_text(place, json.dumps(content, indent=2) + "\n", overwrite=True)
            places.append(place)
        if "geojson" in self._asked.files and item.domain == "pathology":
            views = self._files.place(item, "views.geojson")

            def write() -> list[Path]:
                write_views(views, prepared.sequence, origin=prepared.origin, overwrite=True)
                return [views]

            places += written(write)
        return Scored(
            text=answer.text,
            numbers={
                "views": len(prepared.sequence),
                "tokens": answer.provenance.get("tokens", 0),
                "cut": answer.stopped == "length",
            },
            input_sha256=prepared.sequence.content_sha256(),
            seconds=self._clock.parted(seconds),
            files=self._files.named(places) if places else (),
            demo=bool(answer.provenance.get("demo", False)),
        )
