"""Questions about a slide: the views a model saw, their places, votes and what the reader is told."""

import json
from pathlib import Path
from typing import Any

import pytest
import slide_builder as builder
from other_family import OtherModel, OtherSession

from longllava_domains.answer import Answer
from longllava_domains.errors import GeometryError, MemoryBudgetError
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pipelines import PathologyQA
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.vision_language import ViewFormat


class Counter(OtherModel):
    """Says how many views it saw, and whether the first is pale."""

    view_format = ViewFormat(view_px=112, trained_tokens=0)

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    def open(self, sequence, **options: object) -> OtherSession:
        return Asked(self, sequence)

    def answer(self, sequence, question: str, *, max_new_tokens: int = 0) -> Answer:
        self.seen.append((len(sequence), question))
        pale = sequence[0].pixels.mean() > 215
        text = f"{len(sequence)} views, {'pale' if pale else 'dark'}"
        return Answer(text, provenance=Provenance(model="scripted", **_kept(sequence)))


class Asked(OtherSession):
    """A session of `Counter`."""

    def ask(self, question: str, **options: Any) -> Answer:
        return self.model.answer(self.sequence, question)

    def fork(self) -> "Asked":
        return Asked(self.model, self.sequence)


def _kept(sequence) -> dict:
    made = sequence.provenance
    return {key: made[key] for key in ("policy", "preset", "load_report", "left_out")}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return builder.svs(tmp_path_factory.mktemp("slides") / "secret^name.svs")


def test_one_question_of_a_path(path: Path) -> None:
    answer = PathologyQA(Counter(), policy=TilePolicy(view_px=112, max_views=20))(path, "What?")
    assert answer.text.startswith(f"{len(answer.sequence)} views")
    assert answer.sequence.layout == "grid"
    told = answer.to_json()
    assert len(told["views"]) == len(answer.sequence)
    assert told["views"][0]["kind"] == "slide"
    assert told["notices"][0] == RESEARCH_NOTICE
    assert any("No published evidence" in notice for notice in told["notices"])
    assert told["provenance"]["preset"] == "joint-lowmag@1"
    assert told["provenance"]["policy"]["max_views"] == 20
    assert "secret" not in json.dumps(told)


def test_several_questions_of_an_open_slide_and_two_regions(path: Path) -> None:
    model = Counter()
    with open_slide(path) as slide:
        answers = PathologyQA(model).ask(
            slide, ["One?", "Two?"], policy=TilePolicy(view_px=112, max_views=20),
            regions=[(150, 300, 300, 300), (900, 300, 300, 300)],
        )  # fmt: skip
    assert [question for _, question in model.seen] == ["One?", "Two?"]
    assert answers[0].sequence is answers[1].sequence
    assert answers[0].sequence.layout == "images"


def test_votes_ask_every_patch_alone_and_count(path: Path) -> None:
    model = Counter()
    answer = PathologyQA(model)(
        path, "Pale?", policy=TilePolicy("vote-patches@1", view_px=64, max_views=9)
    )
    assert [count for count, _ in model.seen] == [1] * 9
    assert sum(answer.votes.values()) == 9
    assert answer.votes[answer.text] == max(answer.votes.values())
    assert answer.to_json()["votes"] == dict(answer.votes)
    assert answer.provenance["views"] == 9


def test_an_answer_is_saved_for_qupath_from_the_corner_of_what_was_scanned(
    path: Path, tmp_path: Path
) -> None:
    with open_slide(path) as slide:
        slide.bounds = slide.bounds._replace(x=300, y=200, width=900, height=700)
        answer = PathologyQA(Counter(), policy=TilePolicy(view_px=112))(slide, "What?")
    answer.save_geojson(tmp_path / "views.geojson")
    told = json.loads((tmp_path / "views.geojson").read_text())
    assert told["features"][0]["geometry"]["coordinates"][0][0] == [0, 0]
    assert (answer.sequence[0].place.x, answer.sequence[0].place.y) == (300, 200)


def test_a_resolution_may_be_given_with_the_path(tmp_path: Path) -> None:
    bare = builder.tiff(tmp_path / "a.tif", mpp=None)
    slide_qa = PathologyQA(Counter(), policy=TilePolicy(view_px=112, max_views=9))
    with pytest.raises(GeometryError):
        slide_qa(bare, "What?")
    assert slide_qa(bare, "What?", mpp=0.25).provenance["load_report"]["numbers"]["mpp"] == 0.25


class Small(OtherModel):
    """Has no memory for more than five views."""

    def open(self, sequence, **options: object) -> OtherSession:
        raise MemoryBudgetError(
            "Does not fit.", remedy="Less.", code="memory", facts={"largest_views": 5}
        )


def test_a_refusal_for_want_of_memory_names_the_policy_that_fits(path: Path) -> None:
    with pytest.raises(MemoryBudgetError, match=r"TilePolicy\(max_views=5\)"):
        PathologyQA(Small())(path, "What?")


def test_the_demonstration_model_answers_about_a_slide(path: Path) -> None:
    slide_qa = PathologyQA.from_pretrained("demo")
    first, second = slide_qa.ask(
        path, ["What tissue is this?", "Is it pale?"], max_new_tokens=4,
        policy=TilePolicy(view_px=slide_qa.policy.view_px, max_views=5),
    )  # fmt: skip
    again = slide_qa(
        path, "Is it pale?", max_new_tokens=4,
        policy=TilePolicy(view_px=slide_qa.policy.view_px, max_views=5),
    )  # fmt: skip
    assert first.to_json()["demo"]
    assert second.answer.token_ids == again.answer.token_ids
    assert len(first.sequence) <= 5
