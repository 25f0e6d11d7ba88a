"""Predictions of a run in the layouts that other toolkits read."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.predictions import Row, Source, read_table
from longllava_domains.evaluate.predictions.fields import ID_FIELDS, first_field, id_of
from longllava_domains.files import write_text

Rows = Sequence[Mapping[str, Any]]


def export_predictions(
    predictions: Source, references: Source, path: Path, toolkit: str, *, task: str = "longllava"
) -> int:
    """Write predictions with their questions and truths for another toolkit.

    Args:
        predictions: Of a run, one text for each row.
        references: Questions and true answers, with the same ids.
        path: The file; its suffix should be the toolkit's (``.jsonl``, ``.tsv``, ``.json``).
        toolkit: One of `TOOLKITS`.
        task: Name that the file gives its task.

    Returns:
        The number of rows.

    Raises:
        PolicyError: An unknown toolkit.
        InputError: A file cannot be read, or an id has no reference.
        OutputError: The file cannot be written.
    """
    if toolkit not in TOOLKITS:
        raise PolicyError(
            f"There is no export for {toolkit!r}.",
            remedy=f"Choose one of {', '.join(TOOLKITS)}.",
            code="harness.toolkit",
        )
    given = read_table(predictions).rows
    known = {name: row for row in read_table(references).rows if (name := _id(row)) is not None}
    joined = []
    for row in given:
        name = _id(row)
        if name is None or name not in known:
            raise InputError(
                "A prediction has no reference of its id.",
                remedy="Give the predictions of a run with the data that it was asked on.",
                code="harness.match",
            )
        truth = known[name]
        joined.append(
            {
                "id": name,
                "question": str(truth.get("question", truth.get("text", ""))),
                "answer": str(truth.get("answer", truth.get("ground_truth", ""))),
                "prediction": str(row.get("prediction", row.get("answer", ""))),
            }
        )
    write_text(path, TOOLKITS[toolkit](joined, task), overwrite=True)
    return len(joined)


def _id(row: Row) -> str | None:
    field = first_field([row], ID_FIELDS)
    return None if field is None else id_of(row[field])


def _lmms_eval(rows: Rows, task: str) -> str:
    """Write the samples file of lmms-eval, as ``--log_samples`` does."""
    lines = [
        {"doc_id": place, "doc": {"id": row["id"], "question": row["question"]},
         "target": row["answer"], "resps": [[row["prediction"]]],
         "filtered_resps": [row["prediction"]], "task_name": task}
        for place, row in enumerate(rows)
    ]  # fmt: skip
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _vlmevalkit(rows: Rows, task: str) -> str:
    """Write the prediction table of VLMEvalKit: index, question, answer, prediction."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(("index", "question", "answer", "prediction"))
    writer.writerows([r["id"], r["question"], r["answer"], r["prediction"]] for r in rows)
    return text.getvalue()


def _medevalkit(rows: Rows, task: str) -> str:
    """Write the results file of MedEvalKit: one list of samples with the model's response."""
    samples = [
        {
            "id": r["id"],
            "question": r["question"],
            "answer": r["answer"],
            "response": r["prediction"],
        }
        for r in rows
    ]
    return json.dumps(samples, ensure_ascii=False, indent=1) + "\n"


TOOLKITS: Final[Mapping[str, Callable[[Rows, str], str]]] = {
    "lmms-eval": _lmms_eval,
    "vlmevalkit": _vlmevalkit,
    "medevalkit": _medevalkit,
}
