"""`Mixture`: the usable rows of several data sets, as one numbered list."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.data.check import Catalogue
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.sample import Sample
from longllava_domains.errors import PolicyError


@dataclass(frozen=True)
class MixturePart:
    """One data set of a mixture.

    Attributes:
        catalogue: Its usable rows.
        encoder: Makes ids of them, with the data set's own choice of what is learned.
        count: How many rows to take, chosen at random; None for all. More than there are takes
            every row once and again.
    """

    catalogue: Catalogue
    encoder: Encoder
    count: int | None = None


@dataclass(frozen=True)
class Mixture:
    """Rows of several data sets, numbered from 0.

    Attributes:
        parts: The data sets.
        seed: Chooses the rows of parts that are not taken whole.
        tokens: int32 (samples,) tokens of each sample.
        learned: int32 (samples,) learned positions of each sample.
        views: int32 (samples,) views of each sample.

    Raises:
        PolicyError: There is nothing to train on.
    """

    parts: tuple[MixturePart, ...]
    seed: int = 0
    _where: NDArray[np.int64] = field(init=False, repr=False)
    tokens: NDArray[np.int32] = field(init=False, repr=False)
    learned: NDArray[np.int32] = field(init=False, repr=False)
    views: NDArray[np.int32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        chosen = [_choose(len(part.catalogue), part.count, self.seed) for part in self.parts]
        if not sum(map(len, chosen)):
            raise PolicyError(
                f"There is no row to train on{_why(self.parts)}.",
                remedy=_what_to_do(self.parts),
                code="training.empty",
            )
        where = [np.stack([np.full(len(n), at), n], 1) for at, n in enumerate(chosen)]
        object.__setattr__(self, "_where", np.concatenate(where).astype(np.int64))
        for name in ("tokens", "learned", "views"):
            columns = [
                getattr(p.catalogue, name)[n] for p, n in zip(self.parts, chosen, strict=True)
            ]
            object.__setattr__(self, name, np.concatenate(columns))

    def __len__(self) -> int:
        return len(self._where)

    def sample(self, number: int) -> tuple[str, Sample, Encoder]:
        """Read one sample again, with a key that is unique in the mixture, and its encoder."""
        at, row = (int(value) for value in self._where[number])
        part = self.parts[at]
        sample = part.catalogue.sample(row)
        return f"{at}:{part.catalogue.data.name}:{sample.key}", sample, part.encoder

    def sha256(self) -> str:
        """Return a fingerprint of which rows there are and how long each is."""
        digest = hashlib.sha256(self._where.tobytes())
        digest.update(self.tokens.tobytes())
        for part in self.parts:
            digest.update("".join(part.catalogue.report.sha256).encode())
        return digest.hexdigest()


def mixture_of(parts: Sequence[MixturePart], seed: int = 0) -> Mixture:
    """Join data sets.

    Raises:
        PolicyError: There is nothing to train on.
    """
    return Mixture(tuple(parts), seed)


def _why(parts: Sequence[MixturePart]) -> str:
    """Say for what rows were dropped, and which fields they lack: ``": 3 damaged_row"``."""
    reports = [part.catalogue.report for part in parts]
    dropped = [f"{n:,} {reason}" for each in reports for reason, n in each.dropped.items()]
    absent = [each.absent for each in reports if each.fields]
    told = ", ".join(dropped) or "the data is empty"
    return f": {told}" + (f"; absent, or of another kind: {', '.join(absent)}" if absent else "")


def _what_to_do(parts: Sequence[MixturePart]) -> str:
    """Return the remedy: which limit is too low, and what to do about rows with other faults."""
    mend = "Mend the rows, or choose the recipe of their layout; longllava data check says more."
    longest = max((part.catalogue.report.longest for part in parts), default=0)
    if not longest:
        return mend
    raise_it = f"Raise the limit: tokens_per_row={longest} holds the rows that are too long."
    others = {reason for part in parts for reason in part.catalogue.report.dropped} - {"too_long"}
    return f"{raise_it} {mend.replace('the rows', 'the other rows')}" if others else raise_it


def _choose(rows: int, count: int | None, seed: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that are taken, in order of number."""
    if count is None or rows == 0:
        return np.arange(rows)
    order = np.random.default_rng([seed, rows]).permutation(rows)
    return np.sort(np.resize(order, count))
