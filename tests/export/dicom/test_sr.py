"""The SR files are standard, say what the report says, and name their source."""

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pydicom
import pytest
from highdicom import sr
from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage

from longllava_domains.export.codes import CT_RATE_CODES, PRIVATE_SCHEME
from longllava_domains.export.dicom.sr import build_dicom_sr, save_dicom_sr
from longllava_domains.export.fhir.bundle import build_fhir
from longllava_domains.export.report_content import AbnormalityFinding
from longllava_domains.provenance import RESEARCH_NOTICE

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None,
    reason="dciodvfy (Debian's dicom3tools) is not installed; every other SR test ran",
)


def walk(item) -> Any:
    """Yield every content item below and including this one."""
    yield item
    for child in item.get("ContentSequence", ()):
        yield from walk(child)


def texts(document) -> Any:
    return [item.TextValue for item in walk(document) if item.ValueType == "TEXT"]


@pytest.fixture(scope="module")
def saved(ct_reports, series, tmp_path_factory) -> Any:
    """Both documents of the full report, written and read again; not to be changed."""
    headers = ct_reports.read_headers(series)
    path = tmp_path_factory.mktemp("saved") / "r.dcm"
    paths = save_dicom_sr(ct_reports.make_report(headers), headers, path)
    return [pydicom.dcmread(path) for path in paths]


def dciodvfy_errors(path) -> Any:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]


@needs_dciodvfy
def test_both_documents_pass_dciodvfy_without_errors(report, headers, tmp_path) -> None:
    for path in save_dicom_sr(report, headers, tmp_path / "report.dcm"):
        assert dciodvfy_errors(path) == []


@needs_dciodvfy
def test_dciodvfy_would_report_a_broken_document(report, headers, tmp_path) -> None:
    path = save_dicom_sr(report, headers, tmp_path / "report.dcm")[0]
    document = pydicom.dcmread(path)
    del document.CompletionFlag
    document.save_as(path)
    assert dciodvfy_errors(path)


@needs_dciodvfy
@pytest.mark.parametrize("slices", [None, ()], ids=["slices", "nothing to cite"])
def test_a_bare_report_and_empty_identifiers_pass_dciodvfy(
    report_factory, series_factory, planted, tmp_path, slices
) -> None:
    headers = series_factory(count=1, **dict.fromkeys(planted))
    bare = {"findings": "", "adapter": "", "model_revision": ""}
    bare["abnormalities"] = (AbnormalityFinding("Emphysema", 1.0),)
    if slices is not None:
        bare["slices"] = slices
    for path in save_dicom_sr(report_factory(headers, **bare), headers, tmp_path / "report.dcm"):
        assert dciodvfy_errors(path) == []


def test_the_documents_are_drafts_in_a_new_series_of_the_source_study(saved, headers) -> None:
    assert [d.SOPClassUID for d in saved] == [BasicTextSRStorage, ComprehensiveSRStorage]
    assert len({d.SOPInstanceUID for d in saved}) == 2
    for document in saved:
        flags = (document.CompletionFlag, document.VerificationFlag, document.PreliminaryFlag)
        assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
        assert document.StudyInstanceUID == headers[0].StudyInstanceUID
        assert document.SeriesInstanceUID == saved[0].SeriesInstanceUID
        assert document.SeriesInstanceUID != headers[0].SeriesInstanceUID
        assert "research use only" in document.SeriesDescription


def test_patient_and_study_are_the_source_s_and_other_header_text_stays_behind(
    saved, planted
) -> None:
    for document in saved:
        for keyword, value in planted.items():
            if keyword != "InstitutionName":
                assert str(document.get(keyword)) == value, keyword
        assert planted["InstitutionName"] not in str(document)


def test_every_save_makes_new_uids(report, headers) -> None:
    short = replace(report, abnormalities=())
    first, second = (build_dicom_sr(short, headers)[0] for _ in range(2))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_notices_come_before_the_report_s_text(saved, report) -> None:
    text = texts(saved[0])
    assert RESEARCH_NOTICE in " ".join(text[:4])
    findings = text.index(report.findings)
    assert RESEARCH_NOTICE in text[findings - 1]
    assert report.impression in text
    assert RESEARCH_NOTICE in texts(saved[1])


def test_a_text_without_sections_is_kept_whole(report_factory, headers) -> None:
    content = report_factory(headers, findings="", impression="Only this part was parsed.")
    assert content.text in texts(build_dicom_sr(content, headers)[0])


def test_characters_that_dicom_cannot_hold_are_dropped(report_factory, headers, tmp_path) -> None:
    content = report_factory(headers, text="A\x00b\x1b[0m \ud800c\nd", findings="")
    path = save_dicom_sr(content, headers, tmp_path / "r.dcm")[0]
    assert "Ab[0m c\nd" in texts(pydicom.dcmread(path))


def test_every_slice_shown_is_cited_and_listed_as_evidence(saved, headers) -> None:
    shown = {str(header.SOPInstanceUID) for header in headers}
    references = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in walk(saved[0])
        if item.ValueType == "IMAGE" and item.RelationshipType == "CONTAINS"
    ]
    assert set(references) == shown
    assert len(references) == len(shown)
    assert {row[2] for row in evidence(saved[0])} == shown
    assert {row[2] for row in evidence(saved[1])} == {str(h.SOPInstanceUID) for h in headers[1:3]}


def evidence(document) -> Any:
    return [
        (study.StudyInstanceUID, series.SeriesInstanceUID, reference.ReferencedSOPInstanceUID)
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    ]


def test_frames_of_a_multi_frame_image_are_cited_by_number(report_factory, series_factory) -> None:
    headers = series_factory(count=1)
    (place,) = report_factory(headers).slices
    frames = [replace(place, index=n, instances=(f"{place.instances[0]}.{n + 1}",)) for n in (0, 4)]
    finding = AbnormalityFinding("Emphysema", 1.0, cited_slices=(frames[1],))
    content = report_factory(headers, slices=tuple(frames), abnormalities=(finding,))
    text, findings = build_dicom_sr(content, headers)
    references = [
        (item.RelationshipType, item.ReferencedSOPSequence[0].ReferencedFrameNumber)
        for item in [*walk(text), *walk(findings)]
        if item.ValueType == "IMAGE"
    ]
    assert references == [("INFERRED FROM", 5), ("CONTAINS", [1, 5]), ("CONTAINS", 5)]
    (row,) = evidence(text)
    assert row[2] == headers[0].SOPInstanceUID
    (study,) = [
        entry["resource"]
        for entry in build_fhir(content, headers)["entry"]
        if entry["resource"]["resourceType"] == "ImagingStudy"
    ]
    assert study["series"][0]["instance"][0]["title"] == "frames 1, 5"


def test_positive_findings_are_inferred_from_their_cited_slices(saved, headers) -> None:
    item = next(
        i for i in walk(saved[0]) if i.ValueType == "TEXT" and "Medical material" in i.TextValue
    )
    cited = [c.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for c in item.ContentSequence]
    assert cited == [header.SOPInstanceUID for header in headers[1:3]]
    assert {child.RelationshipType for child in item.ContentSequence} == {"INFERRED FROM"}


def test_the_model_is_the_author_and_the_observing_device(saved, report) -> None:
    for document in saved:
        assert document.AuthorObserverSequence[0].ObserverType == "DEV"
        assert document.AuthorObserverSequence[0].ManufacturerModelName == report.model
        assert f"{report.model} revision a1b2c3 with adapter sha256:0123abcd" in texts(document)
        assert document.Manufacturer == "longllava-domains"


def test_highdicom_reads_the_evaluations_back(saved, report) -> None:
    groups = sr.ComprehensiveSR.from_dataset(saved[1]).content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == list(CT_RATE_CODES)
    for group, finding in zip(groups, report.abnormalities, strict=True):
        (evaluation,) = group.get_qualitative_evaluations()
        assert evaluation.name.value == finding.code.value
        expected = {True: "Present", False: "Absent", None: "Undetermined"}[finding.present]
        assert evaluation.value.meaning == expected
        measured = {m.name.value: m.value for m in group.get_measurements()}
        assert measured["yes_logit_margin"] == pytest.approx(finding.yes_logit_margin)
        assert measured.get("probability") == pytest.approx(finding.probability)
        assert len(group.source_images) == len(finding.cited_slices)


def test_highdicom_reads_the_text_report_s_tree_back(saved) -> None:
    root = pydicom.Dataset()
    for keyword in ("ValueType", "ConceptNameCodeSequence", "ContentSequence"):
        setattr(root, keyword, saved[0].get(keyword))
    root.ContinuityOfContent = saved[0].ContinuityOfContent
    (tree,) = sr.ContentSequence.from_sequence([root], is_root=True)
    headings = [i.name.meaning for i in tree.ContentSequence if i.ValueType == "CONTAINER"]
    assert headings == [
        "Current Procedure Descriptions",
        "Findings",
        "Impressions",
        "Image Library",
    ]


def test_private_codes_name_their_scheme(saved) -> None:
    schemes = {
        item.ConceptNameCodeSequence[0].CodingSchemeDesignator
        for item in walk(saved[1])
        if "ConceptNameCodeSequence" in item
    }
    assert PRIVATE_SCHEME in schemes
    (scheme,) = saved[1].CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == PRIVATE_SCHEME


def test_times_follow_the_zone_that_the_source_states(report_factory, series_factory) -> None:
    headers = series_factory(count=1, TimezoneOffsetFromUTC="+0530")
    document = build_dicom_sr(report_factory(headers), headers)[0]
    assert document.TimezoneOffsetFromUTC == "+0530"
    assert (document.ContentDate, document.ContentTime) == ("20261122", "123809")


def test_the_source_s_procedure_code_is_the_procedure_reported(
    report_factory, series_factory
) -> None:
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T1", "99KLI", "Thöräx"
    headers = series_factory(count=1, ProcedureCodeSequence=[code])
    for document in build_dicom_sr(report_factory(headers), headers):
        named = [
            item.ConceptCodeSequence[0].CodeMeaning
            for item in walk(document)
            if item.ValueType == "CODE"
            and item.ConceptNameCodeSequence[0].CodeMeaning == "Procedure reported"
        ]
        assert named == ["Thöräx"]
