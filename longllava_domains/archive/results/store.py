"""Parts and ledger as one: lease an item, record its outcome, commit rows, recover.

Why nothing is lost or doubled: a row lies in the ledger from the moment it is known, and moves to
a part inside one transaction. A process that is killed after the part appeared and before the
transaction ended leaves a part that the ledger does not know; whoever comes next enters such parts
before anything else, under the same lock.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Shard
from longllava_domains.archive.outcome import KILLED
from longllava_domains.archive.results.ledger import Attempts, Ledger
from longllava_domains.archive.results.lifeline import Lifeline
from longllava_domains.archive.results.parts import Parts, place_whole, writing
from longllava_domains.archive.results.schema import Row, pack, published, unpack
from longllava_domains.errors import DamagedInputError

PART_ROWS: Final = 256


class ResultStore:
    """The results of one spec, for one worker.

    Args:
        output: Folder of all results; made if need be.
        spec: What is asked of which model.
        shard: The share of the manifest that this machine works on; each has its own ledger.
        ledger: Folder of the ledger, on a local disk; by default below `output`.
        part_rows: Rows of a part.

    Attributes:
        codes: What recovery found, by code.

    Raises:
        OutputError: The folder is full or cannot be written to.
    """

    def __init__(
        self,
        output: Path,
        spec: ScoringSpec,
        *,
        shard: Shard | None = None,
        ledger: Path | None = None,
        part_rows: int = PART_ROWS,
    ) -> None:
        self._shard = shard or Shard()
        name = f"{spec.key}-{self._shard.index}-of-{self._shard.count}"
        place = (ledger or output / "ledger") / name
        self._part_rows = part_rows
        self.codes: Counter[str] = Counter()
        self.parts = Parts(spec_folder(output, spec.key), name)
        self._publish(output, spec)
        self.ledger = Ledger(place / "ledger.sqlite")
        self._life = Lifeline(place / "alive")
        self.recover(verify=True)

    def __enter__(self) -> "ResultStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._life.end()
        self.ledger.close()

    @property
    def worker(self) -> str:
        """Name of this worker."""
        return self._life.worker

    def others(self) -> list[str]:
        """Return the workers that live beside this one on the same ledger."""
        return self._life.others()

    def _publish(self, output: Path, spec: ScoringSpec) -> None:
        with writing():
            self.parts.folder.mkdir(parents=True, exist_ok=True)
            for place, content in (
                (output / "schema.json", published()),
                (self.parts.folder / "_spec.json", spec.to_json()),
            ):
                if not place.exists():
                    place_whole(place, memoryview(json.dumps(content, indent=1).encode()))

    # -- recovery

    def recover(self, *, verify: bool = False) -> None:
        """Bring the ledger to what the parts say, and take back what dead workers held.

        Args:
            verify: Compare each part's bytes with its name; else only the parts that are new.
        """
        with self.ledger.change():
            self.parts.restore()
            there, known = self.parts.names(), self.ledger.parts()
            for name in known.difference(there):
                self.ledger.drop_part(name)
                self.codes["part.gone"] += 1
            for name in there:
                if (verify or name not in known) and not self.parts.is_whole(name):
                    self._set_aside(name)
                elif name not in known:
                    self._enter(name)
            for fingerprint, worker in self.ledger.leases():
                if not self._life.is_alive(worker):
                    self.ledger.drop_lease(fingerprint)
                    self.ledger.count_attempt(fingerprint, killed=True, code=KILLED)
                    self.codes["item.process_died"] += 1

    def _enter(self, name: str) -> None:
        try:
            states = self.parts.states(name)
        except DamagedInputError:
            self._set_aside(name)
            return
        own = [(print_, status) for print_, item, status in states if self._shard.holds(item)]
        twice = self.ledger.add_part(name, own)
        if twice:
            self.codes["row.twice"] += twice

    def _set_aside(self, name: str) -> None:
        self.parts.set_aside(name)
        self.ledger.drop_part(name)
        self.codes["part.corrupt"] += 1

    # -- items

    def missing(self, fingerprints: Sequence[str]) -> list[str]:
        """Return those that are not done and that nobody works on, in their order."""
        taken = self.ledger.taken(fingerprints)
        return [each for each in fingerprints if each not in taken]

    def lease(self, fingerprint: str, *, again: bool) -> Attempts | None:
        """Take an item.

        Args:
            fingerprint: The item's.
            again: Take only what was tried in vain; else only what was never tried.

        Returns:
            How it fared so far; None where it is not to be taken.
        """
        with self.ledger.change():
            if self.ledger.taken([fingerprint]):
                return None
            so_far = self.ledger.attempts(fingerprint)
            if again != (so_far.failed + so_far.killed > 0):
                return None
            self.ledger.lease(fingerprint, self.worker)
            return so_far

    def release(self, fingerprints: Iterable[str]) -> None:
        """Give items back that were not begun, or not finished on request."""
        with self.ledger.change():
            for fingerprint in fingerprints:
                self.ledger.drop_lease(fingerprint)

    def tried_in_vain(self, fingerprint: str, *, killed: bool, code: str) -> Attempts:
        """Count a failure of an item, or a death at it, and give it back."""
        with self.ledger.change():
            self.ledger.drop_lease(fingerprint)
            return self.ledger.count_attempt(fingerprint, killed=killed, code=code)

    def record(self, row: Row) -> None:
        """Keep the outcome of a leased item; a full set of rows becomes a part."""
        with self.ledger.change():
            self.ledger.add_pending(row["fingerprint"], row["status"], pack(row))
        if self.ledger.pending_count() >= self._part_rows:
            self.commit()

    def commit(self) -> None:
        """Write all rows that wait to parts."""
        while self._commit_one():
            pass

    def _commit_one(self) -> bool:
        with self.ledger.change():
            waiting = self.ledger.pending(self._part_rows)
            if not waiting:
                return False
            rows = [unpack(text) for _, text in waiting]
            name = self.parts.write(rows)
            self.ledger.add_part(name, [(row["fingerprint"], row["status"]) for row in rows])
            return True


def spec_folder(output: Path, spec_key: str) -> Path:
    """Return the folder of a spec's parts."""
    return output / "parts" / f"spec-{spec_key}"
