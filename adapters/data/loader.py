"""`RowLoader`: packed rows in an order that a killed run can take up again, bit for bit.

Which rows there are is planned beforehand, so the whole state is one number. What is random
about a sample follows from the seed, the epoch and the sample's key alone; how many threads load
changes nothing. (The stock data loader draws from generators that a checkpoint does not hold.)
"""

import hashlib
import logging
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from longllava_domains.adapters.data.batch import Batch, Loaded, pack, without_learning
from longllava_domains.adapters.data.encode import Encoded
from longllava_domains.adapters.data.mixture import Mixture
from longllava_domains.adapters.data.packing import PackingPolicy, RowPlan, plan_epoch
from longllava_domains.errors import LongLlavaError, PolicyError
from longllava_domains.model.network.preprocess import pixel_values
from longllava_domains.prompt.training import IGNORED
from longllava_domains.units import short_hash
from longllava_domains.visual import View

logger = logging.getLogger(__name__)

Augmentation = Callable[[Sequence[View | Image.Image], np.random.Generator], Sequence[Any]]
"""Changes the views of one picture at random, with the generator it is given; keeps their number."""

# Rows that are loaded while one is trained on.
_AHEAD: Final = 2


@dataclass(frozen=True)
class ProcessShare:
    """Share of one process among several.

    Attributes:
        rank: Counted from 0.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1


class RowLoader:
    """Rows of all epochs, one after the other; iterating goes on where it was left.

    A picture that cannot be decoded is replaced by grey, nothing is learned from its sample, and
    it is counted: the rows stay as they were planned.

    Args:
        mixture: What is trained on.
        policy: How rows are packed.
        epochs: Passes over the data.
        seed: Of everything random.
        shard: This process.
        threads: Threads that load pictures.
        augment: Changes pictures at random.
        rows_per_step: Rows of this process in one step; the last step is filled up.

    Attributes:
        position: Rows of this process already yielded; all there is to a state.
        damaged: Samples, since this loader was made, whose pictures could not be decoded.
    """

    def __init__(
        self,
        mixture: Mixture,
        policy: PackingPolicy,
        *,
        epochs: int = 1,
        seed: int = 0,
        shard: ProcessShare = ProcessShare(),
        threads: int = 2,
        augment: Augmentation | None = None,
        rows_per_step: int = 1,
    ) -> None:
        self.mixture, self.policy = mixture, policy
        self.epochs, self.seed, self.shard = epochs, seed, shard
        self.threads, self.augment = threads, augment
        self.position = 0
        self.damaged = 0
        self._lock = threading.Lock()
        self.rows_of_epoch = [len(self._plan(epoch)) for epoch in range(epochs)]
        # With fewer rows than a step has, one step of them all is enough.
        self.rows_per_step = min(rows_per_step, self._own_rows())

    def __len__(self) -> int:
        """Rows of this process in all epochs; the same for every process, in whole steps."""
        return -(-self._own_rows() // self.rows_per_step) * self.rows_per_step

    def __iter__(self) -> Iterator[Batch]:
        """Yield rows from `position` on."""
        waiting: deque[tuple[bool, list[Future[Loaded]]]] = deque()
        planned = self._planned(self.position)
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                while True:
                    for epoch, row, fills in planned:
                        loading = [pool.submit(self._load, number, epoch) for number in row]
                        waiting.append((fills, loading))
                        if len(waiting) > _AHEAD:
                            break
                    if not waiting:
                        return
                    fills, loading = waiting.popleft()
                    packed = pack(
                        [one.result() for one in loading],
                        isolated=self.policy.packing != "paper",
                    )
                    self.position += 1
                    yield without_learning(packed) if fills else packed
            finally:
                for _, loading in waiting:
                    for one in loading:
                        one.cancel()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on from here, as JSON."""
        return {"position": self.position, "fingerprint": self.fingerprint()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            PolicyError: It belongs to other data, another packing, seed or number of processes.
        """
        if state.get("fingerprint") != self.fingerprint():
            raise PolicyError(
                "The run that is resumed had other data, packing, seed or number of processes.",
                remedy="Resume with the very same settings and files, or begin a new run.",
                code="training.resume",
            )
        self.position = int(state["position"])

    def fingerprint(self) -> str:
        """Return a hash of everything that the order of rows depends on."""
        policy = self.policy
        how = (
            policy.packing,
            policy.tokens_per_row,
            policy.buffer,
            self.seed,
            self.shard.world,
            self.rows_per_step,
        )
        return hashlib.sha256(f"{self.mixture.sha256()}{how}".encode()).hexdigest()

    def _own_rows(self) -> int:
        return sum(-(-rows // self.shard.world) for rows in self.rows_of_epoch)

    def _plan(self, epoch: int) -> list[RowPlan]:
        return plan_epoch(self.mixture.tokens, self.policy, self.seed, epoch)

    def _planned(self, position: int) -> Iterator[tuple[int, RowPlan, bool]]:
        """Yield (epoch, row, whether it only fills up) of this process, from a position on."""
        rank, world = self.shard.rank, self.shard.world
        ends = list(accumulate(-(-rows // world) for rows in self.rows_of_epoch))
        planned = -1
        plan: list[RowPlan] = []
        for here in range(position, len(self)):
            epoch = min(bisect_right(ends, here), self.epochs - 1)
            if epoch != planned:
                planned, plan = epoch, self._plan(epoch)
            number = (here - (ends[epoch - 1] if epoch else 0)) * world + rank
            # Where rows run out, one is repeated of which nothing is learned.
            fills = number >= len(plan)
            yield epoch, plan[0 if fills else number], fills

    def _load(self, number: int, epoch: int) -> Loaded:
        key, sample, encoder = self.mixture.sample(number)
        encoded = encoder.encode(sample)
        side = encoder.config.view_px
        chance = generator_of(self.seed, epoch, key)
        try:
            views: list[Any] = []
            for picture in sample.pictures:
                shown = picture.load()
                views += shown if self.augment is None else self.augment(shown, chance)
            pixels = pixel_values(views, side)
        except LongLlavaError as error:
            logger.warning("Sample %s is not learned: %s", short_hash(key), error.message)
            with self._lock:
                self.damaged += 1
            silent = Encoded(encoded.input_ids, [IGNORED] * len(encoded.labels), encoded.views)
            return Loaded(silent, torch.zeros(encoded.views, 3, side, side))
        return Loaded(encoded, pixels)


def generator_of(seed: int, epoch: int, key: str) -> np.random.Generator:
    """Return the random generator of one sample in one epoch."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng([seed, epoch, *digest[:16]])
