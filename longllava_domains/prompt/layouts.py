"""Spell views inside a user's turn: tags, frame marks and rows of tiles.

All tags are plain text for the tokenizer; only the ``<image>`` marker becomes a view. The
original code's two slips are kept under ``reference`` because every published number was made
with them (decision record 0001):

- temporal: the trailing ``<t>`` is removed as a set of characters, which also eats the ``>``
  of the last ``</img>``. With one frame no ``</img>`` is left, so wrapping runs a second time.
- grid: the tiles stand inside the ``<img>`` of the global view.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longllava_domains.errors import PromptError
from longllava_domains.vision_language import PROMPT_PROTOCOLS, PromptProtocol
from longllava_domains.visual import Layout, VisualSequence

MARKER = "<image>"
_TAGGED = f"<img>{MARKER}</img>"


@dataclass(frozen=True)
class Arrangement:
    """The number of views, and how they belong together.

    Attributes:
        count: Number of views.
        layout: As in `VisualSequence`.
        grid: (rows, columns) of the tiles, only with layout ``grid``.
        protocol: One of `PROMPT_PROTOCOLS`.

    Raises:
        PromptError: There is no such protocol.
    """

    count: int
    layout: Layout
    grid: tuple[int, int] | None
    protocol: PromptProtocol

    def __post_init__(self) -> None:
        if self.protocol not in PROMPT_PROTOCOLS:
            raise PromptError(
                "There is no prompt protocol of that name.",
                remedy=f"Use one of {', '.join(PROMPT_PROTOCOLS)}.",
                code="prompt.protocol",
            )

    @classmethod
    def of(cls, shown: VisualSequence | int | None, protocol: PromptProtocol) -> "Arrangement":
        """Describe a sequence, a number of separate images, or nothing."""
        if isinstance(shown, VisualSequence):
            return cls(len(shown), shown.layout, shown.grid, protocol)
        return cls(shown or 0, "images", None, protocol)

    def block(self) -> str:
        """Spell all views as one block, with a ``<image>`` marker for each."""
        if self.layout == "temporal":
            return self._frames()
        if self.grid is not None:
            return self._tiles(*self.grid)
        return _TAGGED * self.count

    def lead(self) -> str:
        """Spell all views for the start of a turn, with what separates them from the question."""
        glued = self.layout == "temporal" and self.protocol != "paper"
        return self.block() + ("" if glued else "\n")

    def _frames(self) -> str:
        frames = "<t>".join([_TAGGED] * self.count)
        if self.protocol == "reference":
            frames = frames.removesuffix(">")
            if "</img>" not in frames:
                frames = frames.replace(MARKER, _TAGGED)
        return f"<vid>{frames}</vid>"

    def _tiles(self, rows: int, columns: int) -> str:
        tiles = "\n".join([_TAGGED * columns] * rows)
        if self.protocol == "reference":
            return f"<img>{MARKER}\n{tiles}</img>"
        return f"{_TAGGED}\n{tiles}"


def place_views(turns: Sequence[str], views: Arrangement) -> list[str]:
    """Put the views into the user's turns.

    Without a marker the views lead the first turn. With markers each stands for one view, in
    order: bare markers get their tags here, and a turn that spells ``</img>`` itself is left as
    its author wrote it, as in the original code. Views that belong together (``temporal``,
    ``grid``) are one block, so their bare markers stand side by side.

    Args:
        turns: The user's texts in order, one at least.
        views: What there is to place.

    Returns:
        The turns with every view spelled and marked.

    Raises:
        PromptError: Markers and views differ in number, or the markers of a block are apart.
    """
    markers = sum(turn.count(MARKER) for turn in turns)
    if markers == 0:
        return [views.lead() + turns[0], *turns[1:]] if views.count else list(turns)
    if markers != views.count:
        raise PromptError(
            f"The text has {markers} <image> markers, and there are {views.count} views.",
            remedy="Leave <image> out: then the views come first. Or write it once for each view.",
            code="prompt.markers",
            facts={"markers": markers, "views": views.count},
        )
    return [_dress(turn, views) for turn in turns]


def _dress(turn: str, views: Arrangement) -> str:
    """Give the bare markers of one turn their tags."""
    if MARKER not in turn or "</img>" in turn:
        return turn
    if views.layout == "images":
        return turn.replace(MARKER, _TAGGED)
    together = MARKER * views.count
    if together not in turn:
        raise PromptError(
            f"The views of the layout {views.layout!r} are one block, "
            "and their <image> markers stand apart.",
            remedy="Write the markers side by side, or none, or use the layout 'images'.",
            code="prompt.apart",
            facts={"views": views.count},
        )
    return turn.replace(together, views.block())
