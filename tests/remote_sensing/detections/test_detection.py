"""A box in a chip becomes a place in the scene, with its problems counted."""

import json
import math

import pytest

from longllava_domains.remote_sensing.detections.detection import from_text
from longllava_domains.visual import MapPlace

ROTATION = math.radians(30)


def rotated(column: float, row: float) -> tuple[float, float]:
    """A half-metre raster turned by 30 degrees against its grid."""
    cos, sin = 0.5 * math.cos(ROTATION), 0.5 * math.sin(ROTATION)
    return 500_000 + cos * column + sin * row, 5_400_000 + sin * column - cos * row


PLACE = MapPlace(1024, 512, 512, 512, "chip", 0.5, "EPSG:32631", rotated)


def test_per_cent_of_the_chip_becomes_pixels_of_the_scene() -> None:
    (ship,) = from_text(PLACE, "{<50.00><25.00><10.00><20.00>|<90>}", "ship").detections
    columns, rows = zip(*ship.corners_pixel(), strict=True)
    assert (min(columns), max(columns)) == pytest.approx((1024 + 0.4 * 512, 1024 + 0.6 * 512))
    assert (min(rows), max(rows)) == pytest.approx((512 + 0.2 * 512, 512 + 0.3 * 512))
    assert ship.ring_map() == tuple(rotated(*corner) for corner in ship.corners_pixel())
    assert (ship.name, ship.angle_deg, ship.resolution_m) == ("ship", 90, 0.5)
    assert ship.view_id == "chip-r512-c1024-512x512"
    assert not ship.is_cut


def test_class_is_the_thing_asked_for_unless_the_answer_names_another() -> None:
    text = (
        "<ref>ships</ref><rbox>({<50.00><25.00><10.00><20.00>|<90>})</rbox>"
        "<ref>dock</ref><rbox>({<50.00><75.00><10.00><20.00>|<90>})</rbox>"
    )
    assert [d.name for d in from_text(PLACE, text, "ship").detections] == ["ship", "dock"]


def test_problems_stay_beside_what_was_read() -> None:
    reading = from_text(PLACE, "({<50.00><25.00><10.00><20.00>|<90>}, {<1><2>|<3>}, {<9", "ship")
    assert len(reading.detections) == 1
    assert dict(reading.problems) == {"number_count": 1, "unclosed": 1}


def test_score_is_the_mean_token_probability_or_nothing() -> None:
    text = "{<50.00><25.00><10.00><20.00>|<90>}"
    (unsure,) = from_text(PLACE, text, "ship").detections
    assert unsure.score is None
    assert unsure.to_json()["score_kind"] is None
    (scored,) = from_text(PLACE, text, "ship", token_logprobs=[math.log(0.5), 0.0]).detections
    assert scored.score == pytest.approx(math.sqrt(0.5))
    assert scored.to_json()["score_kind"] == "token-probability, uncalibrated"


def test_json_of_a_raster_without_georeference_holds_pixels_only() -> None:
    bare = MapPlace(0, 0, 512, 512, "chip", None, None)
    (ship,) = from_text(bare, "{<50.00><50.00><10.00><10.00>|<90>}", "ship").detections
    told = json.loads(json.dumps(ship.to_json()))
    assert told["ring_map"] is None
    assert told["corners_pixel"][0] == pytest.approx([281.6, 230.4])


@pytest.mark.parametrize(("cx", "cut"), [("50.00", False), ("95.00", True), ("5.20", True)])
def test_boxes_at_the_edge_are_known_to_be_cut(cx, cut) -> None:
    (ship,) = from_text(PLACE, f"{{<{cx}><50.00><10.00><10.00>|<90>}}", "ship").detections
    assert ship.is_cut is cut
