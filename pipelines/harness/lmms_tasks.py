"""Benchmarks on the user's disk as tasks of lmms-eval: a YAML, a table, and functions beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.ct_rate.volumes import plain_name
from longllava_domains.evaluate.dispatch import find_protocol
from longllava_domains.files import write_text
from longllava_domains.pipelines.benchmark.materials import read_material
from longllava_domains.vision_language import ViewFormat

TASKS: Final[Mapping[str, str]] = {
    "vqa-rad": "lmms-eval",
    "path-vqa": "lmms-eval",
    "fit-rsfg/vqa": "official",
    "multipathqa": "giant",
    "ct-rate": "longllava",
}
"""Benchmark -> protocol whose words are asked."""

_FUNCTIONS: Final = '''"""Functions of the tasks beside this file; lmms-eval imports them by name."""

import re

from PIL import Image


def visuals(doc):
    return [Image.open(path).convert("RGB") for path in doc["images"]]


def text(doc, lmms_eval_specific_kwargs=None):
    return doc["prompt"]


def plain(words):
    return " ".join(re.sub(r"[^\\w\\s]", " ", str(words).lower()).split())


def process(doc, results):
    return {"exact_match": float(plain(results[0]) == plain(doc["answer"]))}
'''
# Of 18 findings most are absent, so that the share of right answers says nothing.
_FINDINGS: Final = """

def process_finding(doc, results):
    pair = [doc["answer"] == "yes", plain(results[0]).split()[:1] == ["yes"]]
    return {"micro_precision": pair, "micro_recall": pair, "micro_f1": pair}


def share(found, of):
    return found / of if of else 0.0


def micro_precision(pairs):
    return share(sum(there and said for there, said in pairs), sum(said for _, said in pairs))


def micro_recall(pairs):
    return share(sum(there and said for there, said in pairs), sum(there for there, _ in pairs))


def micro_f1(pairs):
    both = sum(there and said for there, said in pairs)
    return share(2 * both, sum(there + said for there, said in pairs))
"""
_FINDING_METRICS: Final = ("micro_f1", "micro_precision", "micro_recall")


def write_lmms_tasks(
    benchmark: str, data: Path, folder: Path, *, limit: int | None = None
) -> list[Path]:
    """Write a task: views as PNG files, a table of prompts, the YAML and its functions.

    Args:
        benchmark: One of `TASKS`.
        data: Folder of the benchmark as distributed.
        folder: Where; give it to lmms-eval with ``--include_path``.
        limit: Only the first N rows; None for all.

    Raises:
        PolicyError: There is no task of it.
        InputError: The data cannot be read.
        OutputError: A file cannot be written.
    """
    if benchmark not in TASKS:
        raise PolicyError(
            f"There is no task of {benchmark!r} for lmms-eval.",
            remedy=f"Choose one of {', '.join(TASKS)}.",
            code="harness.task",
        )
    from PIL import Image

    protocol = find_protocol(benchmark, TASKS[benchmark])
    material = read_material(benchmark, data, limit, ViewFormat(), [protocol.name])
    rows = {_name(row): row for row in material.references.references}
    name = f"longllava_{benchmark.replace('-', '_').replace('/', '_')}"
    views = folder / f"{name}_views"
    views.mkdir(parents=True, exist_ok=True)
    places: dict[str, list[str]] = {}
    lines = []
    for item in material.items:
        if item.shown not in places:
            places[item.shown] = []
            for number, view in enumerate(material.show(item.shown)):
                path = views / f"{len(places)}-{number}.png"
                Image.fromarray(view.pixels).save(path)
                places[item.shown].append(str(path.resolve()))
        asked = material.questions(item, protocol)
        answers = _answers(benchmark, rows.get(item.id, {}))
        for number, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            of_doc = f"{item.id}/{number}" if len(asked) > 1 else item.id
            lines.append(json.dumps({"id": of_doc, "prompt": question.prompt, "answer": answer,
                                     "images": places[item.shown]}))  # fmt: skip
    table, yaml, functions = (
        folder / f"{name}{end}" for end in (".jsonl", ".yaml", "_functions.py")
    )
    write_text(table, "".join(line + "\n" for line in lines), overwrite=True)
    is_findings = benchmark == "ct-rate"
    write_text(functions, _FUNCTIONS + (_FINDINGS if is_findings else ""), overwrite=True)
    scored = _yaml(name, table, functions, dict(protocol.decoding), is_findings=is_findings)
    write_text(yaml, scored, overwrite=True)
    return [yaml, table, functions]


def _name(row: Mapping[str, Any]) -> str:
    if "VolumeName" in row:
        return plain_name(str(row["VolumeName"]))
    return str(row.get("qid", row.get("question_id", row.get("id"))))


def _answers(benchmark: str, row: Mapping[str, Any]) -> list[str]:
    """Return the true answer of each question about an item."""
    if benchmark == "ct-rate":
        return ["yes" if float(row[label]) else "no" for label in CT_RATE_LABELS]
    return [str(row.get("answer", row.get("ground_truth", "")))]


def _yaml(
    name: str, table: Path, functions: Path, decoding: Mapping[str, Any], *, is_findings: bool
) -> str:
    tokens = decoding.get("max_new_tokens", 256)
    process = "process_finding" if is_findings else "process"
    counted = (
        {metric: f"!function {functions.stem}.{metric}" for metric in _FINDING_METRICS}
        if is_findings
        else {"exact_match": "mean"}
    )
    metrics = [
        line
        for metric, by in counted.items()
        for line in (
            f"  - metric: {metric}", f"    aggregation: {by}", "    higher_is_better: true",
        )
    ]  # fmt: skip
    return "\n".join(
        [
            f"task: {name}",
            "dataset_path: json",
            "dataset_kwargs:",
            "  data_files:",
            f"    test: {json.dumps(str(table.resolve()))}",
            "test_split: test",
            "output_type: generate_until",
            f"doc_to_visual: !function {functions.stem}.visuals",
            f"doc_to_text: !function {functions.stem}.text",
            "doc_to_target: answer",
            f"process_results: !function {functions.stem}.{process}",
            "generation_kwargs:",
            f"  max_new_tokens: {tokens}",
            "  temperature: 0",
            "  do_sample: false",
            "metric_list:",
            *metrics,
            "metadata:",
            "  - version: 1",
            "",
        ]
    )
