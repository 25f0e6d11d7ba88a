"""Answer files of FIT-RSFG's complex tasks, as its inference script writes them, and their golden."""

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from longllava_domains.evaluate import score
from longllava_domains.evaluate.fit_rsfg.complex.labels import OBJECTS, RELATIONS

Row = dict[str, Any]

_FILE = Path(__file__).parents[3] / "shared" / "golden" / "fit_rsfg_scores.json"

needs_golden = pytest.mark.skipif(
    not _FILE.exists(), reason="the official scorer's outputs are not beside this checkout"
)


def golden() -> Any:
    return json.loads(_FILE.read_text()) if _FILE.exists() else {"base_rows": [], "cases": []}


def box(cx: float, cy: float, w: float = 10, h: float = 10, angle: int = 90) -> str:
    return f"{{<{cx:.2f}><{cy:.2f}><{w:.2f}><{h:.2f}>|<{angle}>}}"


def group(*boxes: str) -> str:
    return f"<rbox>({', '.join(boxes)})</rbox>"


def named(name: str, *boxes: str) -> str:
    return f"<ref>{name}</ref>{group(*boxes)}"


def detected(name: str, *boxes: str) -> str:
    return f"There are {len(boxes)} {name}s in the image: {group(*boxes)}"


def reasoned(subject: str, object_: str, *relations: str) -> str:
    spelled = ", ".join(f"<rel>{relation}</rel>" for relation in relations)
    return f"subject: {subject}, object: {object_}, the relationship is {spelled}"


def edge(subject: str, relation: str, object_: str) -> str:
    return f"1 {subject} is <rel>{relation}</rel> 1 {object_}"


REGION = "A clearly visible medium airplane on the right part of the image. "


def row(task: str, truth: str, answer: str, **fields: Any) -> Row:
    return {"category": task, "ground_truth": truth, "answer": answer, **fields}


def numbered(rows: Iterable[Row]) -> list[Row]:
    return [
        {"question_id": number, "image_id": f"{number:04d}__512__0___0.png", **one}
        for number, one in enumerate(rows)
    ]


def metrics(protocol: str, *rows: Row, benchmark: str = "fit-rsfg/complex") -> Mapping[str, float]:
    return score(benchmark, numbered(rows), protocol=protocol).metrics


def random_rows(count: int, seed: int = 0) -> list[Row]:
    """Rows of all six tasks with truths of the real shapes and answers that are partly wrong."""
    draw = random.Random(seed)
    writers = (_task1, _task2, _task3, _task4, _task5, _task6)
    rows = []
    for number in range(count):
        task = number % len(writers)
        truth = writers[task](draw)
        answer = draw.choice((truth, writers[task](draw), truth[: draw.randint(0, len(truth))], ""))
        rows.append(row(f"task{task + 1}", truth, answer))
    return numbered(rows)


def _box(draw: random.Random) -> str:
    values = (draw.uniform(5, 95), draw.uniform(5, 95), draw.uniform(1, 30), draw.uniform(1, 30))
    return box(*values, draw.randint(1, 90))


def _boxes(draw: random.Random, most: int) -> list[str]:
    return [_box(draw) for _ in range(draw.randint(1, most))]


def _task1(draw: random.Random) -> str:
    return detected(draw.choice(OBJECTS), *_boxes(draw, 8))


def _task2(draw: random.Random) -> str:
    found = draw.sample(RELATIONS, draw.randint(1, 3))
    return "There are relationships: " + ", ".join(f"ship <{name}> dock" for name in found)


def _task3(draw: random.Random) -> str:
    return reasoned(draw.choice(OBJECTS), draw.choice(OBJECTS), draw.choice(RELATIONS))


def _task4(draw: random.Random) -> str:
    return "The categories: " + ", ".join(
        named(draw.choice(OBJECTS), *_boxes(draw, 2)) for _ in range(draw.randint(1, 3))
    )


def _task5(draw: random.Random) -> str:
    return REGION + "".join(
        f"It is <rel>{draw.choice(RELATIONS)}</rel> 1 {named(draw.choice(OBJECTS), _box(draw))}. "
        for _ in range(draw.randint(1, 3))
    )


def _task6(draw: random.Random) -> str:
    edges = (
        edge(
            named(draw.choice(OBJECTS), *_boxes(draw, 3)),
            draw.choice(RELATIONS),
            named(draw.choice(OBJECTS), _box(draw)),
        )
        for _ in range(draw.randint(1, 3))
    )
    alone = f"There are 2 {named(draw.choice(OBJECTS), *_boxes(draw, 2))}"
    return ". ".join((*edges, alone))
