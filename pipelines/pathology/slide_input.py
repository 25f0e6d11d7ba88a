"""A slide as the user gave it: open, or a place that is opened again when its pixels are needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from longllava_domains.errors import DamagedInputError
from longllava_domains.pathology import Slide, open_slide

GivenSlide = Slide | str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class SlideInput:
    """A slide that can be opened more than once.

    Attributes:
        given: An open slide, or what `open_slide` takes.
        mpp: As for `open_slide`, where a path is given.
    """

    given: GivenSlide
    mpp: float | None = None

    @contextmanager
    def opened(self, *, unchanged: str | None = None) -> Iterator[Slide]:
        """Open the slide; one that the user opened stays open.

        Args:
            unchanged: SHA-256 that the file must still have.

        Raises:
            InputError: It cannot be opened (any more).
            DamagedInputError: It is not any more what it was.
            PolicyError: The user's own slide was closed, once it is read.
        """
        if isinstance(self.given, Slide):
            yield self.given
            return
        with open_slide(self.given, mpp=self.mpp) as slide:
            if unchanged is not None and slide.input_sha256 != unchanged:
                raise DamagedInputError(
                    "The slide changed after the answer was made.",
                    remedy="Ask again, and let nothing write to it meanwhile.",
                    code="input.changed",
                )
            yield slide
