"""`TrainingData`: a data set on disk, as the samples that its rows become."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from longllava_domains.adapters.data.pictures import file_sha256
from longllava_domains.adapters.data.records import Records, RowPosition
from longllava_domains.adapters.data.sample import RowError, Sample

LossOn = Literal["all", "last"]


@dataclass(frozen=True)
class Terms:
    """On what terms a data set may be used.

    Attributes:
        licence: Its SPDX identifier, or ``"unknown"``.
        conditions: What its users agreed to, in a sentence.
    """

    licence: str
    conditions: str


OWN_TERMS = Terms("unknown", "Your own data: its terms are yours to know.")


@dataclass(frozen=True)
class TrainingData:
    """A data set whose rows are read when they are needed.

    Attributes:
        name: What it is called in reports and model cards.
        records: Its rows.
        convert: Makes a sample of one row, given the row and its key; raises `RowError`.
        loss_on: Whether every answer of a conversation is learned, or the last one alone, as
            the data set's own training code does.
        terms: On what terms it may be used.
    """

    name: str
    records: Records
    convert: Callable[[Any, str], Sample]
    loss_on: LossOn = "all"
    terms: Terms = OWN_TERMS

    def __iter__(self) -> Iterator[tuple[RowPosition, Sample | RowError]]:
        """Yield every row in order: the sample, or why there is none.

        Raises:
            NotFoundError: A data file is not there.
            DamagedInputError: A data file is damaged so that rows are lost.
        """
        for place, row in self.records:
            try:
                yield place, self._sample(row, place)
            except RowError as fault:
                yield place, fault

    def read(self, place: RowPosition) -> Sample:
        """Return one sample again.

        Raises:
            RowError: The row makes none; it was counted when the data was gone through.
        """
        return self._sample(self.records.read(place), place)

    def sha256(self) -> tuple[str, ...]:
        """Return the SHA-256 of every data file, images not included."""
        return tuple(file_sha256(path) for path in self.records.files)

    def _sample(self, row: Any, place: RowPosition) -> Sample:
        if row is None:
            raise RowError("damaged_row")
        return self.convert(row, f"{place.file}:{place.start}")
