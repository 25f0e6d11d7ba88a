"""Decode DICOM frames and tiles of slides in the jail.

The codecs themselves stand in `formats.dicom.codecs` and `formats.colour_codecs`.
"""

import atexit
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.formats import colour_codecs
from longllava_domains.formats.decoding.jail import CAN_JAIL, Jail
from longllava_domains.formats.decoding.job import DecodingJob
from longllava_domains.formats.dicom import codecs

_JAIL: Final = Jail()
atexit.register(_JAIL.close)


def decode_frame(data: bytes, syntax: str, rows: int, columns: int) -> tuple[NDArray[Any], int]:
    """Decode one frame in a child process; see `formats.dicom.codecs.decode_frame`.

    Returns:
        uint16 patterns (rows, columns), and the bits that carry a value (0 where unknown).

    Raises:
        DamagedInputError: The bytes cannot be decoded, or their decoder crashed, hung, or filled
            its memory.
        UnsupportedInputError: No decoder for them, or more pixels than `job.MAX_PIXELS`.
    """
    if not CAN_JAIL:  # Windows: the same checks, in this process
        return codecs.decode_frame(data, syntax, rows, columns)
    return _JAIL.run(
        DecodingJob("frame", data, (syntax, rows, columns), (rows, columns), np.uint16)
    )


def decode_colour(data: bytes, family: str, rows: int, columns: int) -> NDArray[np.uint8]:
    """Decode one tile in a child process; see `formats.colour_codecs.decode_colour`.

    Returns:
        uint8 samples (rows, columns, 3), as stored.

    Raises:
        DamagedInputError: The bytes cannot be decoded, or their decoder crashed, hung, or filled
            its memory.
        UnsupportedInputError: No decoder for them, or more pixels than `job.MAX_PIXELS`.
    """
    if not CAN_JAIL:
        return colour_codecs.decode_colour(data, family, rows, columns)[0]
    shape = (rows, columns, 3)
    return _JAIL.run(DecodingJob("colour", data, (family, rows, columns), shape, np.uint8))[0]
