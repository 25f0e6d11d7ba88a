"""Settings of an engine, and its reports of progress.

None of it changes a result, but that `batch_items` may change a number in its last digits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longllava_domains.archive.item import Shard
from longllava_domains.archive.results.store import PART_ROWS
from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError
from longllava_domains.units import GIB

PREFETCH_BYTES: Final = 8 * GIB


@checked_fields
@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        output: Folder of the results.
        ledger: Folder of the ledger, on a local disk; by default below `output`.
        shard: This machine's share.
        decoders: Processes of each worker that prepare items ahead; 0 prepares in line.
        prefetch_bytes: Decoded bytes that may wait for the model; a larger item waits alone.
        item_seconds: An item that takes longer is taken for an endless loop.
        memory_bytes: A worker that grows beyond is ended; None for no limit (Linux only).
        max_failures: Errors after which an item has failed.
        max_kills: Deaths of the process after which an item is set aside.
        part_rows: Rows of a part.
        batch_items: Items that are scored together, in the manifest's order; local engine only.
    """

    output: Path
    ledger: Path | None = None
    shard: Shard = field(default_factory=Shard)
    decoders: int = 0
    prefetch_bytes: int = PREFETCH_BYTES
    item_seconds: float = 3600.0
    memory_bytes: int | None = None
    max_failures: int = 2
    max_kills: int = 2
    part_rows: int = PART_ROWS
    batch_items: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.shard.index <= self.shard.count:
            raise PolicyError(
                f"There is no share {self.shard.index} of {self.shard.count}.",
                remedy="Number the shares from 1, as in --shard 1/8.",
                code="archive.shard",
            )
        if self.batch_items < 1:
            raise PolicyError(
                f"There is no batch of {self.batch_items} items.",
                remedy="Leave out --batch-items, or give a whole number of at least 1.",
                code="archive.batch",
            )


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        counts: Items by status, earlier runs included.
        total: Items of this share.
        finished_here: Items that ended since this run began.
        seconds: Since this run began.
    """

    counts: Mapping[str, int]
    total: int
    finished_here: int
    seconds: float

    @property
    def finished(self) -> int:
        """Items with an outcome."""
        return sum(count for status, count in self.counts.items() if status != "leased")

    @property
    def items_per_hour(self) -> float:
        """Rate of this run; 0 before the first item."""
        return self.finished_here / self.seconds * 3600 if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time left at this rate; None before the first item."""
        rate = self.items_per_hour
        return max(0, self.total - self.finished) / rate * 3600 if rate else None

    def __str__(self) -> str:
        parts = [
            f"{self.counts.get(status, 0)} {status}" for status in ("done", "refused", "failed")
        ]
        left = self.seconds_left
        ahead = "" if left is None else f", {left / 3600:.1f} h left"
        return (
            f"{self.finished} of {self.total} items ({', '.join(parts)}), "
            f"{self.items_per_hour:.0f} items/h{ahead}"
        )


OnProgress = Callable[[Progress], None]
