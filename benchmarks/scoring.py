"""Seconds (wall and processor) to score 50,000 predictions under every protocol of each benchmark.

    python benchmarks/scoring.py [--rows 50000] [--benchmark vqa-rad]

Predictions are made up: answers of VQA-RAD's kind, and probabilities of 18 labels.
"""

import argparse
import random
import time
from typing import Any

from longllava_domains import evaluate
from longllava_domains.ct_rate_labels import CT_RATE_LABELS

_ANSWERS = (
    "Yes.", "No, there is no effusion.", "The left lower lobe, 3.5 cm.", "It's an axial T2-weighted MRI",
    "yes and no", "", "A chest X-ray shows pneumonia in both lungs and a small nodule on the right side.",
)  # fmt: skip
_TRUTHS = ("yes", "no", "left lower lobe", "MRI", "axial", "pneumonia", "right side")

Rows = list[dict[str, Any]]


def questions(rows: int, draw: random.Random) -> tuple[Rows, Rows]:
    references: Rows = []
    for index in range(rows):
        truth = draw.choice(_TRUTHS)
        kind = "CLOSED" if truth in ("yes", "no") else "OPEN"
        references.append(
            {
                "qid": index,
                "image_name": f"{index % 5000}.jpg",
                "question": "?",
                "answer": truth,
                "answer_type": kind,
            }
        )
    words = [
        f"{draw.choice(_ANSWERS)} {draw.choice(_TRUTHS)} {index % 997}" for index in range(rows)
    ]
    return [{"qid": index, "text": text} for index, text in enumerate(words)], references


def volumes(rows: int, draw: random.Random) -> tuple[Rows, Rows]:
    names = [f"valid_{index // 2}_a_{index % 2 + 1}" for index in range(rows)]
    truths = [
        {"VolumeName": n, **{k: int(draw.random() < 0.2) for k in CT_RATE_LABELS}} for n in names
    ]
    scores = [{"VolumeName": n, **{k: draw.random() for k in CT_RATE_LABELS}} for n in names]
    return scores, truths


def reports(rows: int, draw: random.Random) -> tuple[Rows, Rows]:
    words = [f"word{index}" for index in range(3000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(50, 300))) for _ in range(2 * rows)]
    names = [f"valid_{index}_a_1" for index in range(rows)]
    generated, written = texts[:rows], texts[rows:]
    return (
        [{"VolumeName": n, "report": t} for n, t in zip(names, generated, strict=True)],
        [{"VolumeName": n, "report": t} for n, t in zip(names, written, strict=True)],
    )


MAKERS = {
    "vqa-rad": questions,
    "path-vqa": questions,
    "ct-rate": volumes,
    "ct-rate/reports": reports,
}
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {("ct-rate", "fitted"): {"threshold": 0.5}}


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def show(benchmark: str, name: str, start: tuple[float, float]) -> None:
    wall, processor = (now - then for now, then in zip(clocks(), start, strict=True))
    print(f"{benchmark:15} {name:18} {wall:6.1f} s wall {processor:6.1f} s processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--benchmark", choices=MAKERS)
    asked = parser.parse_args()
    for benchmark in [asked.benchmark] if asked.benchmark else MAKERS:
        predictions, references = MAKERS[benchmark](asked.rows, random.Random(0))  # noqa: S311
        whole = clocks()
        for name in evaluate.PROTOCOLS[benchmark]:
            start = clocks()
            own = SETTINGS.get((benchmark, name), {})
            evaluate.score(benchmark, predictions, references, protocol=name, **own)
            show(benchmark, name, start)
        show(benchmark, f"all, {asked.rows:,} rows", whole)


if __name__ == "__main__":
    main()
