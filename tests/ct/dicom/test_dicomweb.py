"""A series fetched by DICOMweb is the series that was asked for, whole, or an error without names."""

import logging
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest

from longllava_domains.ct import open_volume
from longllava_domains.ct.dicom.dicomweb import DicomWeb
from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)

TOKEN = "let-me-in"  # noqa: S105 - of the test server


@pytest.fixture(scope="module")
def files(ct_reports, tmp_path_factory) -> Any:
    """Two CT series of the planted patient and one of somebody else."""
    folder = tmp_path_factory.mktemp("archive")
    found = []
    for name, changes in (("a", {}), ("b", {}), ("c", {"PatientID": "ELSE-1"})):
        (folder / name).mkdir()
        found += ct_reports.write_series(folder / name, **changes)
    return [path.read_bytes() for path in found]


@pytest.fixture
def server(pacs_servers, files) -> Any:
    with pacs_servers.dicomweb_server() as running:
        running.files = list(files)
        yield running


def header(data) -> Any:
    return pydicom.dcmread(BytesIO(data), stop_before_pixels=True)


def contents(found) -> Any:
    return [file.open().read() for file in found.files]


@pytest.mark.parametrize("page", [1000, 1], ids=["one page", "pages of one"])
def test_the_series_of_a_patient_are_listed(server, planted, page) -> None:
    server.page = page
    found = DicomWeb(server.url).list_series(patient_id=planted["PatientID"])
    assert [series.position for series in found] == [1, 2]
    assert len({series.token for series in found}) == 2


@pytest.fixture
def planted(ct_reports) -> Any:
    return ct_reports.PLANTED


def test_a_fetched_series_holds_the_stored_pixels_of_that_series_alone(server, files) -> None:
    wanted = header(files[0])
    (series,) = DicomWeb(server.url).list_series(study_uid=str(wanted.StudyInstanceUID))
    found = DicomWeb(server.url).fetch(series)
    received = {str(header(data).SOPInstanceUID): data for data in contents(found)}
    stored = {str(header(data).SOPInstanceUID): data for data in files[:4]}
    assert set(received) == set(stored)
    for uid, data in received.items():
        assert pydicom.dcmread(BytesIO(data)) == pydicom.dcmread(BytesIO(stored[uid]))
        assert len(data) == next(f.size for f in found.files if f.open().read() == data)


def test_a_fetched_series_opens_like_the_folder_it_came_from(
    pacs_servers, ct_reports, tmp_path, planted
) -> None:
    paths = ct_reports.write_series(tmp_path)
    local = open_volume(tmp_path)
    with pacs_servers.dicomweb_server() as server:
        server.files = [path.read_bytes() for path in paths]
        client = DicomWeb(server.url)
        (series,) = client.list_series(accession_number=planted["AccessionNumber"])
        remote = client.open_volume(series)
    assert np.array_equal(remote.hu, local.hu)
    assert remote.hu[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert np.array_equal(remote.affine_ras_mm, local.affine_ras_mm)
    assert remote.source.instances == local.source.instances
    assert remote.source.source_headers()[0].PatientID == planted["PatientID"]


def test_a_study_opens_as_its_folder_would(pacs_servers, dicom, tmp_path) -> None:
    """Family: the automatic choice, for what a server holds too."""
    soft, sharp = dicom.datasets(), dicom.datasets(dicom.phantom(seed=2), series="2")
    for image in sharp:
        image.ConvolutionKernel = "B70f"
    dicom.write(soft, tmp_path, "a")
    dicom.write(sharp, tmp_path, "b")
    with pacs_servers.dicomweb_server() as server:
        server.files = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
        client = DicomWeb(server.url)
        chosen = client.open_study(f"{dicom.ROOT}.0")
        other = client.open_study(f"{dicom.ROOT}.0", series="sharp", purpose="chest")
    assert np.array_equal(chosen.hu, dicom.phantom())
    assert chosen.report.codes["choice.kernel"] == 1
    assert np.array_equal(other.hu, dicom.phantom(seed=2))


def test_files_are_asked_for_as_they_are_stored(server, files, monkeypatch) -> None:
    client = DicomWeb(server.url)
    (series,) = client.list_series(study_uid=str(header(files[0]).StudyInstanceUID))
    sent = []
    session = client._client._session
    get = session.get
    monkeypatch.setattr(session, "get", lambda **kw: sent.append(kw["headers"]) or get(**kw))
    client.fetch(series)
    assert "transfer-syntax=*" in sent[-1]["Accept"].replace(" ", "")


def test_a_server_that_ignores_filters_is_not_believed(server, planted) -> None:
    server.ignore_filters = True
    found = DicomWeb(server.url).list_series(patient_id=planted["PatientID"])
    assert len(found) == 2
    with pytest.raises(NotFoundError):
        DicomWeb(server.url).list_series(patient_id="NOBODY")


def test_a_server_that_ignores_offsets_ends_the_search(server, planted) -> None:
    server.ignore_offset = True
    assert len(DicomWeb(server.url).list_series(patient_id=planted["PatientID"])) == 2


def test_a_series_that_arrives_incomplete_is_refused(server, files) -> None:
    client = DicomWeb(server.url)
    (series,) = client.list_series(study_uid=str(header(files[0]).StudyInstanceUID))
    server.lose = 1
    with pytest.raises(NetworkError) as caught:
        client.fetch(series)
    assert caught.value.code == "dicomweb.incomplete"
    assert caught.value.facts == {"received": 3, "missing": 1}


def test_a_series_beyond_the_limit_is_refused(server, files) -> None:
    client = DicomWeb(server.url, max_bytes=2000)
    (series,) = client.list_series(study_uid=str(header(files[0]).StudyInstanceUID))
    with pytest.raises(UnsupportedInputError) as caught:
        client.fetch(series)
    assert caught.value.code == "dicomweb.too_large"


@pytest.mark.parametrize("query", [{}, {"study_uid": "../../etc"}, {"patient_id": ""}])
def test_a_search_without_a_key_is_refused_before_any_request(server, query) -> None:
    with pytest.raises(PolicyError):
        DicomWeb(server.url).list_series(**query)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("ftp://pacs/", None),
        ("https://user:secret@pacs/", None),
        ("https://pacs/?key=secret", None),
        ("https://pacs:port/", None),
        ("pacs", None),
        ("http://pacs.example.org/", "secret"),
    ],
)
def test_addresses_that_hold_or_leak_secrets_are_refused(url, token) -> None:
    with pytest.raises(PolicyError) as caught:
        DicomWeb(url, token=token)
    assert "secret" not in str(caught.value)


def test_a_token_is_sent(server, planted) -> None:
    server.token = TOKEN
    with pytest.raises(NetworkError, match="401"):
        DicomWeb(server.url).list_series(patient_id=planted["PatientID"])
    found = DicomWeb(server.url, token=TOKEN).list_series(patient_id=planted["PatientID"])
    assert len(found) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_refusals_carry_their_status_and_a_remedy(server, status) -> None:
    server.status = status
    with pytest.raises(NetworkError) as caught:
        DicomWeb(server.url).list_series(study_uid="1.2.3")
    assert caught.value.code == "network.refused"
    assert caught.value.facts == {"http_status": status}
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'[{"0020000D": 5}]', b"\xff\xfe"])
def test_answers_that_are_not_dicomweb_are_damage(server, body) -> None:
    server.body = body
    with pytest.raises(DamagedInputError) as caught:
        DicomWeb(server.url).list_series(study_uid="1.2.3")
    assert caught.value.code == "dicomweb.answer"


def test_a_silent_server_is_a_timeout(server) -> None:
    server.delay_s = 2.0
    with pytest.raises(NetworkError) as caught:
        DicomWeb(server.url, timeout_s=0.2).list_series(study_uid="1.2.3")
    assert caught.value.code == "network.timeout"


def test_nobody_listening_is_unreachable() -> None:
    with pytest.raises(NetworkError) as caught:
        DicomWeb("http://127.0.0.1:9/dicom-web", timeout_s=1).list_series(study_uid="1.2.3")
    assert caught.value.code == "network.unreachable"


def test_no_name_id_or_uid_reaches_logs_errors_or_reprs(
    server, files, planted, caplog, recwarn
) -> None:
    caplog.set_level(logging.DEBUG)
    client = DicomWeb(server.url)
    found = client.list_series(patient_id=planted["PatientID"])
    fetched = client.fetch(found[0])
    server.lose = 2
    said = [repr(found), repr(fetched), str(client)]
    for break_it in ({}, {"status": 404}, {"status": 0, "body": b"{"}):
        for name, value in break_it.items():
            setattr(server, name, value)
        with pytest.raises(LongLlavaError) as caught:
            client.fetch(found[0])
        said.append(f"{caught.value} {caught.value.facts} {caught.value.__cause__}")
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    said += [caplog.text, *(str(warning.message) for warning in recwarn)]
    everything = " ".join(said)
    dataset = header(files[0])
    hidden = [str(dataset[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID")]
    hidden += [value for value in planted.values() if len(value) > 1] + ["Plantagenet"]
    assert [value for value in hidden if value in everything] == []
