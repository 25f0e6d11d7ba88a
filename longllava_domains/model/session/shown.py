"""Views shown at each turn of a conversation, and how each turn spells them."""

from dataclasses import dataclass, replace

from longllava_domains.errors import PolicyError, PromptError
from longllava_domains.prompt import PromptProtocol
from longllava_domains.prompt.layouts import Arrangement
from longllava_domains.visual import VisualSequence


def require_sequence(shown: object) -> None:
    """Refuse to look at what is no sequence of views.

    Raises:
        PromptError: A path, an image or an array instead of a `VisualSequence`.
    """
    if shown is not None and not isinstance(shown, VisualSequence):
        raise PromptError(
            f"A model looks at a VisualSequence; found {type(shown).__name__}.",
            remedy="Open the file and make one: ct.open_volume(path).to_sequence(policy), or the same "
            "with remote_sensing.open_raster.",
            code="prompt.sequence",
        )


@dataclass(frozen=True)
class Shown:
    """The views of a conversation.

    Attributes:
        preamble: Text in front of the first turn's views.
        turns: What each turn shows, None for nothing; turns beyond the last show nothing.
        protocol: How views are spelled.
    """

    preamble: str
    turns: tuple[VisualSequence | None, ...]
    protocol: PromptProtocol

    @property
    def sequence(self) -> VisualSequence | None:
        """All views, in the order in which they were shown."""
        shown = [turn for turn in self.turns if turn is not None]
        if not shown:
            return None
        joined = shown[0]
        for more in shown[1:]:
            joined = _joined(joined, more)
        return joined

    def leads(self, count: int) -> list[str]:
        """Return what stands before the words of each of the first `count` questions."""
        turns = [*self.turns, *[None] * (count - len(self.turns))][:count]
        leads = [
            "" if turn is None else Arrangement.of(turn, self.protocol).lead() for turn in turns
        ]
        return [self.preamble + leads[0], *leads[1:]]

    def with_more(self, more: VisualSequence, *, turn: int) -> "Shown":
        """Return the conversation with more views at a turn, counted from 0.

        Raises:
            PolicyError: In one turn, the layouts do not match, or are grids.
        """
        if more is None:
            raise PolicyError(
                "There are no views to add.", remedy="Pass a VisualSequence.", code="session.layout"
            )
        require_sequence(more)
        turns = [*self.turns, *[None] * (turn + 1 - len(self.turns))]
        there = turns[turn]
        if there is not None and (more.layout == "grid" or there.layout != more.layout):
            raise PolicyError(
                "Only separate images or frames can be extended, and by their own kind.",
                remedy="Show another layout after a question, or open a new session.",
                code="session.layout",
            )
        turns[turn] = more if there is None else _joined(there, more)
        return replace(self, turns=tuple(turns))


def _joined(before: VisualSequence, more: VisualSequence) -> VisualSequence:
    """Join what was shown; turns of different layouts, each spelled by itself, become images."""
    views = (*before.views, *more.views)
    layout = before.layout if before.layout == more.layout != "grid" else "images"
    return VisualSequence(views, layout, provenance=before.provenance)
