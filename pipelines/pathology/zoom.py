"""Rounds of a closer look: the model answers, fields are chosen, shown finer, and it answers again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.answer import Answer
from longllava_domains.errors import PolicyError
from longllava_domains.pathology import Slide, ZoomPolicy
from longllava_domains.pathology.regions import Region
from longllava_domains.pathology.views.closer import closer_views
from longllava_domains.pathology.views.tissue import TissueMask, user_tissue
from longllava_domains.vision_language import Sampling, VisionSession
from longllava_domains.visual import SlidePlace, View, VisualSequence

_NAMING: Final = (
    "{count} fields of a slide are shown, numbered from 1 in the order shown. Which of them must be "
    "seen closer to answer this question: {question}\nAnswer with at most {most} numbers."
)
_NAMING_TOKENS: Final = 48
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class ZoomRound:
    """One closer look.

    Attributes:
        chosen_by: ``"attention"``, ``"named"`` or ``"caller"``.
        fields: What was seen closer, level-0 pixels: x, y, width, height.
        views: How many finer views showed them.
        answer_before: What the model had said before it.
    """

    chosen_by: str
    fields: tuple[tuple[int, int, int, int], ...]
    views: int
    answer_before: str

    def to_json(self) -> dict[str, Any]:
        """Return the round as JSON."""
        return {
            "chosen_by": self.chosen_by,
            "fields": [list(box) for box in self.fields],
            "views": self.views,
            "answer_before": self.answer_before,
        }


@dataclass(frozen=True, eq=False)
class ClosestLook:
    """The last answer of a conversation with closer looks.

    Attributes:
        answer: What the model said at last.
        attention: Share of its attention on each view shown.
        rounds: The closer looks, in order.
    """

    answer: Answer
    attention: tuple[float, ...]
    rounds: tuple[ZoomRound, ...] = ()


def first_look(
    session: VisionSession,
    question: str,
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> ClosestLook:
    """Ask, and read where the answer looked."""
    readout = session.new_readout()
    answer = session.ask(
        question, max_new_tokens=max_new_tokens, sampling=sampling, readout=readout
    )
    return ClosestLook(answer, tuple(readout.per_view))


def look_closer(
    slide: Slide,
    session: VisionSession,
    question: str,
    zoom: ZoomPolicy,
    fields: Sequence[int],
    *,
    view_px: int,
    tissue: TissueMask | Region | None = None,
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> ClosestLook:
    """Ask, show fields closer, and ask again, as often as the policy says.

    Args:
        slide: The slide of the session.
        session: Views that the model has seen; its conversation goes on.
        question: Asked as it stands in every round.
        zoom: How.
        fields: Positions of the views that may be chosen, the global views left out.
        view_px: Side of a view.
        tissue: Finer views without any are left out.
        max_new_tokens: Longest answer.
        sampling: How tokens are drawn; None for the most likely one.

    Raises:
        PolicyError: A field that lies outside the slide.
        SessionError: The model's sessions cannot be shown more.
        MemoryBudgetError: The finer views do not fit.
    """
    mask = user_tissue(slide, tissue) if isinstance(tissue, Region) else tissue
    look = first_look(session, question, max_new_tokens, sampling)
    rounds: list[ZoomRound] = []
    may_choose = list(fields)
    for _ in range(1 if zoom.at else zoom.rounds):
        chosen_by, areas = _chosen(session, question, zoom, may_choose, look)
        seen = [
            closer_views(slide, area, view_px=view_px, times=zoom.times, tissue=mask)
            for area in areas
        ]
        views = tuple(view for group in seen for view in group)
        before = len(session.sequence or ())
        session.extend(VisualSequence(views, provenance=slide.provenance))
        rounds.append(ZoomRound(chosen_by, _boxes(areas), len(views), look.answer.text))
        look = first_look(session, question, max_new_tokens, sampling)
        may_choose = list(range(before, before + len(views)))
        if zoom.at or _is_native(slide, views):
            break
    return ClosestLook(look.answer, look.attention, tuple(rounds))


Area = Region | tuple[int, int, int, int]


def _chosen(
    session: VisionSession,
    question: str,
    zoom: ZoomPolicy,
    may_choose: Sequence[int],
    look: ClosestLook,
) -> tuple[str, tuple[Area, ...]]:
    """Return who chose which areas."""
    if zoom.at:
        return "caller", zoom.at
    shown = session.sequence
    assert shown is not None
    chosen_by, chosen = "named", list[int]()
    if zoom.by == "named":
        chosen = _named(session, question, may_choose, zoom.fields)
    if not chosen:
        chosen_by = "attention"
        ranked = sorted(may_choose, key=lambda index: (-look.attention[index], index))
        chosen = sorted(ranked[: zoom.fields])
    if not chosen:
        raise PolicyError(
            "No field was shown that could be seen closer.",
            remedy="Use a protocol that shows fields, or name them with ZoomPolicy(at=...).",
            code="slide.zoom",
        )
    return chosen_by, tuple(_box(shown[index]) for index in chosen)


def _named(
    session: VisionSession, question: str, may_choose: Sequence[int], most: int
) -> list[int]:
    """Ask for numbers of fields in a conversation of its own; return positions, each once."""
    words = _NAMING.format(count=len(may_choose), question=question, most=most)
    with session.fork() as aside:
        said = aside.ask(words, max_new_tokens=_NAMING_TOKENS).text
    numbers = dict.fromkeys(int(digits[:9]) for digits in _NUMBER.findall(said))
    return [may_choose[n - 1] for n in numbers if 1 <= n <= len(may_choose)][:most]


def _box(view: View) -> tuple[int, int, int, int]:
    place = view.place
    assert isinstance(place, SlidePlace)
    return place.x, place.y, place.width, place.height


def _boxes(areas: Sequence[Area]) -> tuple[tuple[int, int, int, int], ...]:
    return tuple(
        (area.box.x, area.box.y, area.box.width, area.box.height)
        if isinstance(area, Region)
        else (area[0], area[1], area[2], area[3])
        for area in areas
    )


def _is_native(slide: Slide, views: Sequence[View]) -> bool:
    """Return whether nothing finer can be shown of these views."""
    return all(
        isinstance(view.place, SlidePlace) and view.place.mpp <= slide.mpp * 1.001 for view in views
    )
