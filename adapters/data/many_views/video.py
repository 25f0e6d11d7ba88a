"""Videos as pictures of a training row: frames taken uniformly, in the temporal layout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from PIL import Image

from longllava_domains.adapters.data.many_views.stored_file import StoredFile
from longllava_domains.adapters.data.pictures import Shape
from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.units import short_hash

SUFFIXES: Final = (".mp4", ".avi", ".mkv", ".mov", ".webm")
# Ours: how many frames of its training videos LongLLaVA saw is not published.
FRAMES: Final = 16


@dataclass(frozen=True)
class Video(StoredFile):
    """A video, of which frames at the middle of equal stretches are shown.

    Attributes:
        frames: How many; fewer where the video has fewer.
    """

    frames: int = FRAMES

    def shape(self) -> Shape:
        """Return as many views as frames are taken.

        Raises:
            UnsupportedInputError: PyAV is not installed.
            DamagedInputError: It is no video, or holds no frame.
        """
        return Shape(min(self.frames, self._count()), "temporal")

    def load(self) -> Sequence[Image.Image]:
        """Decode the frames.

        Raises:
            UnsupportedInputError: PyAV is not installed.
            DamagedInputError: It cannot be decoded.
        """
        count = self._count()
        taken = min(self.frames, count)
        wanted = {int((place + 0.5) * count / taken) for place in range(taken)}
        found = [
            frame.to_image() for number, frame in enumerate(self._frames()) if number in wanted
        ]
        if len(found) != taken:
            raise self._damaged()
        return found

    def _count(self) -> int:
        count = sum(1 for _ in self._frames())
        if not count:
            raise self._damaged()
        return count

    def _frames(self) -> Iterator[Any]:
        if find_spec("av") is None:
            raise UnsupportedInputError(
                "Videos are not installed (av missing).",
                remedy='Run: pip install "longllava-domains[video]"',
                code="extra.missing",
            )
        import av

        try:
            with av.open(str(self.path)) as container:
                yield from container.decode(video=0)
        except (av.FFmpegError, OSError, IndexError, ValueError):
            raise self._damaged() from None

    def _damaged(self) -> DamagedInputError:
        return DamagedInputError(
            f"Video {short_hash(self.name)} cannot be decoded.",
            remedy="Check the data with --images, and replace it.",
            code="training.image",
        )
