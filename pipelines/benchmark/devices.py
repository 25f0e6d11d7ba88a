"""Work shared out over devices: one process for each asks a share and keeps its answers."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Protocol

from longllava_domains.archive.engines.decoders import end_with_parent
from longllava_domains.errors import LongLlavaError, ModelError
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.benchmark.generate import OnProgress
from longllava_domains.pipelines.loading import load
from longllava_domains.vision_language import LoadOptions

_SPAWN: Final = multiprocessing.get_context("spawn")  # a fork cannot use CUDA
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
# One share may hold nothing but damaged inputs; whether all do is seen when the shares are joined.
_OF_A_SHARE: Final = "benchmark.nothing_shown"


class SharedWork(Protocol):
    """Work whose questions are shared out; travels to the processes."""

    def ask_share(self, shard: tuple[int, int], on_progress: OnProgress) -> None:
        """Load the model, ask one share, and keep the answers.

        Args:
            shard: (index from 0, count).
            on_progress: Called with (stage, done, total) of the share.
        """


@dataclass(frozen=True)
class SharedRun:
    """Run of a benchmark whose questions are shared out.

    Attributes:
        model: ``"demo"``, a folder or a hub id.
        loading: How it is loaded, in each process.
        benchmark: As for `Benchmark`.
        data: As for `Benchmark`.
        output: As for `Benchmark`.
        protocols: As for `Benchmark`.
        settings: As for `Benchmark`.
    """

    model: str
    loading: LoadOptions
    benchmark: str
    data: Path
    output: Path
    protocols: tuple[str, ...]
    settings: RunSettings

    def ask_share(self, shard: tuple[int, int], on_progress: OnProgress) -> None:
        """Ask one share, as `SharedWork` says."""
        Benchmark(load(self.model, self.loading)).ask_share(
            self.benchmark,
            self.data,
            self.output,
            protocols=self.protocols,
            settings=replace(self.settings, scoring={}),
            shard=shard,
            on_progress=on_progress,
        )


def ask_on_devices(
    work: SharedWork, devices: Sequence[str], on_progress: OnProgress | None = None
) -> None:
    """Ask all questions, with a process and a model on each device; one of them counts them then.

    Args:
        work: What is asked.
        devices: Numbers of GPUs; where there is none, as many processes on the processor.
        on_progress: Called with (stage, done, total), of all processes together.

    Raises:
        LongLlavaError: What the first process said that could not go on. What was asked is kept.
        ModelError: A process died.
    """
    shares = [_Share(work, device, (place, len(devices))) for place, device in enumerate(devices)]
    try:
        while alive := [share for share in shares if share.process.is_alive()]:
            wait([each for share in alive for each in share.signs()])
            for share in shares:
                share.hear()
            if on_progress is not None:
                on_progress(
                    "asking", sum(share.done for share in shares), sum(s.total for s in shares)
                )
    finally:
        for share in shares:
            share.process.kill()
            share.process.join()
    for share in shares:
        share.hear()
        share.require_end()


class _Share:
    """One process, and what it has said so far."""

    def __init__(self, work: SharedWork, device: str, shard: tuple[int, int]) -> None:
        self.done = self.total = 0
        self._error: LongLlavaError | None = None
        self.pipe, theirs = _SPAWN.Pipe(duplex=False)
        self.process: Any = _SPAWN.Process(
            target=_serve, args=(theirs, work, device, shard), daemon=True
        )
        self.process.start()
        theirs.close()

    def signs(self) -> list[Any]:
        """Return what to wait for: a word of the process, or its end."""
        return [self.process.sentinel, *([] if self.pipe.closed else [self.pipe])]

    def hear(self) -> None:
        """Take in what the process says."""
        try:
            while not self.pipe.closed and self.pipe.poll():
                said = self.pipe.recv()
                if isinstance(said, LongLlavaError):
                    self._error = said
                else:
                    self.done, self.total = said
        except (EOFError, OSError):
            self.pipe.close()

    def require_end(self) -> None:
        """Raise what ended the process early.

        Raises:
            LongLlavaError: It said so.
            ModelError: It died.
        """
        if self._error is not None and self._error.code != _OF_A_SHARE:
            raise self._error
        if self.process.exitcode:
            raise ModelError(
                f"A process that asked a share died (exit code {self.process.exitcode}).",
                remedy="Run it again: what was asked is kept. If it dies again, leave out "
                "--devices to see why; memory is the usual reason.",
                code="benchmark.process",
            )


def _serve(pipe: Connection, work: SharedWork, device: str, shard: tuple[int, int]) -> None:
    """Ask one share, and say how far it is, or what went wrong."""
    os.environ[_VISIBLE] = device  # read when the first CUDA call is made
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the parent decides

    def tell(stage: str, done: int, total: int) -> None:
        pipe.send((done, total))

    try:
        work.ask_share(shard, tell)
    except LongLlavaError as error:
        pipe.send(error)
