"""Tasks 5 and 6: triplets that are found, and the faults of the official mean recall."""

import pytest
from fit_rsfg_answers import REGION, box, edge, group, metrics, named, row

APRON = named("apron", box(50, 50, 40, 30))
PLANE = named("airplane", box(20, 20))
ALONE = f"There are 1 {PLANE}"
CHIP = f"{edge(PLANE, 'parallelly parked on', APRON)}. {ALONE}"


def region(*sentences: str) -> str:
    return REGION + "".join(f"{sentence}. " for sentence in sentences)


def outward(relation: str, neighbour: str) -> str:
    return f"It is <rel>{relation}</rel> 1 {neighbour}"


def recalls(protocol: str, task: str, *texts: tuple[str, str]) -> tuple[float | None, float]:
    found = metrics(protocol, *(row(task, *both) for both in texts))
    return found.get(f"{task}/R"), pytest.approx(found[f"{task}/mR"])


PARKED = region(outward("parallelly parked on", APRON))


@pytest.mark.parametrize(
    ("answer", "official", "strict"),
    [
        (PARKED, (1, 1 / 58), (1, 1)),
        (PARKED.replace("airplane", "ship"), (1, 1 / 58), (0, 0)),  # the region's class
        (PARKED.replace("parallelly", "randomly"), (0, 0), (0, 0)),
        (PARKED.replace("50.00", "10.00"), (0, 0), (0, 0)),
        (REGION, (None, 0), (0, 0)),
        ("", (None, 0), (0, 0)),
    ],
)
def test_the_graph_of_a_region(answer: str, official: tuple, strict: tuple) -> None:
    assert recalls("official", "task5", (PARKED, answer)) == official
    assert recalls("strict", "task5", (PARKED, answer)) == strict


def test_later_triplets_of_a_region_carry_the_boxes_of_others_officially() -> None:
    dock, ship = named("dock", box(80, 80)), named("ship", box(20, 80))
    truth = region(outward("over", APRON), outward("adjacent", dock), outward("around", ship))
    # The third triplet officially looks at the second link's box, and the second at the region's.
    third_elsewhere = truth.replace(ship, named("ship", box(90, 10)))
    second_elsewhere = truth.replace(dock, named("dock", box(90, 10)))
    assert recalls("official", "task5", (truth, third_elsewhere))[0] == 1
    assert recalls("strict", "task5", (truth, third_elsewhere))[0] == pytest.approx(2 / 3)
    assert recalls("official", "task5", (truth, second_elsewhere))[0] == pytest.approx(2 / 3)
    assert recalls("strict", "task5", (truth, second_elsewhere))[0] == pytest.approx(2 / 3)


def test_the_direction_of_a_region_s_first_relation_is_lost_officially() -> None:
    inward = region(f"1 {named('car', box(80, 80))} <rel>adjacent</rel> it")
    flipped = region(outward("adjacent", named("car", box(80, 80))))
    assert recalls("official", "task5", (inward, flipped))[0] == 1
    assert recalls("strict", "task5", (inward, flipped))[0] == 0
    assert recalls("strict", "task5", (inward, inward))[0] == 1


@pytest.mark.parametrize(
    ("relation", "official"), [("over", 0), ("not docked alongside with", 1 / 58)]
)
def test_the_first_relation_never_counts_officially(relation: str, official: float) -> None:
    text = edge(PLANE, relation, APRON)
    assert recalls("official", "task6", (text, text)) == (1, official)
    assert recalls("strict", "task6", (text, text)) == (1, 1)


def test_all_unknown_relations_are_one_officially() -> None:
    flying, diving = (edge(PLANE, name, APRON) for name in ("flying above", "diving below"))
    assert recalls("official", "task6", (flying, diving)) == (1, 1 / 58)
    assert recalls("strict", "task6", (flying, diving)) == (0, 0)


def test_unread_answers_are_left_out_officially() -> None:
    rows = (CHIP, CHIP), (CHIP, "sorry, I cannot")
    assert recalls("official", "task6", *rows) == (1, 1 / 58)
    assert recalls("strict", "task6", *rows) == (0.5, 0.5)


def test_objects_alone_are_detections() -> None:
    rows = [row("task6", CHIP, CHIP), row("task6", CHIP, "sorry, I cannot")]
    assert metrics("official", *rows)["task6/mAP"] == pytest.approx(6 / 11)


def test_several_subjects_are_several_triplets() -> None:
    pair = edge(named("airplanes", box(20, 20), box(40, 20)), "over", APRON)
    assert recalls("official", "task6", (pair, edge(PLANE, "over", APRON)))[0] == 0.5


@pytest.mark.parametrize(
    "crash",
    [
        "1 <ref>a</ref><ref>b</ref><ref>c</ref> <rel>over</rel>",
        edge(PLANE, "over", named("aprons", box(50, 50), box(20, 20))),
        edge(PLANE, "over", f"{APRON} {group(box(1, 1))}"),
        edge(named("planes", box(20, 20), "{<1.00>|<90>}"), "over", APRON),
        f"There are 2 {named('ships', box(20, 20), '{<1.00>|<90>}')}",
    ],
)
def test_a_sentence_on_which_the_official_scorer_crashes_is_unparsed(crash: str) -> None:
    for protocol in ("official", "strict"):
        alone = metrics(protocol, row("task6", CHIP, CHIP))
        assert metrics(protocol, row("task6", CHIP, f"{crash}. {CHIP}")) == alone


def test_only_the_first_thousand_triplets_of_an_answer_count() -> None:
    wrong = ". ".join([edge(PLANE, "adjacent", APRON)] * 1000)
    right = edge(PLANE, "over", APRON)
    assert recalls("official", "task6", (right, f"{right}. {wrong}"))[0] == 1
    assert recalls("official", "task6", (right, f"{wrong}. {right}"))[0] == 0
