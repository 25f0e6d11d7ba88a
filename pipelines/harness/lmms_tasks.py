"""Benchmarks on the user's disk as tasks of lmms-eval: a YAML, a table, and functions beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.dispatch import find_protocol
from longllava_domains.files import write_text
from longllava_domains.pipelines.benchmark.materials import read_material
from longllava_domains.vision_language import ViewFormat

TASKS: Final[Mapping[str, str]] = {
    "vqa-rad": "lmms-eval",
    "path-vqa": "lmms-eval",
    "fit-rsfg/vqa": "official",
    "multipathqa": "giant",
}
"""Benchmark -> protocol whose words are asked."""

_FUNCTIONS: Final = '''"""Functions of the tasks beside this file; lmms-eval imports them by name."""

import re

from PIL import Image


def visuals(doc):
    return [Image.open(path).convert("RGB") for path in doc["images"]]


def text(doc, lmms_eval_specific_kwargs=None):
    return doc["prompt"]


def process(doc, results):
    def plain(words):
        return " ".join(re.sub(r"[^\\w\\s]", " ", str(words).lower()).split())

    return {"exact_match": float(plain(results[0]) == plain(doc["answer"]))}
'''


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
    rows = {str(row.get("qid", row.get("question_id", row.get("id")))): row
            for row in material.references.references}  # fmt: skip
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
        (question, *_) = material.questions(item, protocol)
        row = rows.get(item.id, {})
        answer = row.get("answer", row.get("ground_truth", ""))
        lines.append(json.dumps({"id": item.id, "prompt": question.prompt, "answer": str(answer),
                                 "images": places[item.shown]}))  # fmt: skip
    table, yaml, functions = (
        folder / f"{name}{end}" for end in (".jsonl", ".yaml", "_functions.py")
    )
    write_text(table, "".join(line + "\n" for line in lines), overwrite=True)
    write_text(functions, _FUNCTIONS, overwrite=True)
    write_text(yaml, _yaml(name, table, functions, dict(protocol.decoding)), overwrite=True)
    return [yaml, table, functions]


def _yaml(name: str, table: Path, functions: Path, decoding: Mapping[str, Any]) -> str:
    tokens = decoding.get("max_new_tokens", 256)
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
            f"process_results: !function {functions.stem}.process",
            "generation_kwargs:",
            f"  max_new_tokens: {tokens}",
            "  temperature: 0",
            "  do_sample: false",
            "metric_list:",
            "  - metric: exact_match",
            "    aggregation: mean",
            "    higher_is_better: true",
            "metadata:",
            "  - version: 1",
            "",
        ]
    )
