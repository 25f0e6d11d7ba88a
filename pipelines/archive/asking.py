"""One question, asked of every item of an archive."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from longllava_domains.answer import Answer
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
        began = time.perf_counter()
        with self._model.open(prepared.sequence) as session:
            seen = time.perf_counter()
            answer = session.ask(
                self._question(prepared), max_new_tokens=self._asked.max_new_tokens
            )
        seconds = {"prefill": seen - began, "generation": time.perf_counter() - seen}
        return self._scored(item, prepared, answer, self._clock.parted(seconds))

    def score_many(self, pairs: Sequence[tuple[Item, ShownItem]]) -> list[Scored]:
        """Ask about several items; each is seen by itself, and the answers share their steps."""
        from longllava_domains.model import Session, answer_many

        began = time.perf_counter()
        with ExitStack() as stack:
            sessions = [
                cast(Session, stack.enter_context(self._model.open(prepared.sequence)))
                for _, prepared in pairs
            ]
            seen = time.perf_counter()
            questions = [self._question(prepared) for _, prepared in pairs]
            answers = answer_many(
                list(zip(sessions, questions, strict=True)),
                max_new_tokens=self._asked.max_new_tokens,
            )
        count = len(pairs)
        seconds = {
            "prefill": (seen - began) / count,
            "generation": (time.perf_counter() - seen) / count,
        }
        shares = self._clock.parted(seconds, count)
        return [
            self._scored(item, prepared, answer, shares)
            for (item, prepared), answer in zip(pairs, answers, strict=True)
        ]

    def _question(self, prepared: ShownItem) -> str:
        return f"{prepared.lead} {self._asked.question}".strip()

    def _scored(
        self, item: Item, prepared: ShownItem, answer: Answer, seconds: Mapping[str, float]
    ) -> Scored:
        answer = with_notices(
            answer, evidence_notices(answer.provenance, item.domain, self._asked.preset)
        )
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
            seconds=seconds,
            files=self._files.named(places) if places else (),
            demo=bool(answer.provenance.get("demo", False)),
        )
