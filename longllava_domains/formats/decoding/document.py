"""JSON documents of any length out of a child process, through the memory that pixels travel in."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.formats.decoding.child import damaged
from longllava_domains.formats.decoding.jail import Jail
from longllava_domains.formats.decoding.job import DecodingJob
from longllava_domains.formats.regular_file import BadDocumentError, parse_json
from longllava_domains.units import MIB

_ROOM_BYTES: Final = 256 * 1024
_MOST_BYTES: Final = 64 * MIB


def answer_document(document: Mapping[str, Any], room: int) -> tuple[NDArray[np.uint8], int]:
    """Return a document in the child as a task returns pixels: padded to `room` bytes, and its length.

    Args:
        document: Anything that JSON can say.
        room: Bytes that the parent has kept for it; no more are given.
    """
    words = json.dumps(document).encode()
    out = np.zeros(room, np.uint8)
    out[: min(room, len(words))] = np.frombuffer(words[:room], np.uint8)
    return out, len(words)


def ask_document(jail: Jail, job: DecodingJob) -> dict[str, Any]:
    """Ask for a document, twice where it is a long one.

    Args:
        jail: Whose children know the task.
        job: Its shape, type and last argument, the room, are set here.

    Raises:
        DamagedInputError: As `Jail.run`, or what came back is no JSON object, or is too long.
    """
    room = _ROOM_BYTES
    while True:
        asked = replace(job, arguments=(*job.arguments, room), shape=(room,), dtype=np.uint8)
        words, length = jail.run(asked)
        if 0 < length <= room:
            break
        if not room < length <= _MOST_BYTES:
            raise damaged("its decoder reported too much", "decoding.failed")
        room = length
    try:
        document = parse_json(words.tobytes()[:length])
    except BadDocumentError:
        document = None
    if not isinstance(document, dict):
        raise damaged("its decoder reported nonsense", "decoding.failed")
    return document
