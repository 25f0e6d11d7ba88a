"""Send a draft report to a PACS, by STOW-RS or C-STORE, only when asked, with an audit line.

send("report.dcm", destination="https://pacs.example.org/dicom-web", audit="audit.jsonl")
send("report.dcm", destination="dicom://ARCHIVE@pacs.example.org:104", audit="audit.jsonl")
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from longllava_domains.arguments import checked
from longllava_domains.errors import DamagedInputError, LongLlavaError, NotFoundError, PolicyError
from longllava_domains.export.report_content import MANUFACTURER
from longllava_domains.formats.dicom.pydicom_parser import PARSE_ERRORS
from longllava_domains.formats.regular_file import BadDocumentError, read_bounded
from longllava_domains.pipelines.pacs.audit import Audit
from longllava_domains.pipelines.pacs.transports import parse_destination, transmit
from longllava_domains.privacy import silenced

_MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class SendReceipt:
    """A receipt: the report, and where it was sent.

    Attributes:
        item_sha256: SHA-256 of the file.
        model: The model that wrote the report.
        destination: Where it went, without credentials.
        status: HTTP status of STOW-RS, or DIMSE status of C-STORE; a DIMSE status other than 0
            is a warning of the archive, which stored the report nevertheless.
    """

    item_sha256: str
    model: str
    destination: str
    status: int


@checked
def send(
    path: str | Path,
    *,
    destination: str,
    audit: str | Path,
    token: str | None = None,
    calling_title: str = "LONGLLAVA",
    user: str | None = None,
    timeout_s: float = 30.0,
) -> SendReceipt:
    """Send one DICOM SR file that this package wrote.

    The audit file gets one JSON line before the transfer and one after it: when, who, the item's
    hash, model, destination and outcome; never a name, an identifier or a path of the report.

    Args:
        path: The file, as `save_dicom_sr` wrote it.
        destination: ``https://host/path`` of a DICOMweb server (STOW-RS), or
            ``dicom://TITLE@host:port`` of a storage SCP (C-STORE).
        audit: File that audit lines are appended to.
        token: Bearer token for STOW-RS, never recorded.
        calling_title: Our application entity title for C-STORE.
        user: Who sends; by default the operating system's user.
        timeout_s: Seconds to wait for the network at each step.

    Raises:
        PolicyError: The destination is not usable, or the file is not a report of ours.
        NotFoundError: The file is not there.
        DamagedInputError: The file is not DICOM.
        NetworkError: The archive refused, did not answer or could not be reached.
        OutputError: The audit line cannot be written; nothing is sent without one.
    """
    target = parse_destination(destination, calling_title=calling_title, has_token=bool(token))
    data = _bytes(Path(path))
    report, model = _report(data)
    item = hashlib.sha256(data).hexdigest()
    trail = Audit(Path(audit), user=user, item=item, model=model, destination=target.public)
    status = _audited(trail, lambda: transmit(report, target, token=token, timeout_s=timeout_s))
    return SendReceipt(item_sha256=item, model=model, destination=target.public, status=status)


def _audited(trail: Audit, transfer: Callable[[], int]) -> int:
    """Record the attempt, make it, and record how it ended, whatever ends it."""
    trail.write("started")
    outcome, code = "interrupted", None
    try:
        status = transfer()
        outcome = "sent"
        return status
    except LongLlavaError as error:
        outcome, code = "failed", error.code
        raise
    finally:
        trail.write(outcome, code=code)


def _bytes(path: Path) -> bytes:
    try:
        return read_bounded(path, _MAX_BYTES)
    except BadDocumentError:
        raise _not_ours() from None
    except OSError as error:
        raise NotFoundError(
            f"The report cannot be read ({os.strerror(error.errno or 0)}).",
            remedy="Give the file that longllava report --sr wrote, and that you may read.",
            code="input.unreadable",
        ) from None


def _report(data: bytes) -> tuple[Any, str]:
    """Return the data set and the model that wrote it."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    with silenced():
        try:
            report = pydicom.dcmread(BytesIO(data))
            ours = report.get("Manufacturer") == MANUFACTURER and report.get("Modality") == "SR"
            model = str(report.get("ManufacturerModelName", ""))
        except (*PARSE_ERRORS, InvalidDicomError):
            raise DamagedInputError(
                "The file is not readable as DICOM.",
                remedy="Save the report again with save_dicom_sr.",
                code="send.not_dicom",
            ) from None
    if not ours:
        raise _not_ours()
    return report, model


def _not_ours() -> PolicyError:
    return PolicyError(
        "The file is not a report that this package wrote.",
        remedy="Send files that save_dicom_sr wrote; use the PACS's own tools for others.",
        code="send.not_ours",
    )
