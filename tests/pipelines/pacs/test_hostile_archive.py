"""Servers that send the report on, never end, drip, or claim lengths without bound."""

import logging
import socket
import threading
from pathlib import Path
from types import ModuleType

import counting_server
import pytest
import requests

from longllava_domains.ct.dicom.dicomweb import DicomWeb
from longllava_domains.errors import LongLlavaError, NetworkError
from longllava_domains.export.dicom.sr import save_dicom_sr
from longllava_domains.formats import http_limits
from longllava_domains.pipelines.pacs.send import send
from longllava_domains.pipelines.pacs.transports import parse_destination
from longllava_domains.units import MIB


@pytest.fixture(scope="module")
def report(ct_reports: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    headers = ct_reports.read_headers(ct_reports.write_series(tmp_path_factory.mktemp("series")))
    path = tmp_path_factory.mktemp("report") / "report.dcm"
    return save_dicom_sr(ct_reports.make_report(headers), headers, path)[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_nothing_is_sent_on(
    report: Path, tmp_path: Path, status: int
) -> None:
    with counting_server.serving(counting_server.refuse) as (elsewhere, asked):
        answer = counting_server.redirect_to(elsewhere, status)
        with counting_server.serving(answer) as (root, _):
            with pytest.raises(NetworkError) as refused:
                send(report, destination=root, audit=tmp_path / "audit")
            assert refused.value.code == "network.redirect"
            with pytest.raises(NetworkError):
                DicomWeb(root).list_series(patient_id="1")
    assert asked == []


@pytest.mark.parametrize("answer", ["never_end", "drip", "drip_headers"])
def test_answers_without_end_are_given_up(
    report: Path, tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = http_limits.session

    def bounded(timeout_s: float, most_bytes: int, *, redirects: bool) -> requests.Session:
        return whole(timeout_s, min(most_bytes, 2 * MIB), redirects=redirects)

    monkeypatch.setattr(http_limits, "session", bounded)  # what is sent takes most of the time
    with counting_server.serving(getattr(counting_server, answer)) as (root, _):
        with pytest.raises(LongLlavaError) as refused:
            send(report, destination=root, audit=tmp_path / "audit", timeout_s=0.5)
        assert refused.value.code in ("network.too_long", "network.timeout")
        with pytest.raises(LongLlavaError) as refused:
            DicomWeb(root, timeout_s=0.5).list_series(patient_id="1")
        assert refused.value.code in ("network.too_long", "network.timeout")


@pytest.mark.parametrize("head", [b"\x02\0\xff\xff\xff\xf0", b"\x04\0\x7f\xff\xff\xff"])
def test_a_message_of_4_gib_is_not_received(report: Path, tmp_path: Path, head: bytes) -> None:
    sent = 0
    listener = socket.create_server(("127.0.0.1", 0))

    def rogue() -> None:
        nonlocal sent
        connection, _ = listener.accept()
        connection.recv(65536)
        try:
            connection.sendall(head)
            while sent < 2**30:
                sent += connection.send(bytes(1 << 20))
        except OSError:
            pass
        connection.close()

    thread = threading.Thread(target=rogue, daemon=True)
    thread.start()
    with pytest.raises(NetworkError):
        send(
            report,
            destination=f"dicom://ROGUE@127.0.0.1:{listener.getsockname()[1]}",
            audit=tmp_path / "audit",
            timeout_s=2,
        )
    thread.join(10)
    listener.close()
    assert sent < 64 * 2**20


def test_cleartext_to_another_machine_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for text, warned in (
        ("http://pacs.example.org/dicom", True),
        ("dicom://PACS@pacs.example.org:104", True),
        ("https://pacs.example.org/dicom", False),
        ("http://127.0.0.1/dicom", False),
        ("dicom://PACS@127.0.0.1:104", False),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            parse_destination(text, calling_title="US", has_token=False)
        assert ("unencrypted" in caplog.text) is warned, text
