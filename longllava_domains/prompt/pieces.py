"""`Prompt`: what a model is told, as pieces in which text can never pose as a control token."""

import json
from dataclasses import dataclass
from enum import Enum

from longllava_domains.units import content_hash


class Mark(Enum):
    """The three things in a prompt that are not text; the value is how each is shown to people."""

    BOS = "<|startoftext|>"
    EOS = "<|endoftext|>"
    IMAGE = "<image>"


Piece = Mark | str


@dataclass(frozen=True)
class Prompt:
    """A prompt, or a part of one, ready to be tokenised.

    Text is tokenised alone between two marks, as the original code does around its image
    placeholders and control tokens. A string ``"<|endoftext|>"`` inside a text piece is
    therefore thirteen characters, while `Mark.EOS` is one id.

    Attributes:
        pieces: Marks and text in order; adjacent texts are joined and empty ones dropped.
    """

    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        joined: list[Piece] = []
        for piece in self.pieces:
            if isinstance(piece, str) and joined and isinstance(joined[-1], str):
                joined[-1] += piece
            elif piece != "":
                joined.append(piece)
        object.__setattr__(self, "pieces", tuple(joined))

    @property
    def text(self) -> str:
        """The prompt as people read it, with ``<image>`` for each view. Not for tokenising."""
        return "".join(piece.value if isinstance(piece, Mark) else piece for piece in self.pieces)

    @property
    def image_count(self) -> int:
        """The number of views that the prompt places."""
        return self.pieces.count(Mark.IMAGE)

    def split(self) -> tuple["Prompt", "Prompt"]:
        """Cut right after the last view, where tokenising the halves equals tokenising the whole.

        Returns:
            The part a session prefills once, empty without views, and the part that follows.
        """
        last = max((i for i, piece in enumerate(self.pieces) if piece is Mark.IMAGE), default=-1)
        return Prompt(self.pieces[: last + 1]), Prompt(self.pieces[last + 1 :])

    def sha256(self) -> str:
        """Return the SHA-256 of the pieces: equal only where the token ids are equal too."""
        spelled = [
            [piece.name, ""] if isinstance(piece, Mark) else ["TEXT", piece]
            for piece in self.pieces
        ]
        return content_hash([json.dumps(spelled).encode()])
