"""`SourceStudy`: patient, study and instance identifiers, re-read from the source when saving.

The rest of the package never holds an identifier; slices carry short hashes of their SOP
Instance UIDs. Only here do the two meet, and only for a DICOM SR or FHIR file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from longllava_domains.errors import OutputError
from longllava_domains.export.codes import Code
from longllava_domains.export.dicom.source_text import (
    UndecodableTextError,
    normal,
    require_decodable,
)
from longllava_domains.privacy import silenced
from longllava_domains.provenance import LEFT_OUT_TEXT_NOTICE
from longllava_domains.units import short_hash
from longllava_domains.visual import SlicePlace

# What Python's codecs, and so pydicom, put where bytes are no text.
_UNDECODED: Final = "\N{REPLACEMENT CHARACTER}"
# A report that carried these garbled, or not at all, would be filed under somebody else.
_IDENTIFYING: Final = frozenset({"PatientName", "PatientID", "AccessionNumber", "StudyID",
                                 "IssuerOfPatientID"})  # fmt: skip


@dataclass(frozen=True)
class SourceInstance:
    """One image of the source.

    Attributes:
        sop_class_uid: What kind of image it is.
        sop_instance_uid: Its identifier.
        series_instance_uid: The series it belongs to.
        number: Instance number, None where the header has none.
        frames: The frames that are meant, from 1; empty for all of a single-frame image.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    number: int | None
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class SourceStudy:
    """Identifiers of one patient's study, as text decoded from the headers.

    Attributes:
        values: DICOM keyword -> text, for the attributes asked for; absent ones are ``""``.
        procedures: Codes of the procedure that was performed.
        instances: Short hash of the SOP Instance UID -> the instances that have it.
        left_out: Values and codes that are absent because their text cannot be decoded.
    """

    values: Mapping[str, str]
    procedures: tuple[Code, ...]
    instances: Mapping[str, tuple[SourceInstance, ...]]
    left_out: int = 0

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices to add to a report: that text of the header is left out, if any is."""
        return (LEFT_OUT_TEXT_NOTICE,) if self.left_out else ()

    def cited(self, places: Iterable[SlicePlace]) -> tuple[SourceInstance, ...]:
        """Return the instances behind these slices, each once with its frames, in order.

        Raises:
            OutputError: A slice's instance is not among the headers, or two instances share
                its short hash.
        """
        wanted: dict[str, set[int]] = {}
        for place in places:
            for token in place.instances:
                name, _, frame = token.partition(".")
                wanted.setdefault(name, set()).update([int(frame)] if frame else [])
        missing = sum(name not in self.instances for name in wanted)
        if missing:
            raise OutputError(
                f"{missing} of {len(wanted)} cited images are not in the source any more.",
                remedy="Open the study again and repeat the report.",
                code="export.source_changed",
                facts={"cited": len(wanted), "missing": missing},
            )
        if any(len(self.instances[name]) > 1 for name in wanted):
            raise OutputError(
                "Two images of the source share a short hash, so a citation would be ambiguous.",
                remedy="Open the series on its own with series= and repeat the report.",
                code="export.ambiguous_source",
            )
        return tuple(
            replace(self.instances[name][0], frames=tuple(sorted(frames)))
            for name, frames in wanted.items()
        )


def read_source(headers: Sequence[Any] | None, keywords: Iterable[str]) -> SourceStudy:
    """Read identifiers from re-read DICOM headers.

    Args:
        headers: `SliceSource.source_headers()`: pydicom datasets, or None.
        keywords: DICOM keywords of the patient and study attributes to take.

    Raises:
        OutputError: There are no DICOM headers, they lack the UIDs that a report must cite,
            cannot be read, or belong to more than one patient or study.
    """
    if not headers:
        raise OutputError(
            "The volume does not come from DICOM files, so there is no patient or study to cite.",
            remedy="Open the DICOM series itself, or use to_json.",
            code="export.no_dicom_source",
        )
    with silenced():
        try:
            instances = _instances(headers)
            _one_study(headers)
            found = {keyword: _value(headers[0], keyword) for keyword in keywords}
            coded = list(_codes(headers[0], "ProcedureCodeSequence"))
        except UndecodableTextError:
            raise OutputError(
                "The name of the patient, or another identifier, has characters that the header's "
                "character set does not explain.",
                remedy="Set Specific Character Set (0008,0005) in the source to what its text is "
                "written in, or use to_json.",
                code="export.character_set",
            ) from None
        except (AttributeError, KeyError, LookupError, NotImplementedError, TypeError, ValueError):
            # What pydicom raises for a value it cannot convert repeats the value.
            raise OutputError(
                "An identifier in the source headers cannot be read.",
                remedy="Repair the headers of the series, or use to_json.",
                code="export.damaged_source",
            ) from None
    values = {keyword: text or "" for keyword, text in found.items()}
    procedures = tuple(code for code in coded if code is not None)
    left_out = [*found.values(), *coded].count(None)
    return SourceStudy(values, procedures, instances, left_out)


def _value(header: Any, keyword: str) -> str | None:
    """Return a value to copy; None for one that may be left out and whose text is unreadable."""
    try:
        return _text(header, keyword)
    except UndecodableTextError:
        if keyword in _IDENTIFYING:
            raise
        return None


def _instances(headers: Sequence[Any]) -> dict[str, tuple[SourceInstance, ...]]:
    by_hash: dict[str, tuple[SourceInstance, ...]] = {}
    for header in headers:
        instance = SourceInstance(
            sop_class_uid=_text(header, "SOPClassUID"),
            sop_instance_uid=_text(header, "SOPInstanceUID"),
            series_instance_uid=_text(header, "SeriesInstanceUID"),
            number=_instance_number(header),
        )
        uids = (instance.sop_class_uid, instance.sop_instance_uid, instance.series_instance_uid)
        if not all((*uids, _text(header, "StudyInstanceUID"))):
            raise OutputError(
                "The source headers have no study, series, class or instance UIDs to cite.",
                remedy="Use the series before it was anonymised, or use to_json.",
                code="export.no_identifiers",
                facts={"images": len(headers)},
            )
        name = short_hash(instance.sop_instance_uid)
        same = by_hash.get(name, ())
        by_hash[name] = same if instance in same else (*same, instance)
    return by_hash


def _one_study(headers: Sequence[Any]) -> None:
    keys = {(_text(header, "StudyInstanceUID"), _text(header, "PatientID")) for header in headers}
    if len(keys) > 1:
        raise OutputError(
            f"The source headers name {len(keys)} combinations of patient and study.",
            remedy="Open one series of one patient.",
            code="export.mixed_source",
            facts={"combinations": len(keys)},
        )


def _instance_number(header: Any) -> int | None:
    """Return the instance number; it only labels an image, so a damaged one is left out."""
    try:
        return int(header.get("InstanceNumber"))
    except (TypeError, ValueError, OverflowError):
        return None


def _text(header: Any, keyword: str, parent: Any = None) -> str:
    """Return a header value as decoded text, ``""`` where absent or empty.

    Raises:
        ValueError: Its bytes are none of the character set that the header names; a report must
            not carry half a name.
    """
    require_decodable(header, keyword, parent)
    value = header.get(keyword)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        text = "\\".join(str(item) for item in value)
    else:
        text = str(value).strip()
    if _UNDECODED in text:
        raise ValueError
    return normal(keyword, text)


def _codes(header: Any, keyword: str) -> Iterator[Code | None]:
    """Return the codes of a sequence; None in place of one whose text cannot be read."""
    for item in header.get(keyword) or ():
        try:
            code = Code(
                value=_text(item, "CodeValue", header),
                scheme=_text(item, "CodingSchemeDesignator", header),
                meaning=_text(item, "CodeMeaning", header),
            )
        except UndecodableTextError:
            yield None
            continue
        if code.value and code.scheme and code.meaning:
            yield code
