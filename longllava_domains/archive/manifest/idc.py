"""Plan a run over the public Imaging Data Commons from its index alone, without a download.

The index is that of the package `idc-index-data`: one row for each series. It has no image type,
kernel or slice thickness, so the choice of a series is an estimate: of what can be a volume, the
most slices win. Each expected refusal names the column that it is read from.
"""

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from longllava_domains.archive.manifest.facts import SLIDE_CLASS
from longllava_domains.arguments import checked
from longllava_domains.ct.dicom.header import CT_CLASSES
from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.formats.dicom.codecs import COMPRESSED, NATIVE

_MODALITY: Final = {"ct": "CT", "pathology": "SM"}
_CLASSES: Final = {"ct": CT_CLASSES, "pathology": frozenset({SLIDE_CLASS})}
_COLUMNS: Final = [
    "Modality", "StudyInstanceUID", "SOPClassUID", "TransferSyntaxUID",
    "PhotometricInterpretation", "SeriesDescription", "instanceCount",
]  # fmt: skip
# Localizers and reformats, as their makers describe them; the header's image type decides later.
_LOCALIZER: Final = r"(?i)\b(scout|topogram|localizer|surview|scanogram|pilot)"
_REFORMAT: Final = r"(?i)\b(mpr|reformat|mip|3d|vrt|coronal|sagittal|cor|sag)\b"
_FEWEST_SLICES: Final = 2
_MB: Final = 1_000_000
_BATCH: Final = 131_072

# Code -> the column of the index that it is read from, in the order in which they are asked.
READ_FROM: Final[Mapping[str, str]] = {
    "file.other_modality": "SOPClassUID",
    "codec.unsupported": "TransferSyntaxUID",
    "page.colour": "PhotometricInterpretation",
    "series.localizer": "SeriesDescription",
    "series.no_volume": "instanceCount",
}


@dataclass(frozen=True)
class IdcPlan:
    """Extent of a run over the index.

    Attributes:
        index_series: Series of the whole index.
        series: Of these, of the domain's modality.
        studies: Studies that they belong to.
        items: Series that would be scored: one of each CT study, or each slide.
        not_chosen: CT series that another one of their study is preferred to.
        ambiguous: CT studies of which two series look equally good; the loader will decide or refuse.
        refused: Code -> series that would be refused; `READ_FROM` names the columns.
        bytes: Of all items.
        largest_bytes: Of the largest item.
        median_bytes: Of the items.
        hours: With the rates given.
        bottleneck: ``"reading"`` or ``"scoring"``.
    """

    index_series: int
    series: int
    studies: int
    items: int
    not_chosen: int
    ambiguous: int
    refused: Mapping[str, int]
    bytes: int
    largest_bytes: int
    median_bytes: int
    hours: float
    bottleneck: str


@checked
def plan_idc(
    domain: str,
    *,
    seconds_per_item: float,
    read_bytes_per_second: float,
    workers: int = 1,
    index: Path | None = None,
) -> IdcPlan:
    """Plan a run over all series of a domain.

    Args:
        domain: ``"ct"`` or ``"pathology"``.
        seconds_per_item: Time of one worker for one item.
        read_bytes_per_second: Of the line or disk that all workers share.
        workers: Number of workers.
        index: The index file; by default that of the installed `idc-index-data`.

    Raises:
        PolicyError: Another domain.
        NotFoundError: The package is not installed, or there is no such file.
    """
    found = chosen_series(domain, index, ["series_size_MB"])
    sizes = np.asarray(found.table["series_size_MB"], np.float64) * _MB
    item_bytes = sizes[found.chosen]
    reading = float(item_bytes.sum()) / read_bytes_per_second
    scoring = len(item_bytes) * seconds_per_item / workers
    return IdcPlan(
        index_series=found.index_series,
        series=len(found.table),
        studies=found.studies,
        items=len(item_bytes),
        not_chosen=found.not_chosen,
        ambiguous=found.ambiguous,
        refused=found.refused,
        bytes=int(item_bytes.sum()),
        largest_bytes=int(item_bytes.max(initial=0)),
        median_bytes=int(np.median(item_bytes)) if len(item_bytes) else 0,
        hours=max(reading, scoring) / 3600,
        bottleneck="reading" if reading > scoring else "scoring",
    )


@dataclass(frozen=True)
class ChosenSeries:
    """The series of a modality, and which of them would be scored.

    Attributes:
        table: All of them.
        chosen: Which ones, as a mask over the table.
        index_series: Series of the whole index.
        studies: Studies that they belong to.
        not_chosen: As of `IdcPlan`.
        ambiguous: As of `IdcPlan`.
        refused: As of `IdcPlan`.
    """

    table: pa.Table
    chosen: NDArray[np.bool_]
    index_series: int
    studies: int
    not_chosen: int
    ambiguous: int
    refused: dict[str, int]


def chosen_series(domain: str, index: Path | None, columns: Sequence[str]) -> ChosenSeries:
    """Choose the series of a domain that would be scored.

    Args:
        domain: ``"ct"`` or ``"pathology"``.
        index: The index file; by default that of the installed `idc-index-data`.
        columns: Further columns that the caller needs.

    Raises:
        PolicyError: Another domain.
        NotFoundError: The package is not installed, or there is no such file.
    """
    if domain not in _MODALITY:
        raise PolicyError(
            "The index holds CT and slides only.",
            remedy="Use ct or pathology.",
            code="archive.domain",
        )
    wanted = list(dict.fromkeys([*_COLUMNS, *columns]))
    table, total = _read(index or _installed_index(), _MODALITY[domain], wanted)
    refused = _refusals(table, domain)
    able = refused == ""
    studies = _codes_of(table["StudyInstanceUID"])
    chosen, ambiguous = able, 0
    if domain == "ct":
        chosen, ambiguous = _one_of_each_study(table, able, studies)
    return ChosenSeries(
        table,
        chosen,
        index_series=total,
        studies=len(np.unique(studies)),
        not_chosen=int((able & ~chosen).sum()),
        ambiguous=ambiguous,
        refused=dict(Counter(refused[~able].tolist()).most_common()),
    )


def _installed_index() -> Path:
    found = importlib.util.find_spec("idc_index_data")
    if found is None or found.origin is None:
        raise NotFoundError(
            "The index of the Imaging Data Commons is not installed.",
            remedy="Install idc-index-data, or name the index file.",
            code="archive.idc",
        )
    return Path(found.origin).with_name("idc_index.parquet")


def _read(place: Path, modality: str, columns: list[str]) -> tuple[pa.Table, int]:
    """Return the rows of a modality, and how many the whole index has."""
    try:
        file = pq.ParquetFile(place)
    except (OSError, pa.ArrowException):
        raise NotFoundError(
            "The index file is not there, or cannot be read.",
            remedy="Install idc-index-data again.",
            code="archive.idc",
        ) from None
    batches = [
        batch.filter(pc.equal(batch["Modality"], modality))
        for batch in file.iter_batches(_BATCH, columns=columns)
    ]
    return pa.Table.from_batches(batches), int(file.metadata.num_rows)


def _refusals(table: pa.Table, domain: str) -> NDArray[Any]:
    """Return the code of the first reason to refuse each series, empty where there is none."""
    reasons = {
        "file.other_modality": ~_all_in(table["SOPClassUID"], _CLASSES[domain]),
        "codec.unsupported": ~_all_in(table["TransferSyntaxUID"], {*NATIVE, *COMPRESSED}),
    }
    if domain == "ct":
        grey = {"MONOCHROME1", "MONOCHROME2"}
        reasons["page.colour"] = ~_all_in(table["PhotometricInterpretation"], grey)
        reasons["series.localizer"] = _matches(table["SeriesDescription"], _LOCALIZER)
        reasons["series.no_volume"] = np.asarray(table["instanceCount"]) < _FEWEST_SLICES
    codes = np.full(len(table), "", dtype=object)
    for code in reversed(tuple(READ_FROM)):
        if code in reasons:
            codes[reasons[code]] = code
    return codes


def _all_in(column: pa.ChunkedArray, allowed: set[str] | frozenset[str]) -> NDArray[np.bool_]:
    """Return whether all values of each cell, which commas part, are allowed; few cells differ."""
    encoded = column.combine_chunks().dictionary_encode()
    cells = encoded.dictionary.to_pylist()
    fits = [all(part in allowed for part in (cell or "").split(",")) for cell in cells]
    known = np.array([*fits, False])  # the last one is for cells without a value
    found: NDArray[np.bool_] = known[np.asarray(encoded.indices.fill_null(len(fits)))]
    return found


def _matches(column: pa.ChunkedArray, pattern: str) -> NDArray[np.bool_]:
    found = pc.match_substring_regex(column, pattern).fill_null(False)
    return np.asarray(found, dtype=bool)


def _codes_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.combine_chunks().dictionary_encode().indices, np.int64)


def _one_of_each_study(
    table: pa.Table, able: NDArray[np.bool_], studies: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], int]:
    """Choose one series of each study: no reformat rather than one, then the most slices."""
    slices = np.asarray(table["instanceCount"], np.int64)
    reformat = _matches(table["SeriesDescription"], _REFORMAT)
    rows = np.flatnonzero(able)
    order = rows[np.lexsort((-slices[rows], reformat[rows], studies[rows]))]
    first = np.ones(len(order), bool)
    first[1:] = studies[order[1:]] != studies[order[:-1]]
    chosen = np.zeros(len(able), bool)
    chosen[order[first]] = True
    starts = np.flatnonzero(first)
    seconds = starts + 1
    within = seconds < len(order)
    best, runner_up = order[starts[within]], order[seconds[within]]
    equal = (
        (studies[best] == studies[runner_up])
        & (reformat[best] == reformat[runner_up])
        & (slices[best] == slices[runner_up])
    )
    return chosen, int(equal.sum())
