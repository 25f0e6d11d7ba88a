"""The child process that decodes: bytes in, pixels out, inside limits, with nothing to lose.

    python -P -m longllava_domains.formats.decoding.worker MEMORY

MEMORY is the number of an inherited file that both processes map. A request is one JSON line on
standard input, an answer one JSON line on standard output; pixels and compressed bytes travel
only through the shared memory. The parent believes nothing that it has not checked.
"""

import json
import mmap
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import numpy as np

from longllava_domains.errors import LongLlavaError
from longllava_domains.formats.colour_codecs import decode_colour
from longllava_domains.formats.dicom.codecs import decode_frame

Task = Callable[..., tuple[Any, int]]

# They are loaded before the limits are set, so that limits count what decoding takes.
_CODECS: Final = (
    "dicomrle_decode", "htj2k_decode", "jpeg2k_decode", "jpeg8_decode", "jpegls_decode",
)  # fmt: skip


class _Complaints:
    """Errors that a codec dropped because it could not raise them."""

    def __init__(self) -> None:
        self.count = 0
        sys.unraisablehook = self._note

    def _note(self, _unraisable: Any) -> None:
        self.count += 1


def load_codecs() -> None:
    """Load the codecs of frames and tiles."""
    import imagecodecs

    for name in _CODECS:
        getattr(imagecodecs, name, None)


def serve(memory: int, tasks: Mapping[str, Task], load: Callable[[], None] = load_codecs) -> None:
    """Answer requests until the parent closes its end.

    Args:
        memory: Number of the inherited file that is mapped.
        tasks: What may be asked. Each takes the bytes and plain arguments, and returns pixels and
            one number.
        load: Imports what the tasks need.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    load()
    requests, answers = _prepare()
    complaints = _Complaints()
    shared = mmap.mmap(-1, 1)
    before = _address_space()
    answers.write(b"ready\n")
    answers.flush()
    while line := requests.readline():
        request = json.loads(line)
        if len(shared) != request["mapped"]:
            shared.close()
            shared = mmap.mmap(memory, request["mapped"])
        _limit(before + len(shared), request["most_bytes"], request["cpu_seconds"])
        complaints.count = 0
        try:
            answer = _run(tasks, request, shared)
        except LongLlavaError as error:
            answer = {
                "error": type(error).__name__,
                "message": error.message,
                "remedy": error.remedy,
                "code": error.code,
                "facts": error.facts,
            }
        except Exception as error:  # a decoder's, of whatever kind: the parent names it
            answer = {"failed": type(error).__name__}
        if complaints.count:
            answer = {"failed": "swallowed"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _run(tasks: Mapping[str, Task], request: dict[str, Any], shared: mmap.mmap) -> dict[str, Any]:
    decode = tasks[request["task"]]
    pixels, number = decode(shared[: request["given"]], *request["arguments"])
    start, size = request["start"], request["size"]
    if pixels.nbytes != size:
        return {"failed": "size"}
    target = np.frombuffer(shared, pixels.dtype, pixels.size, start).reshape(pixels.shape)
    target[...] = pixels
    return {"number": int(number)}


def _limit(base_bytes: int, most_bytes: int, cpu_seconds: float) -> None:
    """Bound the memory and processor time that the next request may take."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
    if base_bytes:
        most = base_bytes + most_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _address_space() -> int:
    """Return the bytes of address space in use; 0 where the system does not say, so no limit."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 0


def _prepare() -> tuple[BinaryIO, BinaryIO]:
    """Give up what decoding does not need, and return the two pipes."""
    import resource

    # A core file would hold pixels of a patient; and nothing here writes files.
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # a codec that prints must not answer for us
    os.dup2(nowhere, 2)
    return sys.stdin.buffer, answers


if __name__ == "__main__":
    serve(int(sys.argv[1]), {"frame": decode_frame, "colour": decode_colour})
