"""No SR file is written in part, for the wrong patient, or with more of the header than is listed."""

import json
from pathlib import Path
from typing import Never

import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from longllava_domains.errors import OutputError
from longllava_domains.export.dicom.sr import build_dicom_sr, save_dicom_sr
from longllava_domains.export.fhir.bundle import build_fhir
from longllava_domains.export.report_json import report_json


def test_files_are_readable_by_their_owner_alone(report, headers, tmp_path) -> None:
    for path in save_dicom_sr(report, headers, tmp_path / "report.dcm"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.dcm", "report_findings.dcm"]


def test_a_file_that_exists_is_kept_and_its_neighbour_not_written(
    report, headers, tmp_path
) -> None:
    (tmp_path / "report_findings.dcm").write_bytes(b"kept")
    with pytest.raises(OutputError) as caught:
        save_dicom_sr(report, headers, tmp_path / "report.dcm")
    assert caught.value.code == "export.exists"
    assert [p.name for p in tmp_path.iterdir()] == ["report_findings.dcm"]
    assert len(save_dicom_sr(report, headers, tmp_path / "report.dcm", overwrite=True)) == 2


@pytest.mark.parametrize("nothing", [None, []])
def test_a_volume_without_dicom_headers_is_refused(report, nothing) -> None:
    with pytest.raises(OutputError) as caught:
        build_dicom_sr(report, nothing)
    assert caught.value.code == "export.no_dicom_source"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID"])
def test_over_anonymised_headers_are_refused(report, headers, keyword) -> None:
    for header in headers:
        setattr(header, keyword, "")
    with pytest.raises(OutputError) as caught:
        build_dicom_sr(report, headers)
    assert caught.value.code == "export.no_identifiers"


def test_two_patients_are_refused_without_naming_them(report, headers, planted) -> None:
    headers[2].PatientID = "OTHER-PLANT"
    with pytest.raises(OutputError) as caught:
        build_dicom_sr(report, headers)
    assert caught.value.code == "export.mixed_source"
    assert "PLANT" not in str(caught.value)


def test_a_source_that_lost_a_cited_slice_is_refused(report, headers) -> None:
    with pytest.raises(OutputError) as caught:
        build_dicom_sr(report, headers[:-1])
    assert caught.value.code == "export.source_changed"
    assert caught.value.facts == {"cited": 4, "missing": 1}


def test_a_demonstration_result_is_refused_unless_allowed(
    report_factory, headers, tmp_path
) -> None:
    content = report_factory(headers, demo=True)
    with pytest.raises(OutputError) as caught:
        save_dicom_sr(content, headers, tmp_path / "demo.dcm")
    assert caught.value.code == "export.demo"
    assert not list(tmp_path.iterdir())
    assert save_dicom_sr(content, headers, tmp_path / "demo.dcm", allow_demo=True)


def test_a_folder_that_is_not_there_is_refused_without_its_name(report, headers, tmp_path) -> None:
    with pytest.raises(OutputError) as caught:
        save_dicom_sr(report, headers, tmp_path / "Plantagenet" / "report.dcm")
    assert caught.value.code == "export.write"
    assert "Plantagenet" not in str(caught.value)


def test_invalid_identifiers_are_copied_as_they_are_and_never_shown(
    report_factory, series_factory, tmp_path, caplog, recwarn
) -> None:
    with pydicom.config.disable_value_validation():
        headers = series_factory(count=1, PatientBirthDate="PLANTED-DATE", PatientSex="plant sex")
    content = report_factory(headers)
    path = save_dicom_sr(content, headers, tmp_path / "r.dcm")[0]
    assert b"PLANTED-DATE" in Path(path).read_bytes()
    assert "PLANTED" not in caplog.text
    assert not [w for w in recwarn if "PLANTED" in str(w.message)]


def test_an_unreadable_identifier_is_refused_without_its_value(report, headers) -> None:
    class Hostile(dict):
        def get(self, keyword, default=None) -> Never:
            raise ValueError("invalid value 'Plantagenet'")

    with pytest.raises(OutputError) as caught:
        build_dicom_sr(report, [Hostile()])
    assert caught.value.code == "export.damaged_source"
    assert caught.value.__cause__ is None
    assert "Plantagenet" not in str(caught.value)


def test_a_name_that_its_character_set_cannot_hold_is_not_filed_in_part(
    ct_reports, tmp_path
) -> None:
    files = ct_reports.write_series(
        tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName="Muller"
    )
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"Muller", "Müller".encode("latin-1")))
    headers = ct_reports.read_headers(files)
    with pytest.raises(OutputError) as caught:
        build_dicom_sr(ct_reports.make_report(headers), headers)
    assert caught.value.code == "export.damaged_source"
    assert "ller" not in str(caught.value)


TAKEN = {
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "ReferringPhysicianName", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "StudyDescription", "TimezoneOffsetFromUTC"),
}
TEXT_VRS = {
    "AE",
    "AS",
    "CS",
    "DA",
    "DT",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UI",
    "UR",
    "UT",
}
CITED = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"}


def test_of_all_text_in_the_headers_only_the_listed_attributes_are_taken(
    report_factory, series_factory, tmp_path
) -> None:
    (header,) = series_factory(count=1)
    content = report_factory([header], abnormalities=())
    marks = {}
    with pydicom.config.disable_value_validation():
        for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
            taken_apart = tag < 0x00080005 or keyword in {*CITED, "SpecificCharacterSet"}
            if vr in TEXT_VRS and keyword and not retired and not taken_apart:
                marks[keyword] = f"PLANT{len(marks):04d}"
                setattr(header, keyword, marks[keyword])
    assert len(marks) > 1000
    (path,) = save_dicom_sr(content, [header], tmp_path / "r.dcm")
    in_sr = path.read_bytes().decode("utf-8", "replace")
    in_fhir = json.dumps(build_fhir(content, [header]))
    assert {keyword for keyword, mark in marks.items() if mark in in_sr} == TAKEN
    in_bundle = {keyword for keyword, mark in marks.items() if mark in in_fhir}
    assert in_bundle == {"PatientID", "IssuerOfPatientID", "AccessionNumber"}
    assert "PLANT" not in json.dumps(report_json(content))
