"""A site's table: which scan, which findings are true, and what is known of patient and scanner."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from longllava_domains.errors import AmbiguousInputError, DamagedInputError, InputError
from longllava_domains.evaluate.predictions import Row, Source, read_table
from longllava_domains.evaluate.predictions.fields import id_of
from longllava_domains.units import did_you_mean

ID_COLUMNS: Final = (
    "item_id", "study_key", "volumename", "studyinstanceuid", "study_uid", "accessionno", "id", "scan",
    "study", "name",
)  # fmt: skip
PATIENT_COLUMNS: Final = ("patient", "patient_key", "patientid", "patient_id")
_SUFFIX: Final = re.compile(r"(\.nii\.gz|\.nii|\.json|\.npz)\Z")
_AGE: Final = re.compile(r"\s*0*(\d{1,3})\s*[Yy]?\s*\Z")
UNKNOWN: Final = "not known"

_SEXES: Final = {"m": "male", "male": "male", "f": "female", "female": "female", "o": "other"}
_YES_NO: Final = {
    "yes": "with", "y": "with", "1": "with", "true": "with", "with": "with",
    "no": "without", "n": "without", "0": "without", "false": "without", "without": "without",
    "native": "without", "contrast": "with",
}  # fmt: skip


def _sex(text: str) -> str:
    return _SEXES.get(text.lower(), UNKNOWN)


def _age_band(text: str) -> str:
    found = _AGE.match(text)
    if found is None:
        return UNKNOWN
    age = int(found[1])
    if age < 18:
        return "under 18"
    if age >= 80:
        return "80 and over"
    first = age // 20 * 20
    return f"{max(first, 18)} to {first + 19}"


def _thickness(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return UNKNOWN
    if not math.isfinite(value) or value <= 0:
        return UNKNOWN
    return next((f"up to {most:g} mm" for most in (1.25, 2.5, 5.0) if value <= most), "over 5 mm")


def _contrast(text: str) -> str:
    return _YES_NO.get(text.lower(), UNKNOWN)


def _kernel(text: str) -> str:
    """Return the kernel's first name: a table may hold ``B`` or ``['Br40f', '3']``."""
    return text.strip("[] ").split(",")[0].strip("' \"") or UNKNOWN


@dataclass(frozen=True)
class Subgrouping:
    """One way to divide scans.

    Attributes:
        columns: Names under which a table may have it, in lower case.
        group: From a cell's text to the name of its group.
    """

    columns: tuple[str, ...]
    group: Callable[[str], str]


SUBGROUPINGS: Final[Mapping[str, Subgrouping]] = MappingProxyType(
    {
        "sex": Subgrouping(("sex", "patientsex"), _sex),
        "age": Subgrouping(("age", "patientage", "age_years"), _age_band),
        "manufacturer": Subgrouping(("manufacturer", "vendor"), lambda text: text.strip().lower()),
        "kernel": Subgrouping(("kernel", "convolutionkernel"), _kernel),
        "thickness": Subgrouping(("thickness_mm", "thickness", "slicethickness", "zspacing"), _thickness),
        "contrast": Subgrouping(("contrast", "contrastbolusagent", "contrast_agent"), _contrast),
    }
)  # fmt: skip


@dataclass(frozen=True)
class SiteLabels:
    """The table, read.

    Attributes:
        id_column: Its name, in lower case.
        ids: (scans,).
        patients: (scans,) what is drawn together; the scan itself where no patient is named.
        labels: Names of the findings.
        truth: (scans) of label -> True, False, or None where the site says nothing.
        groups: Name of a subgrouping -> (scans,) names of groups.
        has_patients: Whether the table names patients.
    """

    id_column: str
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[str, ...]
    truth: tuple[Mapping[str, bool | None], ...]
    groups: Mapping[str, tuple[str, ...]]
    has_patients: bool


def read_site_labels(source: Source, labels: Sequence[str] | None = None) -> SiteLabels:
    """Read a site's table: an id, findings as 0 and 1 (empty: not labelled), and what divides scans.

    Args:
        source: A file or rows; names of columns in any case.
        labels: Columns of findings; by default every other one that holds 0, 1 and nothing else.

    Raises:
        InputError: No column names scans, or none holds findings.
        AmbiguousInputError: A scan stands twice.
        DamagedInputError: A cell of a finding is neither 0, 1 nor empty.
    """
    rows = [
        {str(name).strip(): value for name, value in row.items()}
        for row in read_table(source, "labels").rows
    ]
    if not rows:
        raise _refused("it holds no row", "Check that it is the right file, whole, with a header.")
    by_lower = {name.lower(): name for row in rows for name in row}
    id_column = _id_column(by_lower)
    patient = next((by_lower[name] for name in PATIENT_COLUMNS if name in by_lower), None)
    known = {
        name: next((by_lower[each] for each in way.columns if each in by_lower), None)
        for name, way in SUBGROUPINGS.items()
    }
    taken = {by_lower[id_column], patient, *known.values()}
    _require_columns(labels or (), [*by_lower.values()])
    found = tuple(labels or (n for n in by_lower.values() if n not in taken and _is_label(rows, n)))
    if not found:
        raise _refused(
            "no column holds findings as 0 and 1",
            "Write 1 for present and 0 for absent, and nothing where a finding is not known.",
        )
    ids = tuple(_id(row.get(by_lower[id_column]), place) for place, row in enumerate(rows))
    if len(set(ids)) < len(ids):
        raise AmbiguousInputError(
            f"{len(ids) - len(set(ids))} scans stand more than once in the table.",
            remedy="Keep one row for each scan.",
            code="own.repeated",
        )
    return SiteLabels(
        id_column=id_column,
        ids=ids,
        patients=tuple(
            ids[place] if patient is None else str(row.get(patient) or ids[place])
            for place, row in enumerate(rows)
        ),
        labels=found,
        truth=tuple({name: _truth(row.get(name), name) for name in found} for row in rows),
        groups={
            name: tuple(_group(SUBGROUPINGS[name], row.get(column)) for row in rows)
            for name, column in known.items()
            if column is not None
        },
        has_patients=patient is not None,
    )


def scan_name(value: object) -> str | None:
    """Return a scan's name without the suffix of a file, None where there is none."""
    text = id_of(value)
    return None if text is None else _SUFFIX.sub("", text)


def _id(value: object, place: int) -> str:
    name = scan_name(value)
    if name is None:
        raise _refused(f"row {place} names no scan", "Give every row an id.")
    return name


def _is_label(rows: Sequence[Row], name: str) -> bool:
    cells = {_plain(row.get(name)) for row in rows}
    return bool(cells & {"0", "1"}) and cells <= {"0", "1", ""}


def _plain(value: object) -> str:
    text = "" if value is None else str(value).strip()
    return {"0.0": "0", "1.0": "1", "False": "0", "True": "1", "nan": ""}.get(text, text)


def _truth(value: object, name: str) -> bool | None:
    text = _plain(value)
    if text not in ("0", "1", ""):
        raise DamagedInputError(
            "A cell of a finding is neither 0, 1 nor empty.",
            remedy="Write 1 for present, 0 for absent, and nothing where nobody looked.",
            code="own.label",
        )
    return None if text == "" else text == "1"


def _group(way: Subgrouping, value: object) -> str:
    text = "" if value is None else str(value).strip()
    return way.group(text) if text and text != "nan" else UNKNOWN


def _id_column(by_lower: Mapping[str, str]) -> str:
    """Return which column names the scans, in lower case."""
    for name in ID_COLUMNS:
        if name in by_lower:
            return name
    *others, last = ID_COLUMNS
    raise _refused("no column names the scans", f"Call one {', '.join(others)} or {last}.")


def _require_columns(named: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse the name of a finding that is no column of the table."""
    strange = next((name for name in named if name not in columns), None)
    if strange is not None:
        raise _refused(
            "no column has the name of a finding that was asked for",
            f"{did_you_mean(strange, columns)}Name columns of the table with labels=, or leave it out.",
        )


def _refused(found: str, remedy: str) -> InputError:
    return InputError(
        f"The table of labels cannot be used: {found}.", remedy=remedy, code="own.table"
    )
