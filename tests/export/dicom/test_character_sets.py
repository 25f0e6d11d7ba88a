"""Families: a patient's name garbled into a report, and dates of an older standard copied."""

import json
from typing import Any

import pydicom
import pytest

from longllava_domains.errors import OutputError
from longllava_domains.export.dicom.sr import build_dicom_sr, save_dicom_sr
from longllava_domains.export.fhir.bundle import build_fhir
from longllava_domains.provenance import LEFT_OUT_TEXT_NOTICE

NAMES = {
    "gbk": ("张伟^三", "gbk"),
    "cyrillic": ("Иванов^Пётр", "cp1251"),
    "koi8": ("Иванов^Пётр", "koi8-r"),
    "utf-8": ("Müller^Jörg", "utf-8"),
    "latin-1": ("Müller^Jörg", "latin-1"),
    "japanese": ("山田^太郎", "iso2022_jp"),
}


def with_bytes(
    ct_reports, folder, name: bytes, declared: str | None, where: str = "PatientName"
) -> Any:
    """Return headers whose text has these bytes under a declared character set, or none."""
    mark = "N" * len(name)
    changes = {"PatientName": "Smith", "StudyDescription": "Thorax", where: mark}
    files = ct_reports.write_series(folder, SpecificCharacterSet=declared, **changes)
    for file in files:
        data = file.read_bytes()
        assert mark.encode() in data
        file.write_bytes(data.replace(mark.encode(), name))
    return ct_reports.read_headers(files)


def procedure(meaning: str) -> pydicom.Dataset:
    """Return a code of a procedure."""
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99HOSPITAL", meaning
    return item


@pytest.mark.parametrize("script", NAMES)
def test_a_name_without_a_character_set_is_refused(ct_reports, tmp_path, script) -> None:
    """Family: GBK, Cyrillic, UTF-8, Japanese, even Latin-1, and no Specific Character Set."""
    text, codec = NAMES[script]
    headers = with_bytes(ct_reports, tmp_path, text.encode(codec), None)
    content = ct_reports.make_report(headers)
    with pytest.raises(OutputError) as refused:
        build_dicom_sr(content, headers)
    assert refused.value.code == "export.character_set"
    assert text.split("^")[0] not in str(refused.value)
    assert build_fhir(content, headers)  # it names no patient


@pytest.mark.parametrize(
    ("script", "declared"),
    [("utf-8", "ISO_IR 100"), ("cyrillic", "ISO_IR 6"), ("gbk", "ISO_IR 999"), ("utf-8", "UTF8")],
)
def test_a_name_that_its_character_set_contradicts_is_refused(
    ct_reports, tmp_path, script, declared
) -> None:
    """Family: UTF-8 declared as Latin-1, and sets that no standard knows."""
    text, codec = NAMES[script]
    headers = with_bytes(ct_reports, tmp_path, text.encode(codec), declared)
    with pytest.raises(OutputError) as refused:
        build_dicom_sr(ct_reports.make_report(headers), headers)
    assert refused.value.code == "export.character_set"


@pytest.mark.parametrize(
    ("script", "declared"),
    [
        ("gbk", "GB18030"),
        ("utf-8", "ISO_IR 192"),
        ("latin-1", "ISO_IR 100"),
        ("latin-1", "ISO_IR 101"),
    ],
)
def test_a_name_that_its_character_set_explains_arrives_whole(
    ct_reports, tmp_path, script, declared
) -> None:
    text, codec = NAMES[script]
    headers = with_bytes(ct_reports, tmp_path, text.encode(codec), declared)
    for document in build_dicom_sr(ct_reports.make_report(headers), headers):
        assert str(document.PatientName) == text
        assert document.SpecificCharacterSet == "ISO_IR 192"


def test_a_description_that_cannot_be_read_is_left_out_and_this_is_said(
    ct_reports, tmp_path
) -> None:
    """Family (neighbour): free text that a report may do without does not stop it."""
    name = "胸部".encode("gbk")
    headers = with_bytes(ct_reports, tmp_path, name, None, "StudyDescription")
    for document in build_dicom_sr(ct_reports.make_report(headers), headers):
        assert "StudyDescription" not in document
        assert str(document.PatientName) == "Smith"
        assert LEFT_OUT_TEXT_NOTICE in document.to_json()


def test_a_procedure_code_that_cannot_be_read_is_left_out_and_this_is_said(
    ct_reports, tmp_path
) -> None:
    name = "胸部".encode("gbk")
    mark = "N" * len(name)
    changes = {"ProcedureCodeSequence": [procedure("Thorax"), procedure(mark)]}
    changes |= {"PatientName": "Smith", "StudyDescription": "Thorax"}
    files = ct_reports.write_series(tmp_path, SpecificCharacterSet=None, **changes)
    for file in files:
        data = file.read_bytes()
        assert mark.encode() in data
        file.write_bytes(data.replace(mark.encode(), name))
    headers = ct_reports.read_headers(files)
    content = ct_reports.make_report(headers)
    for document in build_dicom_sr(content, headers):
        assert [item.CodeMeaning for item in document.ProcedureCodeSequence] == ["Thorax"]
        assert LEFT_OUT_TEXT_NOTICE in document.to_json()
    assert LEFT_OUT_TEXT_NOTICE in json.dumps(build_fhir(content, headers))


def test_nothing_is_said_where_every_text_can_be_read(ct_reports, tmp_path) -> None:
    headers = with_bytes(ct_reports, tmp_path, b"Thorax", None, "StudyDescription")
    content = ct_reports.make_report(headers)
    for document in build_dicom_sr(content, headers):
        assert LEFT_OUT_TEXT_NOTICE not in document.to_json()
    assert LEFT_OUT_TEXT_NOTICE not in json.dumps(build_fhir(content, headers))


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("1998.07.30", "10:14:00", ("19980730", "101400")),
        ("1998.07.30", "10:14:00.25", ("19980730", "101400.25")),
        ("1998-07-30", "10:14", ("19980730", "1014")),
        ("19980730", "101400", ("19980730", "101400")),
    ],
)
def test_dates_and_times_of_acr_nema_are_written_as_today(
    ct_reports, tmp_path, date, time, expected
) -> None:
    """Family: values of ACR-NEMA, which validators refuse in a new document."""
    with pydicom.config.disable_value_validation():
        files = ct_reports.write_series(tmp_path, StudyDate=date, StudyTime=time)
    headers = ct_reports.read_headers(files)
    path = save_dicom_sr(ct_reports.make_report(headers), headers, tmp_path / "r.dcm")[0]
    written = pydicom.dcmread(path)
    assert (written.StudyDate, written.StudyTime) == expected
