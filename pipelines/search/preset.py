"""Search preset: the words, chip size and resolution that a model was trained on."""

import json
import unicodedata
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final

from longllava_domains.boxes import Dialect
from longllava_domains.errors import PolicyError

# Control characters, halves of surrogate pairs, line and paragraph separators.
_NO_TEXT: Final = ("Cc", "Cs", "Zl", "Zp")


def _is_no_text(character: str) -> bool:
    return unicodedata.category(character) in _NO_TEXT


@dataclass(frozen=True)
class SearchPreset:
    """A versioned way to ask where things are.

    Attributes:
        name: ``name@version``; a released version is never edited.
        source: Where the words and numbers come from.
        dialect: How the answers write boxes.
        question: With ``{things}`` for the plural of what is looked for.
        says_nothing: Lower-case phrases by which an answer says that there is none.
        says_not_all: Lower-case phrases by which an answer says that it leaves some out.
        chip_px: Side of a chip, raster pixels.
        overlap_px: Pixels that neighbouring chips share.
        trained_resolution_m: Least and largest ground metres per pixel of the training images,
            None where they are not published.
        max_new_tokens: Longest answer about one chip.
    """

    name: str
    source: str
    dialect: Dialect
    question: str
    says_nothing: tuple[str, ...]
    says_not_all: tuple[str, ...]
    chip_px: int
    overlap_px: int
    trained_resolution_m: tuple[float, float] | None
    max_new_tokens: int

    @classmethod
    def named(cls, dialect: str = "fit-rs") -> "SearchPreset":
        """Read the packaged preset of a box dialect.

        Raises:
            PolicyError: There is no preset of that dialect.
        """
        folder = files("longllava_domains.pipelines") / "defaults"
        known = {
            entry.name.removeprefix("find-").removesuffix("@1.json"): entry
            for entry in folder.iterdir()
            if entry.name.startswith("find-")
        }
        if dialect not in known:
            raise PolicyError(
                f"There is no box dialect {dialect!r}.",
                remedy=f"Use one of {', '.join(sorted(known))}.",
                code="find.dialect",
            )
        data = json.loads(known[dialect].read_text(encoding="utf-8"))
        for key in ("says_nothing", "says_not_all", "trained_resolution_m"):
            data[key] = None if data[key] is None else tuple(data[key])
        return cls(**data)

    def with_chips(self, size_px: int | None, overlap_px: int | None) -> "SearchPreset":
        """Return the preset with chips of another size or overlap, where one is given.

        Args:
            size_px: Side of a chip, raster pixels.
            overlap_px: Pixels that neighbouring chips share.
        """
        return replace(
            self,
            chip_px=self.chip_px if size_px is None else size_px,
            overlap_px=self.overlap_px if overlap_px is None else overlap_px,
        )

    def ask(self, category: str) -> str:
        """Return the question for a thing; the plural is English's plain s, as in FIT-RS.

        Args:
            category: Singular, such as ``"ship"``; FIT-RS writes ``"storage_tank"``.

        Raises:
            PolicyError: The thing is empty, or holds characters that write boxes or tags, or that
                no map file can name a class with: control characters, halves of surrogate pairs.
        """
        if not category.strip() or any(mark in "<>{}" or _is_no_text(mark) for mark in category):
            raise PolicyError(
                "What to look for is empty, or holds one of < > { }, a line break or a character "
                "that cannot be printed.",
                remedy='Name one kind of thing in the singular, such as "ship".',
                code="find.thing",
            )
        return self.question.format(things=f"{category.strip()}s")
