"""CT-RATE as it is shown and asked: 18 findings of each volume from one look, or its report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from longllava_domains import ct
from longllava_domains.adapters.data.readers.ct_rate import volume_path
from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import NotFoundError
from longllava_domains.evaluate import Dataset, load_dataset
from longllava_domains.evaluate.ct_rate.volumes import parse_volume, plain_name
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.pipelines.benchmark.asking import Reply
from longllava_domains.pipelines.benchmark.material import (
    AskedQuestion,
    BenchmarkItem,
    Material,
    first_rows,
)
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.findings_first import naming_findings
from longllava_domains.pipelines.ct.outside_volumes import (
    OutsideVolumes,
    outside_volumes,
)
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.units import short_hash
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import VisualSequence

Table = Mapping[str, CtRateVolume]


def ct_rate_material(
    benchmark: str,
    folder: Path,
    limit: int | None,
    view_format: ViewFormat,
    protocols: Sequence[str],
    calibration: Calibration | None = None,
) -> Material:
    """Read the labels or the reports of CT-RATE's validation split, with its volumes.

    Where every protocol takes one volume of a patient, only that one is shown: 1,304 in place of
    3,039.

    Args:
        benchmark: ``"ct-rate"`` or ``"ct-rate/reports"``.
        folder: The release's root or its ``dataset`` folder, with the metadata table beside it.
        limit: Only the first N volumes; None for all.
        view_format: Of the model that looks.
        protocols: Names of the protocols that are asked.
        calibration: Says which findings are present, for reports that take them first.

    Raises:
        NotFoundError: The tables are not there.
        DamagedInputError: A table cannot be read.
    """
    preset = CTPreset.named()
    whole = load_dataset(benchmark, folder)
    data = first_rows(_one_per_patient(whole) if set(protocols) <= {"longllava"} else whole, limit)
    names = [plain_name(str(row["VolumeName"])) for row in data.references]
    items = [BenchmarkItem(name, name, _patient(name)) for name in names]
    table = _metadata(folder)
    outside = None if calibration is None else outside_volumes(calibration, names, table)
    is_report = benchmark == "ct-rate/reports"
    return Material(
        benchmark=benchmark,
        references=data,
        items=items,
        show=_shown_by(folder, preset, view_format, table),
        questions=_report_question(preset) if is_report else _finding_questions(preset),
        predict=_report if is_report else _findings,
        views={"policy": preset.name, "view_px": view_format.view_px},
        identity=whole.hashes[whole.evaluated],
        before=_findings_before(preset),
        in_light_of=_naming_present(calibration, outside),
        notes=() if outside is None else outside.notes,
        counts={} if outside is None else outside.counts,
    )


def _one_per_patient(data: Dataset) -> Dataset:
    """Keep the first reconstruction of the first scan of each patient."""
    first: dict[str, tuple[Any, Mapping[str, Any]]] = {}
    for row in data.references:
        volume = parse_volume(str(row["VolumeName"]))
        if volume is None:
            return data
        if volume.patient not in first or volume < first[volume.patient][0]:
            first[volume.patient] = (volume, row)
    kept = tuple(dict(row) for _, row in first.values())
    note = f"{len(kept):,} of {len(data.references):,} volumes were shown: one of each patient"
    return replace(data, splits={**data.splits, "valid": kept}, notes=(*data.notes, note))


def _patient(name: str) -> str:
    volume = parse_volume(name)
    return name if volume is None else volume.patient


def _root(folder: Path) -> Path:
    return folder / "dataset" if (folder / "dataset").is_dir() else folder


def _metadata(folder: Path) -> Table | None:
    """Read the table of the volumes, None where it is not there."""
    path = _root(folder) / "metadata" / "validation_metadata.csv"
    return ct.read_ct_rate_metadata(path) if path.is_file() else None


def _shown_by(
    folder: Path, preset: CTPreset, view_format: ViewFormat, table: Table | None
) -> Callable[[str], VisualSequence]:
    root = _root(folder)
    hu: HuSource = "prove" if table is None else table

    def show(name: str) -> VisualSequence:
        """Return the views of a volume of the release."""
        path = volume_path(root, name.partition("_")[0], f"{name}.nii.gz")
        if path is None or not path.is_file():
            raise NotFoundError(
                f"Volume {short_hash(name)} is not in the folder of CT-RATE.",
                remedy="Put the volumes where the release has them: dataset/valid/valid_1/...",
                code="benchmark.volume",
            )
        opened = ct.open_volume(path, hu=hu)
        policy = preset.policy(view_format.view_px)
        return opened.to_sequence(policy if opened.has_grid else replace(policy, at="acquired"))

    return show


def _finding_questions(
    preset: CTPreset,
) -> Callable[[BenchmarkItem, Protocol], Sequence[AskedQuestion]]:
    def questions(item: BenchmarkItem, protocol: Protocol) -> list[AskedQuestion]:
        """Return one question for each of the 18 findings."""
        # A pair of statements is for models that compare texts; ours are asked the preset's question.
        own = "finding" in protocol.prompts and "opposite" not in protocol.prompts
        template = protocol.prompts["finding"] if own else preset.finding_prompt
        return [
            AskedQuestion(template.format(question=label.lower(), label=label.lower()),
                     preset.finding_choices)
            for label in CT_RATE_LABELS
        ]  # fmt: skip

    return questions


def _report_question(
    preset: CTPreset,
) -> Callable[[BenchmarkItem, Protocol], Sequence[AskedQuestion]]:
    def questions(item: BenchmarkItem, protocol: Protocol) -> list[AskedQuestion]:
        return [AskedQuestion(protocol.prompts.get("report", preset.report_prompt))]

    return questions


def _findings_before(
    preset: CTPreset,
) -> Callable[[BenchmarkItem, Protocol], Sequence[AskedQuestion]]:
    ask = _finding_questions(preset)

    def before(item: BenchmarkItem, protocol: Protocol) -> Sequence[AskedQuestion]:
        return ask(item, protocol) if protocol.findings_first else ()

    return before


def _naming_present(
    calibration: Calibration | None, outside: OutsideVolumes | None
) -> Callable[[BenchmarkItem, AskedQuestion, Sequence[Reply]], AskedQuestion]:
    def in_light_of(
        item: BenchmarkItem, question: AskedQuestion, before: Sequence[Reply]
    ) -> AskedQuestion:
        """Name the findings that the calibration calls present by their margins."""
        if calibration is None or outside is None or not before or item.id in outside.codes:
            return question
        margins = zip(CT_RATE_LABELS, (reply.margin for reply in before), strict=True)
        present = [
            label
            for label, margin in margins
            if calibration.present(label, calibration.probability(label, margin))
        ]
        return replace(question, prompt=naming_findings(question.prompt, present))

    return in_light_of


def _findings(item: BenchmarkItem, replies: Sequence[Reply]) -> dict[str, Any]:
    """Return the share of *yes* in *yes and no* for each finding, as CT-CLIP weighs its pair."""
    shares = [1 / (1 + math.exp(-max(min(reply.margin, 700.0), -700.0))) for reply in replies]
    return {
        "VolumeName": item.id,
        "probabilities": dict(zip(CT_RATE_LABELS, shares, strict=True)),
    }


def _report(item: BenchmarkItem, replies: Sequence[Reply]) -> dict[str, Any]:
    (reply,) = replies
    return {"VolumeName": item.id, "report": reply.text}
