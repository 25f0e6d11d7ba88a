"""Tasks 1 and 4: which boxes count, for which class, and what the official scorer overlooks."""

import random

import numpy as np
import pytest
from fit_rsfg_answers import box, detected, group, metrics, named, row
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.boxes import Box, box_iou
from longllava_domains.evaluate.fit_rsfg.complex.detection import by_class, detection_score

A, B, C = box(20, 20, 10, 5), box(60, 60, 20, 10, 45), box(80, 20)
TRUTH = detected("airplane", A, B)


def task1(protocol: str, answer: str, *more: tuple[str, str]) -> float:
    rows = [row("task1", TRUTH, answer), *(row("task1", *texts) for texts in more)]
    return metrics(protocol, *rows)["task1/mAP"]


@pytest.mark.parametrize(
    ("answer", "official"),
    [
        (TRUTH, 1.0),
        (detected("airplane", A), 6 / 11),
        (detected("ship", A, B), 1.0),  # the class word is not read
        (f"({A}, {A}, {B})", (6 + 5 * 2 / 3) / 11),
        (f"({C}, {A})", 6 / 11 * 0.5),
        (f"({box(20, 20, 1.9, 5)}, {B})", 6 / 11),
        ("<20><20><10><5>|<90>", 0.0),
        ("", 0.0),
        ("({<20><20><10><5>}, " + B, 6 / 11),
        ("({<x><20><10><5>|<90>}, " + B, 6 / 11),
        (f"({{<nan><nan><nan><nan>|<nan>}}, {A}, {B})", (6 * 2 / 3 + 5 * 2 / 3) / 11),
    ],
)
def test_official_detection(answer: str, official: float) -> None:
    assert task1("official", answer) == pytest.approx(official, abs=1e-6)


def test_strictly_another_class_is_wrong() -> None:
    assert task1("strict", detected("ship", A, B)) == 0.0
    assert task1("strict", f"({A}, {B})") == 1.0  # boxes alone are of the class that was asked


def test_inventions_cost_nothing_officially() -> None:
    absent = "I'm sorry, I cannot answer as the given image does not contain any given objects."
    invented = (absent, detected("airplane", C))
    assert task1("official", TRUTH, invented) == 1.0
    assert task1("strict", TRUTH, invented) == 1.0  # ranked after both true boxes
    first = [row("task1", *invented), row("task1", TRUTH, TRUTH)]
    assert metrics("official", *first)["task1/mAP"] == 1.0
    assert metrics("strict", *first)["task1/mAP"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "mark", ["...", ", and due to the context length, the rest is not listed."]
)
def test_a_truth_that_was_cut_short_is_left_out(mark: str) -> None:
    for protocol in ("official", "strict"):
        assert task1(protocol, TRUTH, (detected("ship", A) + mark, "")) == 1.0


def test_unknown_classes_land_in_stadium_officially() -> None:
    stadium = row("task1", detected("stadium", A), detected("stadium", A))
    helipad = row("task1", detected("helipad", B), detected("helipad", C, C))
    rows = [helipad, stadium]
    assert metrics("official", *rows)["task1/mAP"] == pytest.approx(1 / 3)
    assert metrics("strict", *rows)["task1/mAP"] == pytest.approx(0.5)


def test_classes_are_dealt_out_to_boxes_officially() -> None:
    truth = "The categories: " + ", ".join((named("cars", A, B), named("ship", C)))
    wrong = "The categories: " + ", ".join((named("cars", A), named("ship", B)))
    right = "The categories: " + ", ".join((named("cars", A), named("ship", C)))
    for answer, official, strict in ((truth, 1, 1), (wrong, 1, 3 / 11), (right, 0.5, 17 / 22)):
        task = row("task4", truth, answer)
        assert metrics("official", task)["task4/mAP"] == pytest.approx(official)
        assert metrics("strict", task)["task4/mAP"] == pytest.approx(strict)


def test_boxes_without_classes_are_boats_officially() -> None:
    boat = row(
        "task4", "The categories: " + named("boat", A), "The categories: " + named("boat", C)
    )
    alone = row("task4", f"Objects: {group(A)}", f"Objects: {group(A)}")
    assert metrics("official", alone, boat)["task4/mAP"] == pytest.approx(6 / 11)
    assert metrics("strict", alone, boat)["task4/mAP"] == pytest.approx(0.5)


def test_a_ragged_group_is_an_unparsed_answer_officially() -> None:
    ragged = "The categories: " + named("ship", A, "{<1.00><2.00>|<90>}")
    task = row("task4", "The categories: " + named("ship", A), ragged)
    assert metrics("official", task)["task4/mAP"] == 0.0
    assert metrics("strict", task)["task4/mAP"] == 1.0


def test_a_task_without_a_true_box_has_no_metric() -> None:
    other = row("task2", "ship <over> dock", "ship <over> dock")
    for truth in ("", "nothing", "There are 1 ships in the image: none"):
        found = metrics("official", row("task1", truth, A), row("task4", truth, A), other)
        assert {name[:5] for name in found} == {"task2"}


def slow_average_precision(
    images: list[tuple[list[tuple[float, ...]], list[tuple[float, ...]]]],
) -> float:
    """One class, one box at a time, with the plain measure of two boxes."""
    ranked: list[bool] = []
    truths = 0
    for true, answered in images:
        truths += len(true)
        taken = set()
        for one in answered:
            overlaps = [iou(one, other) for other in true]
            best = int(np.argmax(overlaps)) if overlaps else -1
            hit = bool(overlaps) and overlaps[best] >= 0.25 and best not in taken
            taken |= {best} if hit else set()
            ranked.append(hit)
    points = []
    for recall in np.arange(0, 1.001, 0.1):
        reached = [
            sum(ranked[: rank + 1]) / (rank + 1)
            for rank in range(len(ranked))
            if sum(ranked[: rank + 1]) / truths >= recall
        ]
        points.append(max(reached, default=0.0))
    return sum(points) / 11


def iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    first, second = (Box(*each[:4], np.degrees(each[4])) for each in (one, other))
    return box_iou(first, second)


@given(st.integers(0, 2**32))
def test_average_precision_as_one_box_at_a_time(seed: int) -> None:
    draw = random.Random(seed)

    def boxes(most: int) -> list[tuple[float, ...]]:
        return [
            (
                draw.uniform(0, 30),
                draw.uniform(0, 30),
                15,
                draw.uniform(5, 20),
                draw.uniform(0, 1.5),
            )
            for _ in range(draw.randint(0, most))
        ]

    images = [(boxes(3), boxes(5)) for _ in range(draw.randint(1, 6))]
    groups = [
        group
        for number, (true, answered) in enumerate(images)
        for group in by_class(number, [(0, one) for one in true], [(0, one) for one in answered])
    ]
    found = detection_score(groups)
    if any(true for true, _ in images):
        assert found.mean_average_precision == pytest.approx(
            slow_average_precision(images), abs=1e-6
        )
    else:
        assert found.mean_average_precision is None
    assert sum(sum(counts[::2]) for counts in found.by_row.values()) == sum(
        len(true) for true, _ in images
    )
