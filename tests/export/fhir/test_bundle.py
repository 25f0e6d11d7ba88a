"""The FHIR Bundle keeps the structural rules of R4 and says what the report says."""

import base64
import json
import re
import xml.etree.ElementTree as ET
from datetime import datetime
from typing import Any

import pydicom
import pytest

from longllava_domains.errors import OutputError
from longllava_domains.export.codes import CT_RATE_CODES
from longllava_domains.export.fhir.bundle import build_fhir, save_fhir
from longllava_domains.export.report_content import NOT_ASSESSED
from longllava_domains.export.report_json import report_json
from longllava_domains.provenance import RESEARCH_NOTICE

# Element -> "1" required, "?" optional, "*" list; from the R4 definitions, as far as we write them.
COMMON = {"resourceType": "1", "id": "1", "text": "?", "contained": "*", "meta": "?"}
RULES = {
    "DiagnosticReport": {
        **{"status": "1", "category": "*", "code": "1", "subject": "?", "issued": "?"},
        **{"effectiveDateTime": "?", "result": "*", "imagingStudy": "*", "conclusion": "?"},
        "presentedForm": "*",
    },
    "Observation": {
        **{"status": "1", "category": "*", "code": "1", "subject": "?", "issued": "?"},
        **{"effectiveDateTime": "?", "valueCodeableConcept": "?", "dataAbsentReason": "?"},
        **{"note": "*", "device": "?", "derivedFrom": "*", "component": "*"},
    },
    "ImagingStudy": {
        **{"identifier": "*", "status": "1", "modality": "*", "subject": "1"},
        **{"started": "?", "series": "*"},
    },
    "Device": {
        **{"identifier": "*", "status": "?", "manufacturer": "?", "deviceName": "*"},
        **{"type": "?", "version": "*", "note": "*"},
    },
    "Provenance": {
        **{"target": "*1", "recorded": "1", "activity": "?", "agent": "*1", "entity": "*"},
    },
}
STATUSES = {
    "DiagnosticReport": "preliminary",
    "Observation": "preliminary",
    "ImagingStudy": "available",
    "Device": "active",
}
FORMATS = {
    "id": r"[A-Za-z0-9\-.]{1,64}",
    "issued": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d",
    "recorded": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d",
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d",
    "effectiveDateTime": r"\d{4}-\d\d-\d\d",
    "started": r"\d{4}-\d\d-\d\d",
    "uid": r"[0-9.]{1,64}",
    "system": r"(urn:|http://)\S+",
    "data": r"[A-Za-z0-9+/]+={0,2}",
    "code": r"\S+( \S+)*",
}


def nodes(value) -> Any:
    """Yield every dictionary in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)


def structural_problems(resource) -> Any:
    kind = resource["resourceType"]
    rules = {**COMMON, **RULES[kind]}
    for name, rule in rules.items():
        if "1" in rule and name not in resource:
            yield f"{kind}.{name} is required"
    for name, value in resource.items():
        if name not in rules:
            yield f"{kind}.{name} is not an element"
        elif ("*" in rules[name]) != isinstance(value, list):
            yield f"{kind}.{name} has the wrong cardinality"
    if resource.get("status") != STATUSES.get(kind):
        yield f"{kind}.status"
    for node in nodes(resource):
        yield from (f"{kind}..{problem}" for problem in value_problems(node))
    yield from invariant_problems(resource)


def value_problems(node) -> Any:
    for name, value in node.items():
        if value in ("", [], {}, None):
            yield f"{name} is empty"
        if isinstance(value, str) and not re.fullmatch(FORMATS.get(name, "(?s:.*)"), value):
            yield f"{name} is badly formed"


def invariant_problems(resource) -> Any:
    if "valueCodeableConcept" in resource and "dataAbsentReason" in resource:
        yield "obs-6"
    for contained in resource.get("contained", ()):
        yield from structural_problems(contained)
        if "contained" in contained or "text" in contained:
            yield "dom-2"
        if f'"#{contained["id"]}"' not in json.dumps(resource):
            yield "dom-3"


def resources(bundle, kind) -> Any:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


@pytest.fixture
def bundle(report, headers) -> Any:
    return json.loads(json.dumps(build_fhir(report, headers)))


@pytest.mark.parametrize(
    "change",
    [{}, {"abnormalities": (), "adapter": "", "model_revision": ""}, {"slices": ()}],
    ids=["full", "bare", "nothing shown"],
)
def test_every_resource_keeps_the_structural_rules(report_factory, headers, change) -> None:
    bundle = build_fhir(report_factory(headers, **change), headers)
    assert [p for e in bundle["entry"] for p in structural_problems(e["resource"])] == []
    assert re.fullmatch(FORMATS["timestamp"], bundle["timestamp"])


def test_the_rules_would_find_a_broken_resource(bundle) -> None:
    broken = {**resources(bundle, "Observation")[0], "status": "final", "notes": [], "id": ""}
    assert len(list(structural_problems(broken))) == 5


def test_references_lead_to_entries_of_the_same_bundle(bundle) -> None:
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    assert urls == [f"urn:uuid:{entry['resource']['id']}" for entry in bundle["entry"]]
    kinds = {e["fullUrl"]: e["resource"]["resourceType"] for e in bundle["entry"]}
    found = [node for node in nodes(bundle) if "reference" in node and node["reference"][0] != "#"]
    assert len(found) == 1 + 18 + 18 + 19 + 2
    assert all(kinds[node["reference"]] == node["type"] for node in found)


def test_the_report_is_a_preliminary_ct_with_its_notices_first(bundle, report) -> None:
    (document,) = resources(bundle, "DiagnosticReport")
    assert document["status"] == "preliminary"
    assert document["conclusion"].startswith(RESEARCH_NOTICE)
    assert document["conclusion"].endswith(f"{report.impression} {NOT_ASSESSED}")
    assert datetime.fromisoformat(document["issued"]) == report.created
    plain, analytic = document["presentedForm"]
    text = base64.b64decode(plain["data"]).decode()
    assert text.startswith(RESEARCH_NOTICE)
    assert text.endswith(f"{report.text}\n\n{NOT_ASSESSED}")
    assert json.loads(base64.b64decode(analytic["data"])) == report_json(report)


def test_the_narrative_is_xhtml_with_markup_escaped(bundle, report) -> None:
    (document,) = resources(bundle, "DiagnosticReport")
    root = ET.fromstring(document["text"]["div"])  # noqa: S314 - our own output
    assert root.tag == "{http://www.w3.org/1999/xhtml}div"
    lines = [paragraph.text for paragraph in root]
    assert lines[0] == RESEARCH_NOTICE
    assert lines[-3:] == [*report.text.splitlines(), NOT_ASSESSED]


def test_observations_carry_decision_scores_and_cited_images(bundle, report, headers) -> None:
    observations = resources(bundle, "Observation")
    assert [o["code"]["text"] for o in observations] == list(CT_RATE_CODES)
    for observation, finding in zip(observations, report.abnormalities, strict=True):
        margin = observation["component"][0]["valueQuantity"]["value"]
        assert margin == pytest.approx(finding.yes_logit_margin)
        value = observation.get("valueCodeableConcept", {"coding": [{"display": None}]})
        expected = {True: "Present", False: "Absent", None: None}[finding.present]
        assert value["coding"][0]["display"] == expected
        assert ("dataAbsentReason" in observation) == (finding.present is None)
    (cited,) = observations[0]["contained"]
    uids = [instance["uid"] for instance in cited["series"][0]["instance"]]
    assert uids == [str(header.SOPInstanceUID) for header in headers[1:3]]
    assert "contained" not in observations[1]


def test_the_model_is_the_device_of_observations_and_provenance(bundle, report) -> None:
    (device,) = resources(bundle, "Device")
    (provenance,) = resources(bundle, "Provenance")
    assert device["deviceName"] == [{"name": report.model, "type": "model-name"}]
    assert {v["value"] for v in device["version"]} >= {"a1b2c3", "sha256:0123abcd"}
    url = f"urn:uuid:{device['id']}"
    assert provenance["agent"][0]["who"]["reference"] == url
    assert {o["device"]["reference"] for o in resources(bundle, "Observation")} == {url}


def test_only_identifiers_and_the_study_date_come_from_the_headers(
    bundle, headers, planted
) -> None:
    text = json.dumps(bundle, ensure_ascii=False)
    taken = {key for key, value in planted.items() if len(value) > 1 and value in text}
    assert taken == {"PatientID", "AccessionNumber"}
    (study,) = resources(bundle, "ImagingStudy")
    assert study["started"] == "2021-02-03"
    assert study["identifier"][0]["value"] == f"urn:oid:{headers[0].StudyInstanceUID}"
    assert study["series"][0]["uid"] == headers[0].SeriesInstanceUID
    assert len(study["series"][0]["instance"]) == len(headers)
    assert study["subject"]["identifier"]["value"] == planted["PatientID"]


def test_the_hospital_s_identifier_system_is_used_when_given(report, headers) -> None:
    bundle = build_fhir(report, headers, patient_system="urn:oid:1.2.3")
    (document,) = resources(bundle, "DiagnosticReport")
    assert document["subject"]["identifier"]["system"] == "urn:oid:1.2.3"


def test_a_damaged_study_date_is_left_out(report, headers) -> None:
    with pydicom.config.disable_value_validation():
        headers[0].StudyDate = "20211399"
    (study,) = resources(build_fhir(report, headers), "ImagingStudy")
    assert "started" not in study


def test_saved_files_are_private_json(report, headers, tmp_path) -> None:
    path = save_fhir(report, headers, tmp_path / "report.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text("utf-8"))["resourceType"] == "Bundle"


def test_without_dicom_headers_or_a_patient_there_is_no_bundle(report, headers) -> None:
    with pytest.raises(OutputError) as caught:
        build_fhir(report, None)
    assert caught.value.code == "export.no_dicom_source"
    for header in headers:
        header.PatientID = " "
    with pytest.raises(OutputError) as caught:
        build_fhir(report, headers)
    assert caught.value.code == "export.no_identifiers"


def test_a_demonstration_result_is_refused_or_marked_as_test_data(report_factory, headers) -> None:
    content = report_factory(headers, demo=True)
    with pytest.raises(OutputError) as caught:
        build_fhir(content, headers)
    assert caught.value.code == "export.demo"
    (document,) = resources(build_fhir(content, headers, allow_demo=True), "DiagnosticReport")
    assert document["meta"]["security"][0]["code"] == "HTEST"
