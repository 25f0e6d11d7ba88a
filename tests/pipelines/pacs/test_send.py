"""A report reaches the archive whole, every attempt is on record, and no one is named anywhere."""

import json
import logging
from hashlib import sha256
from io import BytesIO
from typing import Any, Never

import pydicom
import pytest
from pynetdicom.sop_class import CTImageStorage

from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    OutputError,
    PolicyError,
)
from longllava_domains.export.dicom.sr import save_dicom_sr
from longllava_domains.pipelines.pacs.send import send

TOKEN = "let-me-in"  # noqa: S105 - of the test server


@pytest.fixture(scope="module")
def images(ct_reports, tmp_path_factory) -> Any:
    return ct_reports.write_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def reports(ct_reports, images, tmp_path_factory) -> Any:
    """Basic Text and TID 1500 reports of the planted patient."""
    headers = ct_reports.read_headers(images)
    path = tmp_path_factory.mktemp("Plantagenet") / "report.dcm"
    return save_dicom_sr(ct_reports.make_report(headers), headers, path)


@pytest.fixture
def web(pacs_servers) -> Any:
    with pacs_servers.dicomweb_server() as server:
        yield server


@pytest.fixture
def scp(pacs_servers) -> Any:
    with pacs_servers.storage_scp() as server:
        yield server


@pytest.fixture
def audit(tmp_path) -> Any:
    return tmp_path / "audit.jsonl"


def lines(audit) -> Any:
    return [json.loads(line) for line in audit.read_text("ascii").splitlines()]


def address(scp, title="ARCHIVE") -> str:
    return f"dicom://{title}@127.0.0.1:{scp.port}"


def same(data, path) -> Any:
    return pydicom.dcmread(BytesIO(data)) == pydicom.dcmread(path)


def test_stow_stores_the_report_whole(web, reports, audit) -> None:
    for path in reports:
        assert send(path, destination=web.url, audit=audit).status == 200
    assert all(same(data, path) for data, path in zip(web.stored, reports, strict=True))


def test_c_store_stores_the_report_whole(scp, reports, audit) -> None:
    for path in reports:
        assert send(path, destination=address(scp), audit=audit, user="op").status == 0
    assert all(same(data, path) for data, path in zip(scp.received, reports, strict=True))
    assert scp.callers == ["LONGLLAVA", "LONGLLAVA"]


def test_the_audit_says_who_when_what_and_where(web, reports, audit) -> None:
    receipt = send(reports[0], destination=web.url, audit=audit, user="operator 7")
    started, sent = lines(audit)
    digest = sha256(reports[0].read_bytes()).hexdigest()
    assert receipt.item_sha256 == digest
    assert (started["event"], sent["event"]) == ("started", "sent")
    assert started["time"] <= sent["time"]
    for line in (started, sent):
        assert line["time"].endswith("+00:00")
        assert line["user"] == "operator 7"
        assert line["item_sha256"] == digest
        assert line["model"] == "FreedomIntelligence/LongLLaVAMed-9B"
        assert line["destination"] == web.url
        assert line["code"] is None
    assert audit.stat().st_mode & 0o777 == 0o600


def test_audit_lines_are_appended(web, reports, audit) -> None:
    audit.write_text('{"event": "before"}\n')
    send(reports[0], destination=web.url, audit=audit)
    assert [line["event"] for line in lines(audit)] == ["before", "started", "sent"]


def test_nothing_is_sent_without_an_audit_line(web, reports, tmp_path) -> None:
    with pytest.raises(OutputError) as caught:
        send(reports[0], destination=web.url, audit=tmp_path / "absent" / "audit.jsonl")
    assert caught.value.code == "send.audit"
    assert web.stored == []


def test_an_interruption_is_on_record(web, reports, audit, monkeypatch) -> None:
    def interrupt(*_args, **_kwargs) -> Never:
        raise KeyboardInterrupt

    monkeypatch.setattr("longllava_domains.pipelines.pacs.send.transmit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        send(reports[0], destination=web.url, audit=audit)
    assert lines(audit)[-1]["event"] == "interrupted"


FAILED = {
    "00081198": {
        "vr": "SQ",
        "Value": [{"00081197": {"vr": "US", "Value": [0x0110]}}],
    }
}


@pytest.mark.parametrize(
    ("stow", "facts"),
    [
        ((200, FAILED), {"http_status": 200, "failure_reason": 0x0110}),
        ((202, {}), {"http_status": 202, "failure_reason": 0}),
    ],
)
def test_a_stow_answer_that_stored_nothing_is_a_failure(web, reports, audit, stow, facts) -> None:
    web.stow = stow
    with pytest.raises(NetworkError) as caught:
        send(reports[0], destination=web.url, audit=audit)
    assert (caught.value.code, caught.value.facts) == ("send.not_stored", facts)
    assert (lines(audit)[-1]["event"], lines(audit)[-1]["code"]) == ("failed", "send.not_stored")


@pytest.mark.parametrize("status", [400, 409, 503])
def test_http_refusals_carry_their_status(web, reports, audit, status) -> None:
    web.status = status
    with pytest.raises(NetworkError) as caught:
        send(reports[0], destination=web.url, audit=audit)
    assert caught.value.facts == {"http_status": status}
    assert len(web.requests) == 1


def test_a_token_is_sent_and_never_recorded(web, reports, audit) -> None:
    web.token = TOKEN
    with pytest.raises(NetworkError, match="401"):
        send(reports[0], destination=web.url, audit=audit)
    receipt = send(reports[0], destination=web.url, audit=audit, token=TOKEN)
    assert TOKEN not in audit.read_text() + repr(receipt)


@pytest.mark.parametrize(("status", "stored"), [(0xB000, True), (0xA700, False), (0xC123, False)])
def test_dimse_warnings_are_kept_and_failures_raised(scp, reports, audit, status, stored) -> None:
    scp.status = status
    if stored:
        assert send(reports[0], destination=address(scp), audit=audit).status == status
    else:
        with pytest.raises(NetworkError) as caught:
            send(reports[0], destination=address(scp), audit=audit)
        assert caught.value.facts == {"dimse_status": status}


def test_an_unknown_called_title_is_named_as_the_cause(scp, reports, audit) -> None:
    with pytest.raises(NetworkError) as caught:
        send(reports[0], destination=address(scp, "WRONG"), audit=audit)
    assert caught.value.code == "send.rejected"
    assert caught.value.facts == {"source": 1, "reason": 7}
    assert "title in the destination" in caught.value.remedy


def test_an_archive_without_sr_classes_is_named_as_the_cause(pacs_servers, reports, audit) -> None:
    images_only = pacs_servers.storage_scp(sop_class=CTImageStorage)
    with images_only as scp, pytest.raises(NetworkError) as caught:
        send(reports[0], destination=address(scp), audit=audit)
    assert caught.value.code == "send.not_accepted"


def test_nobody_listening_is_unreachable(reports, audit) -> None:
    for destination in ("dicom://A@127.0.0.1:9", "http://127.0.0.1:9/dicom-web"):
        with pytest.raises(NetworkError) as caught:
            send(reports[0], destination=destination, audit=audit, timeout_s=1)
        assert caught.value.code == "network.unreachable"


def test_a_silent_archive_is_a_timeout(scp, reports, audit, monkeypatch) -> None:
    import time

    monkeypatch.setattr(scp, "received", type("Slow", (), {"append": lambda *_: time.sleep(1.0)})())
    with pytest.raises(NetworkError) as caught:
        send(reports[0], destination=address(scp), audit=audit, timeout_s=0.3)
    assert caught.value.code == "network.timeout"


@pytest.mark.parametrize(
    "destination",
    [
        "dicom://127.0.0.1:104",
        "dicom://ARCHIVE@127.0.0.1",
        "dicom://SEVENTEEN-LETTERS@127.0.0.1:104",
        "dicom://ARCHIVE:secret@127.0.0.1:104",
        "dicom://ARCHIVE@127.0.0.1:99999",
        "https://user:secret@pacs/",
        "file:///etc/passwd",
        "",
    ],
)
def test_destinations_that_are_none_are_refused_before_anything_is_written(
    reports, audit, destination
) -> None:
    with pytest.raises(PolicyError) as caught:
        send(reports[0], destination=destination, audit=audit)
    assert "secret" not in str(caught.value)
    assert not audit.exists()


def test_only_reports_of_ours_are_sent(web, images, audit, tmp_path) -> None:
    (tmp_path / "text").write_text("not DICOM")
    for path, error in (
        (images[0], PolicyError),
        (tmp_path / "text", DamagedInputError),
        (tmp_path / "Plantagenet.dcm", NotFoundError),
    ):
        with pytest.raises(error) as caught:
            send(path, destination=web.url, audit=audit)
        assert "Plantagenet" not in str(caught.value)
    assert web.requests == []


def test_no_name_id_or_uid_reaches_audit_logs_or_errors(
    web, scp, reports, audit, ct_reports, caplog, recwarn
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for target in (web.url, address(scp)):
        said.append(repr(send(reports[0], destination=target, audit=audit)))
    scp.status, web.stow = 0xA700, (200, FAILED)
    for target in (web.url, address(scp), address(scp, "WRONG"), "dicom://A@127.0.0.1:9"):
        with pytest.raises(LongLlavaError) as caught:
            send(reports[0], destination=target, audit=audit, timeout_s=2)
        said.append(f"{caught.value} {caught.value.facts}")
    everything = " ".join([*said, caplog.text, audit.read_text(), *map(str, recwarn)])
    report = pydicom.dcmread(reports[0])
    hidden = [str(report[name].value) for name in ("StudyInstanceUID", "SOPInstanceUID")]
    hidden += [value for value in ct_reports.PLANTED.values() if len(value) > 1]
    assert [value for value in [*hidden, "Plantagenet"] if value in everything] == []
