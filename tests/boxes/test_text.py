"""Box texts are read loudly, written back, and mean the rectangles that the data sets mean."""

import math
import random

import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longllava_domains import boxes
from longllava_domains.boxes import Box, box_iou, enclosing_box, parse_boxes, write_boxes
from longllava_domains.errors import AnswerError

GOOD = "{<20.00><30.00><10.00><5.00>|<45>}"

any_box = st.builds(
    Box,
    cx=st.floats(0, 100),
    cy=st.floats(0, 100),
    w=st.floats(0.5, 140),
    h=st.floats(0.5, 140),
    angle_deg=st.floats(0.01, 90),
)
printed_box = st.builds(
    Box,
    cx=st.integers(0, 10_000).map(lambda n: n / 100),
    cy=st.integers(0, 10_000).map(lambda n: n / 100),
    w=st.integers(1, 14_000).map(lambda n: n / 100),
    h=st.integers(1, 14_000).map(lambda n: n / 100),
    angle_deg=st.integers(0, 90).map(float),
)


def test_side_w_lies_along_the_angle_clockwise_on_screen() -> None:
    upright = Box(50, 50, 10, 4, 90)  # w runs down the image: 4 wide, 10 tall
    xs, ys = zip(*upright.corners(), strict=True)
    assert (max(xs) - min(xs), max(ys) - min(ys)) == pytest.approx((4, 10))
    assert Box.upright(50, 50, width=4, height=10) == upright
    leaning = Box(50, 50, 20, 2, 30)  # the long side falls to the right
    p, q = leaning.corners()[:2]
    assert (q[0] - p[0], q[1] - p[1]) == pytest.approx(
        (20 * math.cos(math.pi / 6), 20 * math.sin(math.pi / 6))
    )


def test_names_relations_and_groups_of_a_scene_graph_sentence() -> None:
    read = parse_boxes(
        "2 <ref>airplanes</ref><rbox>({<20.00><20.00><10.00><10.00>|<90>}, "
        "{<40.00><20.00><10.00><10.00>|<90>})</rbox> are <rel>parallelly parked on</rel> 1 "
        "<ref>apron</ref> <rbox>({<50.00><50.00><60.00><60.00>|<90>})</rbox>. "
        "<rbox>({<5.00><5.00><3.00><3.00>|<1>})</rbox>"
    )
    assert [named.name for named in read.boxes] == ["airplanes", "airplanes", "apron", None]
    assert read.boxes[2].box == Box(50, 50, 60, 60, 90)
    assert read.relations == ("parallelly parked on",)
    assert not read.problems


def test_geochat_corners_are_an_upright_rectangle_turned_about_its_centre() -> None:
    read = parse_boxes("{<40><80><60><90>|<30>}", dialect="geochat", strict=True)
    assert read.boxes[0].box == Box(50, 85, 20, 10, 30)
    assert parse_boxes("{<40><80><60><90>|<30>}").boxes[0].box != read.boxes[0].box


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{<20><20><10><5>}", "number_count"),
        ("{<20><20><10><5>|<45>|<0.9>}", "number_count"),
        ("{}", "number_count"),
        ("{<20><20><ten><5>|<45>}", "not_a_number"),
        ("{<20><20><nan><5>|<45>}", "not_a_number"),
        ("{<20><20><1_0><5>|<45>}", "not_a_number"),
        ("{<20><20><1e1><5>|<45>}", "not_a_number"),
        ("{<20><20><٣><5>|<45>}", "not_a_number"),
        ("{<120.00><20><10><5>|<45>}", "out_of_range"),
        ("{<20><-1><10><5>|<45>}", "out_of_range"),
        ("{<20><20><10><5>|<91>}", "out_of_range"),
        ("{<20><20><10><" + "9" * 400 + ">|<45>}", "out_of_range"),
        ("{<20><20><0.00><5>|<45>}", "too_small"),
        ("{<20><20><10><-5>|<45>}", "too_small"),
        ("<rbox>({<20><20><10><5>|<4", "unclosed"),
        ("{<20><20> {<20.00><30.00><10.00><5.00>|<45>}", "unclosed"),
        ("There are 2 airplanes: <20><20><10><5>|<90>", "no_braces"),
        ("<rbox>()</rbox>", "empty_group"),
    ],
)
def test_each_kind_of_broken_box_is_counted_by_its_name(text, problem) -> None:
    read = parse_boxes(text)
    assert problem in read.problems
    assert set(read.problems) <= set(boxes.PROBLEMS)
    with pytest.raises(AnswerError, match=problem):
        parse_boxes(text, strict=True)
    beside = parse_boxes(f"{GOOD} {text}")  # a broken box takes no good one with it
    assert beside.boxes[0].box == Box(20, 30, 10, 5, 45)


def test_shortest_side_is_the_callers_choice() -> None:
    text = "{<20.00><20.00><1.90><5.00>|<90>}"
    assert parse_boxes(text).boxes
    official = parse_boxes(text, min_side=boxes.FIT_RS_MIN_SIDE)
    assert not official.boxes
    assert dict(official.problems) == {"too_small": 1}


@settings(deadline=None, max_examples=150)
@given(st.lists(printed_box, max_size=5), st.sampled_from([None, "ship", "storage_tank"]))
def test_what_is_written_is_read_back(printed, name) -> None:
    text = write_boxes(printed, name=name)
    read = parse_boxes(text)
    assert [named.box for named in read.boxes] == printed
    assert all(named.name == name for named in read.boxes)
    assert dict(read.problems) == ({} if printed else {"empty_group": 1})


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(0, 90),
)
def test_geochat_text_is_read_back(left, top, width, height, angle) -> None:
    box = Box(left + width / 2, top + height / 2, width, height, angle)
    read = parse_boxes(box.to_text("geochat"), dialect="geochat", strict=True)
    assert read.boxes[0].box == box


@settings(deadline=None, max_examples=150)
@given(any_box)
def test_corners_and_box_are_inverse(box) -> None:
    again = enclosing_box(box.corners())
    assert 0 < again.angle_deg <= 90
    near = 1e-7 * max(box.w, box.h)
    for corner in box.corners():
        assert min(math.dist(corner, other) for other in again.corners()) < near


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=3, max_size=6))
def test_enclosing_box_is_as_small_as_shapelys(points) -> None:
    hull = shapely.MultiPoint(points).convex_hull
    if hull.geom_type != "Polygon" or hull.area < 1e-3:
        return
    box = enclosing_box(points)
    peer = shapely.oriented_envelope(hull).area
    assert box.w * box.h == pytest.approx(peer, rel=1e-6, abs=1e-6)
    assert shapely.Polygon(box.corners()).buffer(1e-6).covers(hull)


def test_points_in_one_place_make_no_box() -> None:
    with pytest.raises(AnswerError):
        enclosing_box([(1.0, 1.0), (1.0, 1.0)])


_OVERLAYS = (shapely.intersection, shapely.union)


@example(Box(2, 2, 39.25, 2, 21.75), Box(2, 2, 76, 2, 21.75))
@settings(deadline=None, max_examples=200)
@given(any_box, any_box)
def test_iou_is_symmetric_bounded_and_equal_to_shapelys(first, second) -> None:
    ours = box_iou(first, second)
    assert 0 <= ours <= 1
    assert ours == box_iou(second, first)
    a, b = shapely.Polygon(first.corners()), shapely.Polygon(second.corners())
    # On a fine grid: without one, shapely finds nothing shared where edges nearly coincide.
    shared, either = (method(a, b, grid_size=1e-9).area for method in _OVERLAYS)
    assert ours == pytest.approx(shared / either, abs=1e-6)
    assert box_iou(first, first) == pytest.approx(1)


def test_iou_of_known_pairs() -> None:
    assert box_iou(Box(50, 50, 20, 20, 90), Box(60, 50, 20, 20, 90)) == pytest.approx(1 / 3)
    assert box_iou(Box(50, 50, 20, 20, 90), Box(50, 50, 20, 20, 45)) == pytest.approx(
        math.sqrt(2) / 2
    )
    assert box_iou(Box(10, 10, 5, 5, 90), Box(60, 50, 20, 20, 90)) == 0


@pytest.mark.parametrize("seed", range(150))
def test_mangled_texts_are_read_without_a_crash_and_without_silence(seed) -> None:
    dice = random.Random(seed)
    text = list(
        "There are 3 <ref>ships</ref>: <rbox>("
        + ", ".join([GOOD] * dice.randint(1, 4))
        + ")</rbox> <rel>over</rel>"
    )
    for _ in range(dice.randint(1, 12)):
        at = dice.randrange(len(text))
        action = dice.randrange(3)
        if action == 0:
            del text[at : at + dice.randint(1, 9)]
        elif action == 1:
            text.insert(at, dice.choice([*"{}<>|()/,.-9é\0 ", "<rbox>", "</rbox>", "{{"]))
        else:
            text[at] = dice.choice("{}<>|0x")
        text = text or ["{"]
    mangled = "".join(text)
    for dialect in ("fit-rs", "geochat"):
        read = parse_boxes(mangled, dialect=dialect)
        assert len(read.boxes) + sum(read.problems.values()) >= mangled.count("{")
        assert set(read.problems) <= set(boxes.PROBLEMS)
        for named in read.boxes:
            assert math.isfinite(sum(sum(named.box.corners(), ())))
            assert min(named.box.w, named.box.h) > 0


@pytest.mark.parametrize("part", ["{", "<ref>", "<rbox>", "<1>", "{<1>", "<rel>a"])
def test_long_hostile_texts_are_read_in_linear_time(part) -> None:
    read = parse_boxes(part * 50_000)  # a quadratic scan would take minutes
    assert not read.boxes
