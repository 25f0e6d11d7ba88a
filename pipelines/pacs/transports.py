"""Transports of a report: STOW-RS (PS3.18 10.5) and C-STORE (PS3.4 annex B)."""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from longllava_domains.errors import NetworkError, PolicyError
from longllava_domains.formats.dicom.dicomweb_http import (
    LOCAL_HOSTS,
    checked_url,
    connect,
    translated,
    warn_of_cleartext,
)
from longllava_domains.formats.http_limits import within
from longllava_domains.privacy import silenced

_TITLE: Final = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")  # PS3.5 AE: no backslash
_STEPS: Final = 4  # connect, associate, store, release
_MOST_ANSWER_BYTES: Final = 1024 * 1024
_SUCCESS, _WARNINGS = 0x0000, frozenset({0x0001, 0xB000, 0xB006, 0xB007})


@dataclass(frozen=True)
class StorageScp:
    """A storage SCP: host, port, its title and ours."""

    host: str
    port: int
    title: str
    calling_title: str

    @property
    def public(self) -> str:
        """The destination as an audit line names it."""
        return f"dicom://{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class DicomWebServer:
    """The base address of a DICOMweb server."""

    url: str

    @property
    def public(self) -> str:
        """The destination as an audit line names it."""
        return self.url


Destination = StorageScp | DicomWebServer


def parse_destination(text: str, *, calling_title: str, has_token: bool) -> Destination:
    """Read ``https://host/path`` or ``dicom://TITLE@host:port``.

    Raises:
        PolicyError: It is neither, holds credentials, or would carry a token unencrypted.
    """
    scheme = text.partition(":")[0].lower()
    if scheme not in ("https", "http", "dicom"):
        raise PolicyError(
            "The destination is neither a DICOMweb server nor a storage SCP.",
            remedy="Give it as https://host/path (STOW-RS) or as dicom://TITLE@host:port (C-STORE).",
            code="send.destination",
        )
    if scheme != "dicom":
        checked_url(text, has_token=has_token)
        return DicomWebServer(text.rstrip("/"))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    title = unquote(parts.username or "")
    titles_fit = _TITLE.fullmatch(title) and _TITLE.fullmatch(calling_title)
    extra = parts.password or parts.path.strip("/") or parts.query or parts.fragment
    if not (parts.hostname and port and titles_fit) or extra:
        raise PolicyError(
            "The destination is not a storage SCP.",
            remedy="Give it as dicom://TITLE@host:port; titles have 1 to 16 characters.",
            code="send.destination",
        )
    if parts.hostname not in LOCAL_HOSTS:
        warn_of_cleartext()
    return StorageScp(parts.hostname, port, title, calling_title)


def transmit(report: Any, target: Destination, *, token: str | None, timeout_s: float) -> int:
    """Send a report and return the status of the archive that stored it.

    Raises:
        NetworkError: The archive refused, did not answer or could not be reached.
    """
    if isinstance(target, DicomWebServer):
        return _stow(report, target.url, token, timeout_s)
    return _c_store(report, target, timeout_s)


def _stow(report: Any, url: str, token: str | None, timeout_s: float) -> int:
    statuses: list[int] = []

    def note(response: Any, *_: object, **__: object) -> None:
        statuses.append(response.status_code)

    client = connect(url, token=token, timeout_s=timeout_s, callback=note)
    with translated("store the report"):
        answer = client.store_instances([report])
    failed = answer.get("FailedSOPSequence") or []
    if failed or statuses[-1] != 200:
        reason = int(failed[0].get("FailureReason", 0)) if failed else 0
        raise NetworkError(
            f"The server answered HTTP status {statuses[-1]} but did not store the report.",
            remedy="Ask the PACS administrator; the failure reason is in PS3.18 table 10.5.3-2.",
            code="send.not_stored",
            facts={"http_status": statuses[-1], "failure_reason": reason},
        )
    return statuses[-1]


def _c_store(report: Any, target: StorageScp, timeout_s: float) -> int:
    with silenced(everywhere="pynetdicom"):
        # Its timeouts are for each step, and an archive may send a byte at each.
        status = within(_STEPS * timeout_s, lambda: _stored(report, target, timeout_s))
    if status is None:
        raise NetworkError(
            "The archive closed the connection or did not answer the C-STORE request in time.",
            remedy="Try again, or pass a longer timeout; then check whether the archive has it.",
            code="network.timeout",
        )
    if status != _SUCCESS and status not in _WARNINGS:
        raise NetworkError(
            f"The archive did not store the report: C-STORE status 0x{status:04X}.",
            remedy="Ask the PACS administrator; status codes are in PS3.4 table B.2-1.",
            code="send.not_stored",
            facts={"dimse_status": status},
        )
    return int(status)


def _stored(report: Any, target: StorageScp, timeout_s: float) -> int | None:
    """Associate, send and release; return the archive's status, None without one."""
    association = _associate(report, target, timeout_s)
    try:
        status: int | None = association.send_c_store(report).get("Status")
        return status
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return None
    finally:
        if association.is_established:
            association.release()


def _bound_answers(event: Any) -> None:
    """Let no message of the archive claim more than an answer can need; lengths go up to 4 GiB."""
    connection = event.assoc.dul.socket
    receive = connection.recv

    def bounded(count: int) -> Any:
        if count > _MOST_ANSWER_BYTES:
            raise OSError  # pynetdicom closes the connection
        return receive(count)

    connection.recv = bounded


def _associate(report: Any, target: StorageScp, timeout_s: float) -> Any:
    """Open an association that takes this kind of report in the syntax it is encoded in."""
    from pynetdicom import AE, evt

    entity = AE(ae_title=target.calling_title)
    entity.connection_timeout = entity.acse_timeout = timeout_s
    entity.dimse_timeout = entity.network_timeout = timeout_s
    entity.add_requested_context(report.SOPClassUID, report.file_meta.TransferSyntaxUID)
    association = entity.associate(
        target.host,
        target.port,
        ae_title=target.title,
        evt_handlers=[(evt.EVT_CONN_OPEN, _bound_answers)],
    )
    if association.is_established:
        return association
    if association.is_rejected:
        raise _rejected(association)
    if association.rejected_contexts:
        raise NetworkError(
            "The archive does not take structured reports of this kind.",
            remedy="Ask the PACS administrator to enable the SR storage classes.",
            code="send.not_accepted",
        )
    raise NetworkError(
        "The archive could not be reached or did not answer.",
        remedy="Check host, port and network, and that the archive is running.",
        code="network.unreachable",
    )


def _rejected(association: Any) -> NetworkError:
    """Explain a rejected association (PS3.8 table 9-21)."""
    answer = association.acceptor.primitive
    source, reason = answer.result_source, answer.diagnostic
    remedies = {
        (1, 3): "Have this calling title registered at the archive, or pass calling_title=.",
        (1, 7): "Check the archive's title in the destination.",
    }
    return NetworkError(
        f"The archive rejected the association (source {source}, reason {reason}).",
        remedy=remedies.get((source, reason), "Try again later, or ask the PACS administrator."),
        code="send.rejected",
        facts={"source": source, "reason": reason},
    )
