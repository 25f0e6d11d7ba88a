"""`Child`: one warm process that decodes, the memory shared with it, and how it may end."""

import contextlib
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.decoding.job import DecodingJob
from longllava_domains.units import MIB

# A busy machine gives a process a part of its time; a decoder that sleeps for ever is stopped too.
_WALL_PER_CPU: Final = 8.0
_START_SECONDS: Final = 120.0
_MOST_ANSWER: Final = 1 << 16
_ALIGN: Final = 4096
# Keep freed memory: an image would otherwise be faulted in page by page each time (glibc). And
# every thread's own heap would reserve address space, which is limited.
_TUNING: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "OMP_NUM_THREADS": "1",
}
_ENVIRONMENT: Final = frozenset(
    {"DYLD_LIBRARY_PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "VIRTUAL_ENV"}
)


class Child:
    """One child process and the memory shared with it.

    Args:
        module: What it runs.
        environment: Everything of this process's environment, or only what Python needs to start,
            and no token or password that stands beside it.
    """

    def __init__(self, module: str, *, environment: bool = False) -> None:
        self.alive = True
        self._memory = _shared_memory()
        self._map = mmap.mmap(-1, 1)
        try:
            # -P: a file named numpy.py in the working folder is not imported.
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", module, str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[self._memory],
                env={**os.environ, **_TUNING} if environment else _environment(),
            )
        except OSError:
            os.close(self._memory)
            raise cannot_start() from None
        assert self._process.stdout is not None
        self._poll = select.poll()
        self._poll.register(self._process.stdout, select.POLLIN)
        if self._line(time.monotonic() + _START_SECONDS) != b"ready":
            self.stop()
            raise cannot_start()

    def ask(self, job: DecodingJob, cpu_seconds: float) -> dict[str, Any]:
        """Send a job and return the child's answer.

        Raises:
            DamagedInputError: The child died or did not answer in time; it is gone.
        """
        start = -(-len(job.data) // _ALIGN) * _ALIGN
        size = job.pixels * np.dtype(job.dtype).itemsize
        self._reserve(start + size)
        self._map[: len(job.data)] = job.data
        request = {
            "task": job.task,
            "arguments": job.arguments,
            "mapped": len(self._map),
            "given": len(job.data),
            "start": start,
            "size": size,
            "most_bytes": job.most_bytes,
            "cpu_seconds": cpu_seconds,
        }
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died while idle: the missing answer says so
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        line = self._line(time.monotonic() + _WALL_PER_CPU * cpu_seconds + job.wait_seconds)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        raise self._ended()

    def pixels(self, job: DecodingJob) -> NDArray[Any]:
        """Return a copy of the pixels that the child wrote."""
        start = -(-len(job.data) // _ALIGN) * _ALIGN
        shared = np.frombuffer(self._map, job.dtype, job.pixels, start)
        return shared.reshape(job.shape).copy()

    def stop(self) -> None:
        """Kill the child and give the memory back."""
        self.alive = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._map.close()
        os.close(self._memory)

    def _reserve(self, size: int) -> None:
        if size > len(self._map):
            grown = -(-size // MIB) * MIB
            self._map.close()
            os.ftruncate(self._memory, grown)
            self._map = mmap.mmap(self._memory, grown)

    def _line(self, deadline: float) -> bytes:
        """Return the next line of the child; what there is of it when it died or time is up."""
        assert self._process.stdout is not None
        got = b""
        while not got.endswith(b"\n") and len(got) < _MOST_ANSWER:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                return b""
            piece = os.read(self._process.stdout.fileno(), _MOST_ANSWER)
            if not piece:
                return b""
            got += piece
        return got.rstrip(b"\n")

    def _ended(self) -> DamagedInputError:
        """Stop the child and return the error for how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        code = self._process.returncode
        self.stop()
        if code is None or code == -signal.SIGXCPU:
            return damaged("its decoder did not finish in time", "decoding.time")
        return damaged("its decoder crashed", "decoding.crash")


def _environment() -> dict[str, str]:
    """Return what Python needs to start, and no token or password that stands beside it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith("PYTHON")
    }
    return {**kept, **_TUNING}


def _shared_memory() -> int:
    """Return an open file that exists in memory only, or unnamed on disk where there is no such."""
    if hasattr(os, "memfd_create"):
        import fcntl

        memory = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # A child that cuts the memory short would end its parent with a bus error.
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return memory
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def damaged(found: str, code: str) -> DamagedInputError:
    """Return the error for an image that its decoder did not give."""
    return DamagedInputError(
        f"A compressed image cannot be decoded: {found}.",
        remedy="The file is damaged or made to do harm: copy or export it again.",
        code=code,
    )


def cannot_start() -> UnsupportedInputError:
    """Return the error for a child process that does not come up."""
    return UnsupportedInputError(
        "The process that decodes compressed images cannot be started.",
        remedy="Allow this program to start Python, or pass uncompressed images.",
        code="decoding.start",
    )
