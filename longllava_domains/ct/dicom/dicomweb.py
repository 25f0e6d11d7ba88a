"""Find and fetch CT series from a PACS by DICOMweb (PS3.18): QIDO-RS, then WADO-RS.

Instances are kept in memory as the bytes of DICOM files and given to the same loader as a folder,
so every proof of geometry and intensity applies. A series that arrives incomplete is refused.
Nothing is asked of a server unless the user gave its address.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, Final

from longllava_domains.arguments import checked
from longllava_domains.ct.hounsfield.rescale import HuRule
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import (
    NetworkError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.formats.dicom.dicomweb_http import connect, translated
from longllava_domains.formats.dicom.source_file import Found, SourceFile
from longllava_domains.units import GIB, MIB, human_bytes, short_hash

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_PAGE: Final = 500
_MAX_PAGES: Final = 200
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_MODALITY, _RELATED_INSTANCES = "00080060", "00201209"
_PATIENT_ID, _ACCESSION = "00100020", "00080050"
_FILE_META: Final = 0x0002
# As stored: without this a server may decompress, or recompress, what it sends.
_AS_STORED: Final = (("application/dicom", "*"),)


@dataclass(frozen=True)
class RemoteSeries:
    """One CT series on a server.

    Attributes:
        position: Number in the server's order, from 1.
        token: Short hash that stands for its UID.
        images: Images that the server says it has, None where it does not say.
    """

    position: int
    token: str
    images: int | None
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


@dataclass(frozen=True)
class ListedSeries:
    """One CT series of an archive, and the SOP instance UIDs of its images."""

    series: RemoteSeries
    instances: tuple[str, ...] = field(repr=False)


class DicomWeb:
    """A DICOMweb server.

    Args:
        url: Base address such as ``https://pacs.example.org/dicom-web``, without credentials.
        token: Bearer token, sent in the Authorization header and never recorded.
        timeout_s: Seconds to wait for a connection, and for each piece of an answer.
        max_bytes: Largest series to take into memory.

    Raises:
        PolicyError: The address is not usable, or the token would travel in clear.
    """

    @checked
    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        max_bytes: int = 4 * GIB,
    ) -> None:
        self.max_bytes = max_bytes
        # Boundaries and headers of the parts come on top of what they hold.
        most_bytes = max_bytes + max_bytes // 16 + MIB
        self._client = connect(url, token=token, timeout_s=timeout_s, most_bytes=most_bytes)

    def list_series(
        self,
        *,
        study_uid: str | None = None,
        patient_id: str | None = None,
        accession_number: str | None = None,
    ) -> list[RemoteSeries]:
        """List the CT series of a study, a patient or an accession number (QIDO-RS).

        Raises:
            PolicyError: Nothing was asked for; a whole archive is never listed.
            NetworkError: The server refused or could not be reached.
            NotFoundError: The server has no CT series like this.
        """
        asked = {_STUDY_UID: study_uid, _PATIENT_ID: patient_id, _ACCESSION: accession_number}
        filters = {tag: value for tag, value in asked.items() if value}
        if not filters or not _UID.fullmatch(study_uid or "0"):
            raise PolicyError(
                "A search of the server needs a study UID, a patient or an accession number.",
                remedy="Pass study_uid= (digits and dots), patient_id= or accession_number=.",
                code="dicomweb.query",
            )
        studies = self._studies(filters)
        rows = [
            {_STUDY_UID: {"Value": [study]}, **row}
            for study in studies
            for row in self._search(
                self._client.search_for_series, key=_SERIES_UID, study_instance_uid=study
            )
            if _first(row, _MODALITY) == "CT"
        ]
        found = [_series(number, row) for number, row in enumerate(rows, start=1)]
        if not found:
            raise NotFoundError(
                "The server has no CT series that matches.",
                remedy="Check the identifiers, and that this account may see the study.",
                code="dicomweb.nothing",
            )
        return found

    def list_archive(self, filters: Mapping[str, str]) -> Iterator[ListedSeries]:
        """Yield every CT series of a server, study by study, with its images (QIDO-RS).

        Args:
            filters: What to search studies for, such as ``{"StudyDate": "20240101-20241231"}``.

        Raises:
            NetworkError: The server refused or could not be reached.
            UnsupportedInputError: More studies than are taken from one search.
        """
        client, position = self._client, 0
        asked = {"search_filters": dict(filters)} if filters else {}
        for study in self._search(client.search_for_studies, key=_STUDY_UID, **asked):
            uid = str(_first(study, _STUDY_UID))
            of_study = {"study_instance_uid": uid}
            for row in self._search(client.search_for_series, key=_SERIES_UID, **of_study):
                if _first(row, _MODALITY) != "CT":
                    continue
                position += 1
                series = _series(position, {**row, _STUDY_UID: {"Value": [uid]}})
                yield ListedSeries(series, self._instances(series))

    def _studies(self, filters: Mapping[str, str]) -> list[str]:
        """Return the UIDs of matching studies; a server that ignores a filter is not believed."""
        rows = self._search(
            self._client.search_for_studies, key=_STUDY_UID, search_filters=dict(filters)
        )
        return [
            str(_first(row, _STUDY_UID))
            for row in rows
            if all(_first(row, tag) == value for tag, value in filters.items())
        ]

    def open_volume(
        self, series: RemoteSeries, *, repair: tuple[str, ...] = (), hu: HuRule = "prove"
    ) -> CTVolume:
        """Fetch a series and open it as `ct.open_volume` does, with the same proofs and errors.

        Args:
            series: One of `list_series`.
            repair: What may be repaired, see `ct.open_volume`.
            hu: How Hounsfield units are established, see `ct.open_volume`.

        Raises:
            NetworkError: The server refused, could not be reached or sent too few images.
            InputError: What it sent cannot be proved to be a CT volume.
        """
        from longllava_domains.ct.dicom.open import open_dicom

        return open_dicom(self.fetch(series), series=None, repair=repair, hu=hu)

    def open_study(
        self,
        study_uid: str,
        *,
        series: int | str | None = None,
        purpose: str | None = None,
        repair: tuple[str, ...] = (),
        hu: HuRule = "prove",
    ) -> CTVolume:
        """Fetch the CT series of a study and open the one that `ct.open_volume` would choose.

        Every series is fetched, because what decides stands in the headers of the images; name
        one of `list_series` to `open_volume` where that is too much.

        Args:
            study_uid: Study Instance UID.
            series: A row of the table, ``"soft"`` or ``"sharp"``; see `ct.open_volume`.
            purpose: What the series is for, see `ct.open_volume`.
            repair: What may be repaired, see `ct.open_volume`.
            hu: How Hounsfield units are established, see `ct.open_volume`.

        Raises:
            NetworkError: The server refused, could not be reached or sent too few images.
            InputError: What it sent cannot be proved to be a CT volume, or several are as good.
            UnsupportedInputError: The study is larger than `max_bytes`.
        """
        from longllava_domains.ct.dicom.open import open_dicom

        files: list[SourceFile] = []
        for one in self.list_series(study_uid=study_uid):
            files += self.fetch(one).files
            self._check_size(sum(file.size for file in files))
        numbered = [replace(file, position=number) for number, file in enumerate(files, start=1)]
        return open_dicom(Found(numbered), series=series, purpose=purpose, repair=repair, hu=hu)

    def fetch(self, series: RemoteSeries) -> Found:
        """Fetch a series into memory (WADO-RS), as the files that the DICOM loader takes.

        Raises:
            NetworkError: The server refused, could not be reached or sent too few images.
            DamagedInputError: What it sent is not DICOM.
            UnsupportedInputError: The series is larger than `max_bytes`.
        """
        expected = set(self._instances(series))
        files = self._retrieve(series)
        missing = len(expected - set(files)) if expected else (series.images or 1) - len(files)
        if missing > 0:
            raise NetworkError(
                f"{missing} images of the series did not arrive; {len(files)} did.",
                remedy="Try again; if it happens again, ask the PACS administrator.",
                code="dicomweb.incomplete",
                facts={"received": len(files), "missing": missing},
            )
        return Found([_in_memory(n, uid, files[uid]) for n, uid in enumerate(sorted(files), 1)])

    def _instances(self, series: RemoteSeries) -> tuple[str, ...]:
        rows = self._search(
            self._client.search_for_instances,
            study_instance_uid=series.study_uid,
            series_instance_uid=series.series_uid,
            key=_INSTANCE_UID,
        )
        return tuple(str(_first(row, _INSTANCE_UID)) for row in rows)

    def _retrieve(self, series: RemoteSeries) -> dict[str, bytes]:
        """Return the files of a series by SOP Instance UID."""
        files: dict[str, bytes] = {}
        total = 0
        with translated("fetch a series"):
            for dataset in self._client.iter_series(
                series.study_uid, series.series_uid, media_types=_AS_STORED
            ):
                if dataset.get("SeriesInstanceUID") != series.series_uid:
                    raise NetworkError(
                        "The server sent an image of another series.",
                        remedy="Ask the PACS administrator; nothing of it was used.",
                        code="dicomweb.wrong_series",
                    )
                uid = str(dataset.get("SOPInstanceUID", "")) or f"without UID {len(files)}"
                files[uid] = _encoded(dataset)
                total += len(files[uid])
                self._check_size(total)
        return files

    def _search(self, search: Any, *, key: str, **arguments: Any) -> list[Mapping[str, Any]]:
        """Page through a search until a page brings nothing new.

        Servers cap pages at sizes of their own, and some ignore the offset.
        """
        rows: dict[str, Mapping[str, Any]] = {}
        offset = 0
        with translated("search"):
            for _ in range(_MAX_PAGES):
                found = search(limit=_PAGE, offset=offset, **arguments)
                offset += len(found)
                fresh = {uid: row for row in found if (uid := _first(row, key)) and uid not in rows}
                if not fresh:
                    return list(rows.values())
                rows.update(fresh)
        raise UnsupportedInputError(
            f"The search has more than {len(rows)} results.",
            remedy="Search for one study.",
            code="dicomweb.too_many",
            facts={"results": len(rows)},
        )

    def _check_size(self, total: int) -> None:
        if total > self.max_bytes:
            raise UnsupportedInputError(
                f"The series is larger than {human_bytes(self.max_bytes)}.",
                remedy="Pass a larger max_bytes, or fetch it to a folder with the PACS's own tool.",
                code="dicomweb.too_large",
                facts={"max_bytes": self.max_bytes},
            )


def _series(position: int, row: Mapping[str, Any]) -> RemoteSeries:
    images = _first(row, _RELATED_INSTANCES)
    uid = str(_first(row, _SERIES_UID))
    return RemoteSeries(
        position=position,
        token=short_hash(uid),
        images=int(images) if str(images).isdigit() else None,
        study_uid=str(_first(row, _STUDY_UID) or ""),
        series_uid=uid,
    )


def _first(row: Mapping[str, Any], tag: str) -> Any:
    """Return the first value of an attribute in the DICOM JSON model (PS3.18 annex F)."""
    values = row.get(tag, {}).get("Value") or [None]
    return values[0]


def _encoded(dataset: Any) -> bytes:
    """Return the bytes of a received file; elements that nobody touched are written as they came."""
    import pydicom

    # A copy of the file meta inside the data set would not be written.
    tags = list(dataset.keys())
    for tag in tags:
        if tag >> 16 == _FILE_META:
            del dataset[tag]
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset)
    return buffer.getvalue()


def _in_memory(position: int, uid: str, data: bytes) -> SourceFile:
    return SourceFile(position, short_hash(uid), len(data), lambda: BytesIO(data))
