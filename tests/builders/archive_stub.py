"""A job without a model: items that are scored, refused, raise, hang or kill their process."""

import hashlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Progress, Settings
from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Item
from longllava_domains.archive.results.parts import Parts
from longllava_domains.archive.results.schema import SCHEMA, VARYING
from longllava_domains.archive.results.store import spec_folder
from longllava_domains.archive.scorer import FindingScore, Job, Scored
from longllava_domains.errors import CheckpointError, DamagedInputError, OutputError

SPEC = ScoringSpec("stub", "stub", prompt_sha256="0" * 64, policy={"windows": ["lung"]})


def item(number: int, uri: str = "good", decoded_bytes: int = 100) -> Item:
    """Return an item; its `uri` says how it behaves."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return Item(digest[:32], digest[32:], "ct", uri, bytes=number, decoded_bytes=decoded_bytes)


@dataclass(frozen=True)
class Items:
    """A manifest of stub items; every seventh is refused, others behave as `special` says."""

    count: int
    special: tuple[tuple[int, str], ...] = ()

    def __call__(self) -> Iterator[Item]:
        behaviour = dict(self.special)
        for number in range(self.count):
            usual = "refuse" if number % 7 == 3 else "good"
            yield item(number, behaviour.get(number, usual))


def prepare(item: Item, *, seconds: float = 0.0) -> str:
    """Prepare an item, or do what its `uri` says."""
    time.sleep(seconds)
    if item.uri == "refuse":
        raise DamagedInputError("It is cut.", remedy="Copy it again.", code="stub.cut")
    if item.uri == "hang in decoder":
        time.sleep(60)
    if item.uri == "kill in decoder":
        os.kill(os.getpid(), signal.SIGKILL)
    return item.item_id[::-1]


class StubScorer:
    """Scores by the digits of an item's id."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def score(self, item: Item, prepared: str) -> Scored:
        """Return what anyone can compute from the id."""
        time.sleep(self._seconds)
        if item.uri == "raise":
            raise ZeroDivisionError
        if item.uri == "hang":
            time.sleep(60)
        if item.uri == "pause":
            os.kill(os.getpid(), signal.SIGSTOP)
        if item.uri == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if item.uri.startswith("kill once:"):
            once = Path(item.uri.removeprefix("kill once:"))
            if not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        margin = int(prepared[:4], 16) / 1000 - 30
        return Scored(
            text=f"Report {prepared[:6]}.",
            findings=(
                FindingScore("Nodule", margin, 1 / (1 + 2.718281828**-margin)),
                FindingScore("Effusion", -margin),
            ),
            numbers={"views": float(item.bytes % 5)},
            input_sha256=item.item_id * 2,
            seconds={"vision": 0.001},
        )


class TogetherScorer(StubScorer):
    """Scores several at once, and notes in a file who was together."""

    def __init__(self, notes: Path) -> None:
        super().__init__(0.0)
        self._notes = notes

    def score_many(self, pairs: Sequence[tuple[Item, str]]) -> list[Scored]:
        """Return what each comes to alone."""
        with self._notes.open("a") as file:
            file.write(" ".join(str(item.bytes) for item, _ in pairs) + "\n")
        return [self.score(*pair) for pair in pairs]


def job_in_batches(notes: Path) -> Job:
    """Return the job with a scorer that takes several items at once."""
    return Job(SPEC, prepare, partial(TogetherScorer, notes))


def job(prepare_seconds: float = 0.0, score_seconds: float = 0.0) -> Job:
    """Return the job."""
    return Job(SPEC, partial(prepare, seconds=prepare_seconds), partial(StubScorer, score_seconds))


def run(output: Path, count: int = 20, *, part_rows: int = 5, **how: object) -> Progress:
    """Run the stub job over `count` items in this process."""
    settings = Settings(output, part_rows=part_rows, **how)
    return run_local(job(), Items(count), settings)


def rows(output: Path, spec_key: str = SPEC.key) -> list[dict[str, object]]:
    """Return all rows sorted by item, without the columns that vary between runs."""
    parts = Parts(spec_folder(output, spec_key), "reader")
    tables = [parts.read(name) for name in parts.names()]
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    kept = table.drop_columns(list(VARYING)).sort_by("item_id")
    return kept.to_pylist()


def outcomes(output: Path) -> dict[str, tuple[str, str]]:
    """Return item id -> (status, code); fails where an item stands twice."""
    found = [(row["item_id"], (row["status"], row["code"])) for row in rows(output)]
    assert len(found) == len(dict(found)), "an item stands twice"
    return dict(found)


def cannot_write(item: Item) -> str:
    """Prepare nothing: the disk is full."""
    raise OutputError("The disk is full.", remedy="Make room.", code="archive.disk_full")


def no_weights() -> StubScorer:
    """Build no scorer: there are no weights."""
    raise CheckpointError("No weights.", remedy="Give a model.", code="stub.weights")


def died() -> StubScorer:
    """Die while the scorer is built."""
    os._exit(7)
