"""Things found on a slide: each once, at its place in level-0 pixels, every field accounted for."""

import json
from pathlib import Path

import numpy as np
import pytest
import slide_builder as builder
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from other_family import OtherModel

from longllava_domains.answer import Answer
from longllava_domains.boxes import Box, write_boxes
from longllava_domains.errors import ModelError, NotFoundError, OutputError, PolicyError
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.detections import SlideDetection, merge_detections
from longllava_domains.pipelines import PathologyQA
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import SlidePlace, VisualSequence

WIDTH, HEIGHT = 900, 640
INK = (20, 30, 20)
SQUARES = [(300, 250), (452, 330), (598, 300), (400, 412)]
SIDE = 22


class Sees(OtherModel):
    """Boxes every dark green square of a view, as a model that was taught to would."""

    view_format = ViewFormat(view_px=112, tokens_per_view=36, trained_tokens=0)

    def __init__(self) -> None:
        self.asked = 0

    def answer(
        self, sequence: VisualSequence | None, question: str, *, max_new_tokens: int = 0,
        **_: object,
    ) -> Answer:  # fmt: skip
        assert sequence is not None
        self.asked += 1
        (view,) = sequence
        dark = view.pixels.max(axis=-1) < 70
        boxes = [Box(*box, 90) for box in _boxes(dark)]
        text = write_boxes(boxes, name="square") if boxes else "There are no squares."
        made = sequence.provenance.with_(model="scripted", views=1)
        return Answer(text, token_logprobs=(-0.1, -0.3), provenance=made)


def _boxes(dark: np.ndarray) -> list[tuple[float, float, float, float]]:
    """Return (cx, cy, h, w) in per cent of each dark part; parts never touch in these slides."""
    from longllava_domains.pathology.views.components import label

    found = []
    parts = label(dark)
    for number in range(1, int(parts.max()) + 1):
        rows, columns = np.nonzero(parts == number)
        if len(rows) < 12:
            continue
        top, bottom = rows.min() / len(dark) * 100, (rows.max() + 1) / len(dark) * 100
        left, right = columns.min() / len(dark) * 100, (columns.max() + 1) / len(dark) * 100
        found.append(((left + right) / 2, (top + bottom) / 2, bottom - top, right - left))
    return found


def planted() -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), builder.GLASS, np.uint8)
    image[200:520, 240:700] = builder.STROMA
    image[540:640, 800:900] = builder.STROMA
    for x, y in SQUARES:
        image[y : y + SIDE, x : x + SIDE] = INK
    return image


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builder.tiff(
        tmp_path_factory.mktemp("found") / "secret^name.tif", planted(), factors=(2,),
        compression="deflate", compressionargs=None,
    )  # fmt: skip


@pytest.mark.parametrize("view_mpp", [builder.MPP, 2 * builder.MPP])
def test_every_planted_square_is_found_once_and_in_its_place(path: Path, view_mpp: float) -> None:
    plans: list[str] = []
    found = PathologyQA(Sees()).find(
        path, "square", view_mpp=view_mpp, on_plan=lambda plan: plans.append(str(plan))
    )
    assert [detection.name for detection in found.detections] == ["square"] * len(SQUARES)
    expected = sorted((y, x) for x, y in SQUARES)
    tolerance = 1.5 * view_mpp / builder.MPP
    for detection, (y, x) in zip(found.detections, expected, strict=True):
        assert detection.box == pytest.approx((x, y, x + SIDE, y + SIDE), abs=tolerance)
        assert detection.score == pytest.approx(np.exp(-0.2))
    assert found.is_complete
    assert found.outcomes["failed"] == 0
    assert found.outcomes["skipped"] > 0  # glass is not asked about
    assert "without tissue" in plans[0]
    assert "about" in plans[1]
    told = json.dumps(found.to_json())
    assert "secret" not in told
    assert "card names no training" in told


def test_a_region_and_a_drawn_tissue_limit_the_search(path: Path) -> None:
    (only,) = PathologyQA(Sees()).find(path, "square", region=(250, 200, 140, 140)).detections
    assert only.box[:2] == pytest.approx(SQUARES[0], abs=1.5)
    model = Sees()
    with open_slide(path) as slide:
        ring = [[590, 290], [640, 290], [640, 340], [590, 340], [590, 290]]
        drawn = slide.region({"type": "Polygon", "coordinates": [ring]})
        (other,) = PathologyQA(model).find(slide, "square", tissue=drawn).detections
    assert other.box[:2] == pytest.approx(SQUARES[2], abs=1.5)
    assert model.asked == 1


def test_a_stopped_search_goes_on_where_it_was(path: Path, tmp_path: Path) -> None:
    class Dies(Sees):
        def answer(self, *arguments: object, **options: object) -> Answer:
            if self.asked == 5:
                raise KeyboardInterrupt
            return super().answer(*arguments, **options)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        PathologyQA(Dies()).find(path, "square", keep_in=tmp_path / "kept")
    model, fresh = Sees(), Sees()
    resumed = PathologyQA(model).find(path, "square", keep_in=tmp_path / "kept")
    whole = PathologyQA(fresh).find(path, "square")
    assert model.asked == fresh.asked - 5
    assert [d.corners for d in resumed.detections] == [d.corners for d in whole.detections]
    with pytest.raises(OutputError, match="another search"):
        PathologyQA(Sees()).find(path, "gland", keep_in=tmp_path / "kept")


def test_failures_are_counted_and_broken_boxes_named(path: Path) -> None:
    class Falters(Sees):
        def answer(self, *arguments: object, **options: object) -> Answer:
            answer = super().answer(*arguments, **options)  # type: ignore[arg-type]
            if self.asked == 2:
                raise ModelError("No.", remedy="None.", code="model.nan")
            text = {3: "I cannot say.", 4: "{<1><2>}"}.get(self.asked, answer.text)
            return Answer(text, provenance=answer.provenance)

    found = PathologyQA(Falters()).find(path, "square")
    reasons = [outcome.reason for outcome in found.fields if outcome.status == "failed"]
    assert reasons == ["model.nan", "unreadable", "unreadable"]
    assert found.problems == {"number_count": 1}
    assert not found.is_complete
    assert "3 fields unreadable" in found.summary()


def test_a_field_that_cannot_be_decoded_is_a_failure_and_the_others_are_asked(
    tmp_path: Path,
) -> None:
    image = planted()
    path = builder.tiff(tmp_path / "a.tif", image, factors=())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        across = -(-WIDTH // builder.TILE)
        tile = 300 // builder.TILE * across + 452 // builder.TILE
        start, count = page.dataoffsets[tile], page.databytecounts[tile]
    data = bytearray(path.read_bytes())
    data[start + count // 2 : start + count] = bytes(count - count // 2)
    path.write_bytes(data)
    found = PathologyQA(Sees()).find(path, "square")
    reasons = {outcome.reason for outcome in found.fields if outcome.status == "failed"}
    assert reasons == {"damaged"}
    assert found.outcomes["seen"] > 10
    assert found.provenance["load_report"]["codes"]["tiles.damaged"] == 1
    assert not found.is_complete


def test_nothing_to_look_at_is_refused(path: Path, tmp_path: Path) -> None:
    slide_qa = PathologyQA(Sees())
    glass = builder.tiff(tmp_path / "glass.tif", np.full((300, 400, 3), 240, np.uint8))
    with pytest.raises(NotFoundError, match="No tissue"):
        slide_qa.find(glass, "square")
    assert slide_qa.find(glass, "square", region=(0, 0, 100, 100)).outcomes["seen"] == 1
    with pytest.raises(PolicyError, match="share"):
        slide_qa.find(path, "square", overlap_px=112)
    with pytest.raises(PolicyError, match="empty"):
        slide_qa.find(path, " ")


def test_what_was_found_is_drawn_and_saved_for_qupath(path: Path, tmp_path: Path) -> None:
    found = PathologyQA(Sees()).find(path, "square")
    found.save_geojson(tmp_path / "found.geojson")
    told = json.loads((tmp_path / "found.geojson").read_text())
    first = told["features"][0]
    assert first["properties"]["objectType"] == "detection"
    assert first["properties"]["classification"]["name"] == "square"
    assert first["properties"]["measurements"]["score"] == pytest.approx(np.exp(-0.2))
    xs, ys = zip(*first["geometry"]["coordinates"][0], strict=True)
    assert (min(xs), min(ys)) == pytest.approx(SQUARES[0], abs=1.5)
    assert told["is_complete"]
    sheet = np.asarray(found.show().convert("RGB"))
    assert (sheet == (20, 90, 220)).all(axis=-1).sum() > 4 * SIDE
    path_again = tmp_path / "moved.tif"
    path_again.write_bytes(path.read_bytes())
    moved = PathologyQA(Sees()).find(path_again, "square")
    path_again.write_bytes(builder.tiff(tmp_path / "b.tif", planted(), factors=()).read_bytes())
    with pytest.raises(Exception, match="changed"):
        moved.show()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_object_is_counted_once_wherever_it_lies(data: st.DataObject) -> None:
    """Boxes from overlapping fields of any scale, cut at their edges, become one detection."""
    side = data.draw(st.integers(200, 2000))
    share = data.draw(st.sampled_from([0.2, 0.3, 0.5]))
    size = data.draw(st.floats(0.05, 0.9)) * side * share
    step = side - int(side * share)
    x, y = data.draw(st.floats(0, 2 * step)), data.draw(st.floats(0, 2 * step))
    places = [
        SlidePlace(i * step, j * step, side, side, 0, 1.0) for i in range(4) for j in range(4)
    ]
    boxes = []
    for place in places:
        left, right = max(x, place.x), min(x + size, place.x + side)
        top, bottom = max(y, place.y), min(y + size, place.y + side)
        if right - left > 0.3 * size and bottom - top > 0.3 * size:
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            boxes.append(SlideDetection("a", corners, place, 0.5))
    merged = merge_detections(data.draw(st.permutations(boxes)), places)
    assert len(merged) == 1
    assert merged[0].box == pytest.approx((x, y, x + size, y + size), abs=0.05 * side)
