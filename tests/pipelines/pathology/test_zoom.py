"""Closer looks: fields are chosen, shown finer, asked again; and where an answer looked is shown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slide_builder as builder
from other_family import OtherModel, OtherSession

from longllava_domains.answer import Answer
from longllava_domains.errors import InputError, PolicyError
from longllava_domains.pathology import TilePolicy, ZoomPolicy, open_slide
from longllava_domains.pipelines import PathologyQA
from longllava_domains.provenance import Provenance
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import SlidePlace, VisualSequence

POLICY = TilePolicy(view_px=56, max_views=40)


class Blue:
    """Looks at each view as much as there is blue ink in it."""

    def __init__(self, sequence: VisualSequence) -> None:
        ink = [float((view.pixels[..., 0] < 60).mean()) + 1e-6 for view in sequence]
        self.per_view = tuple(value / sum(ink) for value in ink)


class Looking(OtherSession):
    """A session that can be shown more, names the fields it is told to, and counts its views."""

    names = ""

    def ask(self, question: str, **options: Any) -> Answer:
        answer = super().ask(question, **options)
        text = self.names if "numbered from 1" in question else answer.text
        return Answer(text, provenance=answer.provenance)

    def fork(self) -> "Looking":
        twin = Looking(self.model, self.sequence)
        twin.names, twin.asked = self.names, self.asked
        return twin

    def extend(self, more: VisualSequence) -> None:
        assert self.sequence is not None
        views = (*self.sequence.views, *more.views)
        self.sequence = VisualSequence(views, provenance=self.sequence.provenance)

    def new_readout(self) -> Any:
        return Blue(self.sequence)


class Looker(OtherModel):
    view_format = ViewFormat(view_px=56, tokens_per_view=9, trained_tokens=0)

    def __init__(self, names: str = "", **known: Any) -> None:
        self.names = names
        self.provenance = Provenance(model="scripted", **known)

    def open(self, sequence: VisualSequence | None, **options: Any) -> Looking:
        session = Looking(self, sequence)
        session.names = self.names
        return session


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = np.full((1200, 1600, 3), builder.STROMA, np.uint8)
    image[700:760, 1000:1060] = (20, 30, 160)
    return builder.tiff(
        tmp_path_factory.mktemp("zoom") / "a.tif",
        image,
        compression="deflate",
        compressionargs=None,
    )


def boxes(sequence: VisualSequence) -> list[tuple[int, int, int, int]]:
    places = [view.place for view in sequence]
    assert all(isinstance(place, SlidePlace) for place in places)
    return [(p.x, p.y, p.width, p.height) for p in places]  # type: ignore[union-attr]


def test_the_field_that_was_looked_at_most_is_seen_closer_until_nothing_is_finer(
    path: Path,
) -> None:
    zoom = ZoomPolicy(fields=1, times=2, rounds=3)
    answer = PathologyQA(Looker())(path, "What?", policy=POLICY, zoom=zoom)
    assert 2 <= len(answer.rounds) <= 3
    assert answer.text.endswith(f"question {len(answer.rounds) + 1}")
    shown = boxes(answer.sequence)
    assert len(shown) <= POLICY.max_views
    begin = len(shown) - sum(each.views for each in answer.rounds)
    for each in answer.rounds:
        assert each.chosen_by == "attention"
        (field,) = each.fields
        assert field in shown[:begin]  # chosen among what was shown before
        x, y, side, _ = field
        assert x < 1060 and x + side > 1000 and y < 760 and y + side > 700  # noqa: PT018
        finer = answer.sequence[begin].place
        assert isinstance(finer, SlidePlace)
        assert finer.mpp < side * builder.MPP / 56
        begin += each.views
    assert finer.mpp >= builder.MPP * 0.999
    told = answer.to_json()
    assert told["zoom"][0]["answer_before"].endswith("question 1")
    assert told["provenance"]["policy"]["closer"][0]["views"] == answer.rounds[0].views
    assert len(told["views"]) == len(told["attention"]) == len(answer.sequence)
    assert any("closer look 1" in line for line in answer.shown())


def test_closer_pixels_are_those_of_the_slide(path: Path) -> None:
    with open_slide(path) as slide:
        answer = PathologyQA(Looker())(
            slide, "What?", policy=POLICY, zoom=ZoomPolicy(at=[(980, 690, 100, 90)], times=2)
        )
        assert answer.rounds[0].chosen_by == "caller"
        assert answer.rounds[0].fields == ((980, 690, 100, 90),)
        for view in answer.sequence.views[-answer.rounds[0].views :]:
            place = view.place
            assert isinstance(place, SlidePlace)
            read = slide.read(place.x, place.y, place.width, place.height, mpp=place.mpp)
            assert np.array_equal(view.pixels, read)
            assert view.pixels.shape == (56, 56, 3)


@pytest.mark.parametrize(
    ("said", "chosen_by", "numbers"),
    [("Fields 3 and 1, then 3.", "named", (3, 1)), ("None.", "attention", None), ("99", "attention", None)],
)  # fmt: skip
def test_the_model_may_name_the_fields(path: Path, said: str, chosen_by: str, numbers) -> None:
    zoom = ZoomPolicy(fields=2, times=2, by="named")
    answer = PathologyQA(Looker(said))(path, "What?", policy=POLICY, zoom=zoom)
    (look,) = answer.rounds
    assert look.chosen_by == chosen_by
    if numbers:
        shown = boxes(answer.sequence)
        assert look.fields == tuple(shown[number] for number in numbers)  # 0 is the global view


def test_each_question_has_closer_looks_of_its_own(path: Path) -> None:
    one, two = PathologyQA(Looker()).ask(
        path, ["One?", "Two?"], policy=POLICY, zoom=ZoomPolicy(fields=1, times=2)
    )
    assert one.text == two.text
    assert len(one.rounds) == len(two.rounds) == 1


def test_closer_looks_that_cannot_be_are_refused(path: Path) -> None:
    slide_qa = PathologyQA(Looker(), policy=POLICY)
    with pytest.raises(PolicyError, match="budget of 40 views does not hold closer looks of 64"):
        slide_qa(path, "What?", zoom=ZoomPolicy())
    with pytest.raises(PolicyError, match="vote"):
        slide_qa(
            path, "What?", policy=TilePolicy("vote-patches@1", view_px=56),
            zoom=ZoomPolicy(fields=1),
        )  # fmt: skip
    with pytest.raises(PolicyError, match="outside"):
        slide_qa(path, "What?", zoom=ZoomPolicy(at=[(5000, 0, 9, 9)], times=2))
    for wrong in ({"fields": 0}, {"times": 1}, {"rounds": True}, {"by": "luck"}):
        with pytest.raises(PolicyError, match=next(iter(wrong))):
            ZoomPolicy(**wrong)  # type: ignore[arg-type]


def test_evidence_is_native_fields_by_attention_beside_random_ones(path: Path) -> None:
    answer = PathologyQA(Looker())(path, "What?", policy=POLICY)
    evidence = answer.evidence(most=3)
    top = evidence.looked_at[0]
    place = top.place
    assert isinstance(place, SlidePlace)
    assert place.mpp == builder.MPP
    assert top.pixels.shape[:2] == (place.height, place.width)
    assert (top.pixels[..., 0] < 60).any()  # the ink, at native resolution
    assert list(evidence.attention) == sorted(evidence.attention, reverse=True)
    looked, others = (
        {view.place for view in views} for views in (evidence.looked_at, evidence.random)
    )
    assert len(others) == 3
    assert not looked & others
    assert answer.sequence[0].place not in looked | others  # the global view is no field
    again = answer.evidence(most=3)
    assert [view.place for view in again.random] == [view.place for view in evidence.random]
    assert evidence.to_json()["looked_at"][0]["attention"] == evidence.attention[0]
    assert evidence.show().width > 3 * 200
    with pytest.raises(PolicyError):
        answer.evidence(most=0)


def test_evidence_needs_the_slide_as_it_was(path: Path, tmp_path: Path) -> None:
    votes = PathologyQA(Looker())(
        path, "?", policy=TilePolicy("vote-patches@1", view_px=56, max_views=4)
    )
    with pytest.raises(PolicyError, match="vote"):
        votes.evidence()
    copy = tmp_path / "copy.tif"
    copy.write_bytes(path.read_bytes())
    answer = PathologyQA(Looker())(copy, "What?", policy=POLICY)
    builder.tiff(copy, builder.tissue(400, 300))
    with pytest.raises(InputError, match="changed"):
        answer.evidence()
    with open_slide(path) as slide:
        closed = PathologyQA(Looker())(slide, "What?", policy=POLICY)
    with pytest.raises(PolicyError, match="closed"):
        closed.evidence()


def test_attention_is_written_for_qupath_and_every_view_is_listed(
    path: Path, tmp_path: Path
) -> None:
    answer = PathologyQA(Looker())(path, "What?", policy=POLICY)
    answer.save_geojson(tmp_path / "views.geojson")
    told = json.loads((tmp_path / "views.geojson").read_text())
    shares = [feature["properties"]["measurements"]["attention"] for feature in told["features"]]
    assert shares == pytest.approx(answer.attention)
    lines = list(answer.shown())
    assert lines[0].startswith("view 1: x 0, y 0, 1600 x 1200 pixels of level 0")
    assert sum(line.count(",") for line in lines) >= len(answer.sequence)


def test_a_card_that_names_slides_is_believed(path: Path) -> None:
    unnamed = PathologyQA(Looker())(path, "What?", policy=POLICY)
    named = PathologyQA(Looker(trained_domains=["pathology"]))(path, "What?", policy=POLICY)
    assert any("card names no training" in notice for notice in unnamed.notices)
    assert not any("card" in notice for notice in named.notices)
