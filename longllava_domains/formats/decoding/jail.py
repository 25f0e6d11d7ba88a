"""`Jail`: decoders run in child processes that may crash, hang or fill their memory alone.

A compressed image comes from a stranger, and its decoder is C code that trusts it. The children
are started as a module of ours, so that no script needs a guard, and kept warm: as many as there
are threads that decode at the same time. Whatever goes wrong in one ends as one of our errors.
"""

import contextlib
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from longllava_domains import errors
from longllava_domains.errors import DamagedInputError, LongLlavaError, UnsupportedInputError
from longllava_domains.units import MIB

_WORKER: Final = "longllava_domains.formats.decoding.worker"
MAX_PIXELS: Final = 64 * MIB
_CPU_SECONDS: Final = 10.0
_CPU_SECONDS_PER_PIXEL: Final = 4e-6
# A busy machine gives a process a part of its time; a decoder that sleeps for ever is stopped too.
_WALL_PER_CPU: Final = 8.0
_START_SECONDS: Final = 120.0
_MOST_ANSWER: Final = 1 << 16
_ALIGN: Final = 4096
# Keep freed memory: an image would otherwise be faulted in page by page each time (glibc).
_TUNING: Final = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "OMP_NUM_THREADS": "1",
}
_ENVIRONMENT: Final = frozenset(
    {"DYLD_LIBRARY_PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "VIRTUAL_ENV"}
)
# Pipes to a child are waited for with `poll`, and its memory is inherited: POSIX only.
CAN_JAIL: Final = hasattr(select, "poll")


@dataclass(frozen=True)
class DecodingJob:
    """One image to decode.

    Attributes:
        task: A task of the worker.
        data: Compressed bytes.
        arguments: Further plain arguments of the task.
        shape: Sizes of the pixels that shall come back.
        dtype: Their type.
    """

    task: str
    data: bytes
    arguments: tuple[str | int, ...]
    shape: tuple[int, ...]
    dtype: DTypeLike

    @property
    def pixels(self) -> int:
        """Pixels, counting each channel."""
        return int(np.prod(self.shape, dtype=object))


class Jail:
    """A pool of worker processes; safe to call from several threads.

    Args:
        cpu_seconds: Processor seconds that a small image may take.
        module: What the children run.
    """

    def __init__(self, cpu_seconds: float = _CPU_SECONDS, module: str = _WORKER) -> None:
        self.cpu_seconds = cpu_seconds
        self.module = module
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            # A forked child shares the pipes: it must not talk to its parent's workers.
            os.register_at_fork(after_in_child=self._forget)

    def run(self, job: DecodingJob) -> tuple[NDArray[Any], int]:
        """Decode one image; the first job of a thread more than before starts a process.

        Returns:
            The pixels, and the number that the task gives with them.

        Raises:
            DamagedInputError: The decoder failed, crashed, or took too much time or memory.
            UnsupportedInputError: More pixels than `MAX_PIXELS`, no child process can be started,
                or what the task itself refuses.
        """
        if job.pixels > MAX_PIXELS:
            raise UnsupportedInputError(
                f"A compressed image claims {job.pixels} pixels.",
                remedy=f"At most {MAX_PIXELS} are decoded in one piece; its header may be damaged.",
                code="decoding.pixels",
                facts={"pixels": job.pixels},
            )
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or _Worker(self.module)
        try:
            answer = worker.ask(job, self.cpu_seconds + _CPU_SECONDS_PER_PIXEL * job.pixels)
            found = _checked(answer), worker.pixels(job)
        except LongLlavaError:
            if worker.alive:
                self._keep(worker)
            raise
        except BaseException:  # an interrupt in the middle of an answer
            worker.stop()
            raise
        self._keep(worker)
        return found[1], found[0]

    def close(self) -> None:
        """Stop the idle workers."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.stop()

    def _keep(self, worker: "_Worker") -> None:
        with self._lock:
            self._idle.append(worker)

    def _forget(self) -> None:
        self._idle = []
        self._lock = threading.Lock()


class _Worker:
    """One child process and the memory shared with it."""

    def __init__(self, module: str) -> None:
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
                env=_environment(),
            )
        except OSError:
            os.close(self._memory)
            raise _cannot_start() from None
        assert self._process.stdout is not None
        self._poll = select.poll()
        self._poll.register(self._process.stdout, select.POLLIN)
        if self._line(time.monotonic() + _START_SECONDS) != b"ready":
            self.stop()
            raise _cannot_start()

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
            "pixels": job.pixels,
            "cpu_seconds": cpu_seconds,
        }
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died while idle: the missing answer says so
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        line = self._line(time.monotonic() + _WALL_PER_CPU * cpu_seconds)
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
            return _damaged("its decoder did not finish in time", "decoding.time")
        return _damaged("its decoder crashed", "decoding.crash")


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


def _checked(answer: dict[str, Any]) -> int:
    """Return the number of a good answer, or raise what the child refused."""
    number = answer.get("number")
    if isinstance(number, int):
        return number
    kind = getattr(errors, str(answer.get("error")), None)
    if isinstance(kind, type) and issubclass(kind, LongLlavaError):
        message, remedy, code = (str(answer.get(key)) for key in ("message", "remedy", "code"))
        raise kind(message, remedy=remedy, code=code, facts=answer.get("facts"))
    if answer.get("failed") == "MemoryError":
        raise _damaged(
            "its decoder takes more memory than such an image can need", "decoding.memory"
        )
    raise _damaged("its decoder reported an error", "decoding.failed")


def _damaged(found: str, code: str) -> DamagedInputError:
    return DamagedInputError(
        f"A compressed image cannot be decoded: {found}.",
        remedy="The file is damaged or made to do harm: copy or export it again.",
        code=code,
    )


def _cannot_start() -> UnsupportedInputError:
    return UnsupportedInputError(
        "The process that decodes compressed images cannot be started.",
        remedy="Allow this program to start Python, or pass uncompressed images.",
        code="decoding.start",
    )
