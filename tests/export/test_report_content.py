"""The neutral report data refuses what no clinical document may say."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import OutputError
from longllava_domains.export.codes import CT_RATE_CODES, PRIVATE_SCHEME
from longllava_domains.export.dicom.sr import build_dicom_sr
from longllava_domains.export.fhir.bundle import build_fhir
from longllava_domains.export.report_content import AbnormalityFinding, printable
from longllava_domains.export.report_json import report_json


def test_the_18_labels_have_distinct_codes_in_the_order_of_ct_rate() -> None:
    assert len(CT_RATE_CODES) == 18
    assert next(iter(CT_RATE_CODES)) == "Medical material"
    assert list(CT_RATE_CODES)[12] == "Pleural effusion"
    codes = {(code.scheme, code.value) for code in CT_RATE_CODES.values()}
    assert len(codes) == 18
    assert {code.scheme for code in CT_RATE_CODES.values()} == {"SCT", PRIVATE_SCHEME}


def verhoeff_is_valid(number) -> Any:
    """Check digit of SNOMED CT identifiers (dihedral group of order 10)."""
    check = 0
    for position, digit in enumerate(reversed([int(d) for d in number])):
        for _ in range(position % 8):
            digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
        check = _dihedral(check, digit)
    return check == 0


def _dihedral(a, b) -> Any:
    turn = (a + b if a < 5 else a - b) % 5
    return turn if (a < 5) == (b < 5) else turn + 5


def test_snomed_codes_have_valid_check_digits() -> None:
    numbers = [code.value for code in CT_RATE_CODES.values() if code.scheme == "SCT"]
    assert len(numbers) == 10
    assert all(verhoeff_is_valid(number) for number in numbers)
    assert not verhoeff_is_valid("60046009")


@pytest.mark.parametrize(
    ("label", "score", "code"),
    [
        ("Broken heart", {"yes_logit_margin": 0.0}, "export.label"),
        ("Emphysema", {"yes_logit_margin": float("nan")}, "export.score"),
        ("Emphysema", {"yes_logit_margin": 0.0, "probability": 1.5}, "export.score"),
    ],
)
def test_findings_that_no_reader_could_use_are_refused(label, score, code) -> None:
    with pytest.raises(OutputError) as caught:
        AbnormalityFinding(label, **score)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"created": datetime(2026, 1, 1)}, "export.created"),
        ({"model": "/data/John Doe/model"}, "provenance.value"),
    ],
)
def test_reports_that_cannot_be_filed_are_refused(report_factory, headers, change, code) -> None:
    with pytest.raises(OutputError) as caught:
        report_factory(headers, **change)
    assert caught.value.code == code
    assert "John" not in str(caught.value)


def test_a_report_without_text_is_refused_by_the_clinical_formats_alone(
    report_factory, headers
) -> None:
    content = report_factory(headers, text=" \x00\n")
    assert report_json(content)["text"] == " \x00\n"
    for build in (build_dicom_sr, build_fhir):
        with pytest.raises(OutputError) as caught:
            build(content, headers)
        assert caught.value.code == "export.empty"


def test_a_finding_listed_twice_is_refused(report_factory, headers, report) -> None:
    twice = (*report.abnormalities, report.abnormalities[0])
    with pytest.raises(OutputError, match="twice"):
        report_factory(headers, abnormalities=twice)


@settings(deadline=None)
@given(st.text())
def test_printable_text_can_be_encoded_and_keeps_its_lines(text) -> None:
    kept = printable(text)
    kept.encode("utf-8")
    assert kept.count("\n") == text.count("\n")
    assert printable(kept) == kept
