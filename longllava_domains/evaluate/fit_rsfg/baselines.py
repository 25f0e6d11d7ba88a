"""Answers to the remote sensing benchmarks that need no model: the truths, and constants."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from longllava_domains.evaluate.predictions import Source, read_table


def baseline_answers(
    references: Source, constants: Iterable[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Return the truths themselves, the commonest truth of each category, and each constant.

    Args:
        references: Rows with ``ground_truth``, of the questions or of an answer file.
        constants: Texts to give as every answer.

    Returns:
        Name -> rows of an answer file, which hold their truths.
    """
    rows = [dict(row) for row in read_table(references).rows]
    truths: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        truths[str(row.get("category"))][str(row.get("ground_truth"))] += 1
    commonest = {name: counts.most_common(1)[0][0] for name, counts in truths.items()}
    found = {
        "oracle": [{**row, "answer": row.get("ground_truth")} for row in rows],
        "always the commonest": [
            {**row, "answer": commonest[str(row.get("category"))]} for row in rows
        ],
    }
    return found | {
        f"always {text}": [{**row, "answer": text} for row in rows] for text in constants
    }
