"""`DecodingJob`: one piece of work for a decoder in a child process, and how much it may take."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import DTypeLike

from longllava_domains.units import MIB

MAX_PIXELS: Final = 64 * MIB
_BASE_BYTES: Final = 256 * MIB
# OpenJPEG holds 32-bit samples, wavelet lines and its own copy of the image.
_BYTES_PER_PIXEL: Final = 32


@dataclass(frozen=True)
class DecodingJob:
    """One image to decode.

    Attributes:
        task: A task of the worker.
        data: Compressed bytes; none where the task finds them itself.
        arguments: Further plain arguments of the task.
        shape: Sizes of the pixels that shall come back.
        dtype: Their type.
        decoded: Pixels that are decoded for it; 0 for those that come back.
        memory_bytes: What decoding may take; 0 for what that number of pixels needs.
        wait_seconds: How long it may wait for something else than the processor, a server.
    """

    task: str
    data: bytes
    arguments: tuple[str | int, ...]
    shape: tuple[int, ...]
    dtype: DTypeLike
    decoded: int = 0
    memory_bytes: int = 0
    wait_seconds: float = 0.0

    @property
    def pixels(self) -> int:
        """Pixels that come back, counting each channel."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def most_bytes(self) -> int:
        """Memory that decoding may take."""
        return self.memory_bytes or _BASE_BYTES + _BYTES_PER_PIXEL * self.pixels
