"""`check_data`: go through a data set once, count what is wrong, and remember what can be used.

The result serves twice: people read its counts before a training begins, and the packer works on
its lengths. Nothing that is left out is left out in silence.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.data.encode import Encoded, Encoder
from longllava_domains.adapters.data.leakage import Evaluated
from longllava_domains.adapters.data.records import RowPosition
from longllava_domains.adapters.data.sample import REASONS, RowError, Sample
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.errors import LongLlavaError
from longllava_domains.units import counted

# Rows named for each reason, so that a user can look at them.
_EXAMPLES: Final = 5


@dataclass(frozen=True)
class CheckReport:
    """Report of a check of a data set.

    Attributes:
        name: The data set.
        rows: Rows in all.
        kept: Rows that can be trained on.
        dropped: Reason (of `REASONS`) -> rows left out for it.
        examples: Reason -> the first few rows, counted from 1.
        trimmed: Turns left out of rows that are kept.
        images: Pictures of the rows that are kept.
        warnings: What does not hold a row back but should be known: name -> rows.
        sha256: Of each data file, images not included.
        fields: Field that damaged rows lack, or have as another kind -> rows.
        longest: Tokens of the longest row that was left out as too long; 0 without one.
    """

    name: str
    rows: int
    kept: int
    dropped: dict[str, int]
    examples: dict[str, tuple[int, ...]]
    trimmed: int
    images: int
    warnings: dict[str, int]
    sha256: tuple[str, ...]
    fields: dict[str, int] = field(default_factory=dict)
    longest: int = 0

    @property
    def absent(self) -> str:
        """The fields that damaged rows lack, with the number of rows, in words."""
        most = sorted(self.fields.items(), key=lambda item: -item[1])[:_EXAMPLES]
        return ", ".join(f"{name} ({counted(count, 'row')})" for name, count in most)

    def lines(self) -> list[str]:
        """Say it in sentences."""
        found = [f"{self.name}: {self.kept:,} of {self.rows:,} rows can be trained on."]
        for reason, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            rows = ", ".join(map(str, self.examples[reason]))
            more = ", ..." if count > len(self.examples[reason]) else ""
            found.append(f"  {count:,} dropped ({reason}): {_sentence(reason)} (row {rows}{more})")
            if reason == "damaged_row" and self.fields:
                found.append(f"    absent, or of another kind: {self.absent}")
        if self.trimmed:
            found.append(f"  {self.trimmed:,} turns left out: empty, or without their other half.")
        if self.warnings.get("image_in_evaluation"):
            count = self.warnings["image_in_evaluation"]
            found.append(f"  {count:,} rows kept show an image that an evaluation set shows, too.")
        return found


@dataclass(frozen=True)
class Catalogue:
    """Positions of the usable rows of a data set, and their lengths.

    Attributes:
        data: The data set.
        places: int64 (rows, 3): file, start and length, see `RowPosition`.
        tokens: int32 (rows,): tokens of each row.
        learned: int32 (rows,): positions that are learned.
        views: int32 (rows,): views of each row.
        report: What was found.
    """

    data: TrainingData
    places: NDArray[np.int64]
    tokens: NDArray[np.int32]
    learned: NDArray[np.int32]
    views: NDArray[np.int32]
    report: CheckReport

    def __len__(self) -> int:
        return len(self.tokens)

    def sample(self, number: int) -> Sample:
        """Read one usable row again."""
        return self.data.read(RowPosition(*(int(value) for value in self.places[number])))


@dataclass
class _Count:
    """Counts of what has been seen so far."""

    rows: int = 0
    trimmed: int = 0
    images: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, ...]] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    seen: set[bytes] = field(default_factory=set)
    longest: int = 0

    def drop(self, fault: RowError) -> None:
        """Count a row that is left out, and keep a few as examples."""
        reason = fault.reason
        self.dropped[reason] += 1
        if fault.field:
            self.fields[fault.field] += 1
        named = self.examples.get(reason, ())
        if len(named) < _EXAMPLES:
            self.examples[reason] = (*named, self.rows)


def check_data(
    data: TrainingData,
    encoder: Encoder,
    *,
    max_tokens: int,
    evaluation: Iterable[TrainingData] = (),
    decode: bool = False,
    on_row: Callable[[int], None] | None = None,
) -> Catalogue:
    """Go through every row of a data set.

    Args:
        data: The data set.
        encoder: Counts tokens, for the network that will be trained.
        max_tokens: The most that one sample may have; longer ones are dropped, never cut.
        evaluation: Data sets that will be scored on. A row with the images, the question and the
            answer of one of theirs, or of one of their patients, is dropped; one that only shows
            the same image is counted.
        decode: Decode every image, which finds damaged ones and takes as long as reading them.
        on_row: Told the number of rows done so far.

    Returns:
        The usable rows with their lengths, and the report.

    Raises:
        NotFoundError: A data file is not there.
        DamagedInputError: A data file is damaged so that rows are lost.
    """
    evaluated = Evaluated.of(evaluation)
    count = _Count()
    places: list[RowPosition] = []
    lengths: list[tuple[int, int, int]] = []
    for place, found in data:
        count.rows += 1
        try:
            if isinstance(found, RowError):
                raise found
            encoded = _usable(found, encoder, count, evaluated, max_tokens, decode=decode)
        except RowError as fault:
            count.drop(fault)
        else:
            places.append(place)
            lengths.append((len(encoded.input_ids), encoded.learned, encoded.views))
            count.trimmed += found.trimmed
            count.images += len(found.pictures)
        if on_row is not None:
            on_row(count.rows)
    table = np.array(lengths, np.int32).reshape(-1, 3)
    stood = np.array(places, np.int64).reshape(-1, 3)
    report = CheckReport(
        data.name, count.rows, len(places), dict(count.dropped), count.examples, count.trimmed,
        count.images, dict(count.warnings), data.sha256(), dict(count.fields), count.longest,
    )  # fmt: skip
    return Catalogue(data, stood, table[:, 0], table[:, 1], table[:, 2], report)


def drop_reason(
    sample: Sample,
    encoder: Encoder,
    *,
    max_tokens: int,
    earlier: Iterable[Sample | RowError] = (),
) -> str | None:
    """Return why `check_data` would leave a row out, one of `REASONS`; None where it is kept.

    Args:
        sample: The row.
        encoder: As for `check_data`.
        max_tokens: As for `check_data`.
        earlier: Rows before it, of which it may repeat one.
    """
    try:
        _usable(sample, encoder, _Count(), Evaluated.of(()), max_tokens, decode=False)
    except RowError as fault:
        return fault.reason
    # It can be used, so an earlier row that equals it can be used, too, and is the one that is kept.
    own = _digest(sample)
    is_repeated = any(not isinstance(one, RowError) and _digest(one) == own for one in earlier)
    return "duplicate" if is_repeated else None


def _usable(
    sample: Sample,
    encoder: Encoder,
    count: _Count,
    evaluated: Evaluated,
    max_tokens: int,
    *,
    decode: bool,
) -> Encoded:
    """Return the ids of a sample that can be trained on; raise `RowError` for any other."""
    if not all(picture.is_there() for picture in sample.pictures):
        raise RowError("missing_image")
    digest = _digest(sample)
    if digest in count.seen:
        raise RowError("duplicate")
    overlap = evaluated.overlap(sample)
    if overlap in ("sample", "group"):
        raise RowError("in_evaluation")
    try:
        encoded = encoder.encode(sample)
        if decode:
            for picture in sample.pictures:
                picture.load()
    except LongLlavaError:
        raise RowError("damaged_image") from None
    if len(encoded.input_ids) > max_tokens:
        count.longest = max(count.longest, len(encoded.input_ids))
        raise RowError("too_long")
    count.seen.add(digest)
    count.warnings["image_in_evaluation"] += overlap == "image"
    return encoded


def _digest(sample: Sample) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in (*(p.name for p in sample.pictures), *(t for r in sample.rounds for t in r)):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.digest()


def _sentence(reason: str) -> str:
    return f"the row {REASONS[reason]}."
