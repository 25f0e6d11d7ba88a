"""The Ray engine: the same loop, with a crew of actors on one machine or many.

The driver leases items and writes parts, so nothing depends on Ray's own checkpoints; actors open,
prepare and score. An actor that dies costs the item it held, and another takes its place.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from longllava_domains.archive.engines.crew import Attempt, Scoring
from longllava_domains.archive.engines.decoders import prepare_inline
from longllava_domains.archive.engines.local import open_store
from longllava_domains.archive.engines.settings import OnProgress, Progress, Settings
from longllava_domains.archive.engines.stopping import stop_on_request
from longllava_domains.archive.engines.worker import Items, work
from longllava_domains.archive.item import Item
from longllava_domains.archive.outcome import KILLED, Outcome
from longllava_domains.archive.scorer import Job
from longllava_domains.arguments import checked
from longllava_domains.errors import LongLlavaError, ModelError, PolicyError

_SOCKET_LIMIT: Final = 107  # bytes of the name of a Unix socket
_SESSION_LENGTH: Final = 70  # of what Ray appends to its temporary folder
_DEATHS_IN_A_ROW: Final = 3


@checked
def run_ray(
    job: Job,
    items: Items,
    settings: Settings,
    *,
    actors: int = 2,
    gpus_each: float = 0.0,
    cpus_each: float = 1.0,
    address: str | None = None,
    on_progress: OnProgress | None = None,
) -> Progress:
    """Score a manifest on Ray.

    Args:
        job: What to do; travels to the actors.
        items: Begins the manifest anew at each call.
        settings: How to run; `decoders` and `memory_bytes` do not apply.
        actors: Processes that each hold a scorer.
        gpus_each: GPUs of each actor; fractions share one.
        cpus_each: Processors of each actor.
        address: Of a running cluster, whose nodes all reach the archive; by default Ray is
            started on this machine alone, without a dashboard, and ended afterwards.
        on_progress: Called once in a while, and at the end.

    Raises:
        PolicyError: Ray is not installed, its folder below the results has too long a name, or
            items shall be scored together.
        OutputError: The results cannot be written. What is done stays done.
        ModelError: The scorer cannot be built.
    """
    if settings.batch_items > 1:
        raise PolicyError(
            "On Ray each actor scores one item at a time.",
            remedy="Leave out --batch-items, or use --engine local.",
            code="archive.batch",
        )
    cpus = max(1, round(actors * cpus_each))
    with (
        open_store(job, settings) as store,
        _cluster(settings.output, address, cpus) as ray,
        stop_on_request() as stop,  # after Ray, which sets a handler of its own
    ):
        crew = _Actors(ray, job, settings, actors, {"num_gpus": gpus_each, "num_cpus": cpus_each})
        try:
            return work(job, items, store, crew, settings, stop, on_progress)
        finally:
            crew.end()


@contextmanager
def _cluster(output: Path, address: str | None, cpus: int) -> Iterator[Any]:
    """Join a cluster, or start one whose files lie below the results and go at its end."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is ever sent anywhere
    try:
        import ray
    except ImportError:
        raise PolicyError(
            "Ray is not installed.",
            remedy="Install longllava-domains[ray], or use the local engine.",
            code="archive.ray",
        ) from None
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if address is not None:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    else:
        folder = _own_folder(output)
        with _same_modules():
            ray.init(num_cpus=cpus, _temp_dir=str(folder), **quiet)
    try:
        yield ray
    finally:
        ray.shutdown()
        if address is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _same_modules() -> Iterator[None]:
    """Let processes that start here find the modules that this one finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _own_folder(output: Path) -> Path:
    folder = output.resolve() / ".ray"
    if len(os.fsencode(folder)) + _SESSION_LENGTH > _SOCKET_LIMIT:
        raise PolicyError(
            "The name of the results' folder is too long for Ray's sockets.",
            remedy=f"Use a folder whose whole path has at most "
            f"{_SOCKET_LIMIT - _SESSION_LENGTH - 5} bytes.",
            code="archive.ray_path",
        )
    return folder


class _Actor:
    """Work of one actor, in its own process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._scoring = Scoring(job)

    def attempt(self, item: Item) -> Attempt | LongLlavaError:
        """Prepare and score an item; an error that ends the run comes back as a value."""
        try:
            return self._scoring.attempt(prepare_inline(self._job.prepare, item))
        except LongLlavaError as error:
            return error


class _Actors:
    """A crew of actors, each with one item in hand; see `Crew`."""

    def __init__(
        self, ray: Any, job: Job, settings: Settings, count: int, resources: dict[str, float]
    ) -> None:
        self._ray, self._job, self._settings = ray, job, settings
        self._actor = ray.remote(**resources, max_restarts=0)(_Actor)
        self._idle = [self._start() for _ in range(count)]
        self._running: dict[Any, tuple[Any, Item]] = {}
        self._deaths = 0

    def _start(self) -> Any:
        return self._actor.remote(self._job)

    def has_room_for(self, item: Item) -> bool:
        """Return whether an actor is idle."""
        return bool(self._idle)

    def submit(self, item: Item) -> None:
        """Give an item to an idle actor."""
        actor = self._idle.pop()
        self._running[actor.attempt.remote(item)] = (actor, item)

    def next(self) -> list[Attempt]:
        """Wait for any item to end; the oldest counts as dead after its time."""
        return [self._next()]

    def _next(self) -> Attempt:
        ready, _ = self._ray.wait(
            list(self._running), num_returns=1, timeout=2 * self._settings.item_seconds
        )
        reference = ready[0] if ready else next(iter(self._running))
        actor, item = self._running.pop(reference)
        if not ready:
            return self._replace(actor, item)
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            if getattr(error, "actor_init_failed", False):
                raise ModelError(
                    "An actor cannot be started with this job.",
                    remedy="Install the same packages on all nodes of the cluster.",
                    code="archive.actor",
                ) from None
            return self._replace(actor, item)
        self._idle.append(actor)
        self._deaths = 0
        if isinstance(result, LongLlavaError):
            raise result
        attempt: Attempt = result
        return attempt

    def _replace(self, actor: Any, item: Item) -> Attempt:
        self._ray.kill(actor)
        self._deaths += 1
        if self._deaths > _DEATHS_IN_A_ROW * (len(self._idle) + len(self._running) + 1):
            raise ModelError(
                "One actor after the other dies and no item ends.",
                remedy="Run one item with the local engine to see why; memory is the usual reason.",
                code="archive.workers",
            )
        self._idle.append(self._start())
        return Attempt(item, Outcome.failed(KILLED), killed=True)

    def drain(self) -> None:
        """Give up what is in hand; the actors that held it are replaced."""
        for actor, _ in self._running.values():
            self._ray.kill(actor)
            self._idle.append(self._start())
        self._running.clear()

    def end(self) -> None:
        """End all actors."""
        for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
            self._ray.kill(actor)
