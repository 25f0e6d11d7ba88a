"""`Jail`: decoders run in child processes that may crash, hang or fill their memory alone.

A compressed image comes from a stranger, and its decoder is C code that trusts it. The children
are started as a module of ours, so that no script needs a guard, and kept warm: as many as there
are threads that decode at the same time. Whatever goes wrong in one ends as one of our errors.
"""

import os
import select
import threading
from typing import Any, Final

from numpy.typing import NDArray

from longllava_domains import errors
from longllava_domains.errors import LongLlavaError, UnsupportedInputError
from longllava_domains.formats.decoding.child import Child, damaged
from longllava_domains.formats.decoding.job import MAX_PIXELS, DecodingJob

_WORKER: Final = "longllava_domains.formats.decoding.worker"
_CPU_SECONDS: Final = 10.0
_CPU_SECONDS_PER_PIXEL: Final = 4e-6
# Pipes to a child are waited for with `poll`, and its memory is inherited: POSIX only.
CAN_JAIL: Final = hasattr(select, "poll")


class Jail:
    """A pool of worker processes; safe to call from several threads.

    Args:
        cpu_seconds: Processor seconds that a small image may take.
        module: What the children run.
        environment: Let them see all of this process's environment, tokens too.
    """

    def __init__(
        self,
        cpu_seconds: float = _CPU_SECONDS,
        module: str = _WORKER,
        *,
        environment: bool = False,
    ) -> None:
        self.cpu_seconds = cpu_seconds
        self.module = module
        self.environment = environment
        self._idle: list[Child] = []
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
        worker = worker or Child(self.module, environment=self.environment)
        try:
            answer = worker.ask(job, self._seconds(job))
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

    def _seconds(self, job: DecodingJob) -> float:
        return self.cpu_seconds + _CPU_SECONDS_PER_PIXEL * max(job.pixels, job.decoded)

    def _keep(self, worker: Child) -> None:
        with self._lock:
            self._idle.append(worker)

    def _forget(self) -> None:
        self._idle = []
        self._lock = threading.Lock()


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
        raise damaged(
            "its decoder takes more memory than such an image can need", "decoding.memory"
        )
    raise damaged("its decoder reported an error", "decoding.failed")
