"""CT reports and findings of the items of an archive."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from longllava_domains.archive import FindingScore, Item, Scored, open_ct
from longllava_domains.files import write_text
from longllava_domains.pipelines.archive.files import ItemFiles, written
from longllava_domains.pipelines.archive.stages import VisionClock
from longllava_domains.pipelines.archive.task import ArchiveTask
from longllava_domains.pipelines.ct.reading import CTReading, ShownCT
from longllava_domains.pipelines.ct.report import CTReport
from longllava_domains.pipelines.ct.together import read_together


class CTArchiveScorer:
    """Scores CTs with one loaded model.

    Args:
        asked: What is asked of each.
        spec_key: Of the spec.

    Raises:
        ModelError: The model cannot be loaded.
    """

    def __init__(self, asked: ArchiveTask, spec_key: str) -> None:
        assert asked.model is not None
        self._asked = asked
        self._report = CTReport.from_pretrained(
            asked.model, preset=asked.preset, **vars(asked.loading)
        )
        self._clock = VisionClock(self._report.model)
        self._files = ItemFiles(asked.output, spec_key, asked.documents)
        self._with_text = asked.task == "ct-report"

    def score(self, item: Item, prepared: ShownCT) -> Scored:
        """Score one CT; chest findings are withheld where the CT is proved to show no chest."""
        reading = self._report.read(prepared, max_new_tokens=self._longest())
        return self._scored(item, reading, self._clock.parted(reading.seconds))

    def score_many(self, pairs: Sequence[tuple[Item, ShownCT]]) -> list[Scored]:
        """Score several CTs; each is seen by itself, then questions and drafts share their steps."""
        shown = [prepared for _, prepared in pairs]
        readings = read_together(self._report, shown, max_new_tokens=self._longest())
        seconds = self._clock.parted(readings[0].seconds, len(pairs))
        return [
            self._scored(item, reading, seconds)
            for (item, _), reading in zip(pairs, readings, strict=True)
        ]

    def _longest(self) -> int | None:
        """Return the longest draft: of findings alone, one token."""
        return None if self._with_text else 1

    def _scored(self, item: Item, reading: CTReading, seconds: Mapping[str, float]) -> Scored:
        places = self._write(item, reading)
        return Scored(
            text=reading.text if self._with_text else "",
            findings=tuple(
                FindingScore(found.label, found.yes_logit_margin, found.probability)
                for found in reading.abnormalities.values()
            ),
            numbers={
                "views": len(reading.sequence),
                "withheld": len(reading.provenance.get("withheld", ())),
            },
            input_sha256=reading.sequence.content_sha256(),
            seconds=seconds,
            files=self._files.named(places) if places else (),
            demo=bool(reading.provenance.get("demo", False)),
        )

    def _write(self, item: Item, reading: CTReading) -> list[Path]:
        """Write the item's files; identifiers are re-read from the source for SR and FHIR."""
        wanted = self._asked.files
        if not wanted:
            return []
        result = reading.of(open_ct(item))
        allow_demo = self._asked.allow_demo
        places: list[Path] = []
        if "json" in wanted:
            place = self._files.place(item, "report.json")
            write_text(place, json.dumps(result.to_json(), indent=2) + "\n", overwrite=True)
            places.append(place)
        if "sr" in wanted:
            sr = self._files.document(item, ".sr.dcm")
            places += written(lambda: [*result.save_dicom_sr(sr, allow_demo=allow_demo)])
        if "fhir" in wanted:
            fhir = self._files.document(item, ".fhir.json")
            places += written(lambda: [result.save_fhir(fhir, allow_demo=allow_demo)])
        return places
