"""The main job, end to end, on the phantom and the demonstration model."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data import MetaTensor

from longllava_domains import ct, pipelines
from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.dicom.series import ranking
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.errors import OutputError, PolicyError, UnsupportedInputError
from longllava_domains.export.codes import CT_RATE_CODES
from longllava_domains.pipelines import CTReport
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.findings import most_attended
from longllava_domains.pipelines.ct.findings_first import conditioned_prompt, outside_population
from longllava_domains.pipelines.ct.occlusion import occlusion_evidence
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.result import (
    WHY_CHOSEN,
    Abnormality,
    finding_title,
    series_lines,
    split_sections,
)
from longllava_domains.provenance import RESEARCH_NOTICE

ROOT = Path(__file__).parents[3]
PHANTOM = ROOT / "examples/chest_phantom"
FEW = ct.SlicePolicy(count=3, windows=("lung",), view_px=336)


@pytest.fixture(scope="module")
def pipeline() -> CTReport:
    return CTReport.from_pretrained("demo", dtype="float32")


@pytest.fixture(scope="module")
def result(pipeline: CTReport) -> Any:
    return pipeline(PHANTOM, policy=FEW, max_new_tokens=4)


def test_a_report_has_18_findings_each_with_a_margin_and_no_probability(result) -> None:
    assert list(result.abnormalities) == list(CT_RATE_CODES)
    for finding in result.abnormalities.values():
        assert np.isfinite(finding.yes_logit_margin)
        assert finding.probability is None


def test_a_margin_equals_the_score_of_a_session_opened_for_it_alone(pipeline, result) -> None:
    question = pipeline.preset.finding_prompt.format(label="pleural effusion")
    with pipeline.model.open(result.sequence) as session:
        yes, no = session.score(question, pipeline.preset.finding_choices)
    margin = result.abnormalities["Pleural effusion"].yes_logit_margin
    assert margin == pytest.approx(yes.sum_logprob - no.sum_logprob, abs=1e-4)


def test_the_draft_equals_the_answer_to_the_report_prompt_alone(pipeline, result) -> None:
    alone = pipeline.model.answer(result.sequence, pipeline.preset.report_prompt, max_new_tokens=4)
    assert result.text == alone.text


def test_no_tokens_are_no_draft_and_fewer_are_refused(pipeline) -> None:
    one = ct.SlicePolicy(count=1, windows=("lung",), view_px=336)
    assert pipeline(PHANTOM, policy=one, max_new_tokens=0).text == ""
    with pytest.raises(PolicyError, match="-1 tokens"):
        pipeline(PHANTOM, policy=one, max_new_tokens=-1)


def test_every_output_says_research_only_and_demonstration(result) -> None:
    assert result.notices[0] == RESEARCH_NOTICE
    assert result.to_text().startswith(f"[{RESEARCH_NOTICE}]")
    written = result.to_json()
    assert RESEARCH_NOTICE in written["notices"]
    assert written["demo"] is True
    assert any("emonstration model" in notice for notice in written["notices"])
    json.dumps(written)


def test_a_demonstration_cannot_become_a_clinical_document(result, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="demonstration"):
        result.save_dicom_sr(tmp_path / "sr.dcm")
    (first, second) = result.save_dicom_sr(tmp_path / "sr.dcm", allow_demo=True)
    assert first.exists()
    assert second.exists()
    assert result.save_fhir(tmp_path / "r.json", allow_demo=True).exists()


def test_provenance_rebuilds_the_policy_and_names_the_prompt_and_the_input(result) -> None:
    made = result.provenance
    assert ct.SlicePolicy.from_json(made["policy"]) == FEW
    assert made["preset"] == "ct-default@1"
    assert len(made["input_sha256"]) == len(made["prompt_sha256"]) == 64
    assert made["views"] == 3
    assert made["withheld"] == []


def test_paths_volumes_arrays_and_tensors_are_the_same_input(pipeline, result) -> None:
    phantom = chest_phantom(findings=("nodule", "effusion"))
    array = volume_from_array(phantom.hu, phantom.affine_ras_mm)
    tensor = MetaTensor(phantom.hu[None], affine=phantom.affine_ras_mm)
    for source in (array, (phantom.hu, phantom.affine_ras_mm), tensor):
        other = pipeline(source, policy=FEW, max_new_tokens=4)
        assert other.text == result.text
        for ours, theirs in zip(other.sequence, result.sequence, strict=True):
            assert np.array_equal(ours.pixels, theirs.pixels)
    with pytest.raises(UnsupportedInputError, match="affine"):
        pipeline(phantom.hu, policy=FEW)


def test_chest_findings_are_withheld_where_no_lung_is_seen(pipeline) -> None:
    phantom = chest_phantom(shape=(12, 64, 64), spacing_mm=(25, 6, 6))
    hu = phantom.hu.copy()
    hu[(hu > -960) & (hu < -600)] = 40
    told = pipeline((hu, phantom.affine_ras_mm), policy=FEW, max_new_tokens=2)
    assert told.abnormalities == {}
    assert told.withheld == ("chest.no_lung",)
    assert "withheld: too few of the slices pass through lung]" in told.to_text()
    assert "chest.no_lung" not in told.to_text()


def test_findings_come_first_where_a_calibration_calls_them_present(
    pipeline, tmp_path: Path
) -> None:
    fitted = {
        "model_sha256": pipeline.model.provenance["model_sha256"],
        "adapter_sha256": pipeline.model.provenance["adapter_sha256"],
        "preset": "ct-default@1",
        "coefficients": {"Lung nodule": [0.0, 0.0], "Emphysema": [0.0, 0.0]},
        "labels": {"Lung nodule": {"threshold": 0.4}, "Emphysema": {"threshold": 0.6}},
    }
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(fitted))
    calibration = Calibration.from_file(path)
    first = CTReport(pipeline.model, calibration=calibration, mode="findings-first")
    told = first(PHANTOM, policy=FEW, max_new_tokens=4)
    assert told.abnormalities["Lung nodule"].present is True
    assert told.abnormalities["Emphysema"].present is False
    assert told.abnormalities["Atelectasis"].present is None
    assert told.provenance["report_mode"] == "findings-first"
    prompt = conditioned_prompt(first.preset.report_prompt, told.abnormalities)
    assert "present: lung nodule. Describe" in prompt
    assert "emphysema" not in prompt
    assert told.text == pipeline(PHANTOM, policy=FEW, prompt=prompt, max_new_tokens=4).text
    assert [each["present"] for each in told.to_json()["abnormalities"]].count(True) == 1
    for mode, found in (("findings-first", None), ("backwards", calibration)):
        with pytest.raises(PolicyError):
            CTReport(pipeline.model, calibration=found, mode=mode)


def test_presence_is_withheld_for_a_scan_unlike_those_of_the_calibration(pipeline) -> None:
    sha256 = pipeline.model.provenance["model_sha256"]
    coefficients = {"Lung nodule": (0.0, 9.0)}
    made = {
        "adapter_sha256": pipeline.model.provenance["adapter_sha256"],
        "thresholds": {"Lung nodule": 0.5},
        "limits": {"body_part": ("HEAD",), "phase": ("native",)},
    }
    calibration = Calibration(sha256, "ct-default@1", coefficients, **made)
    told = CTReport(pipeline.model, calibration=calibration, mode="findings-first")(
        PHANTOM, policy=FEW, max_new_tokens=2
    )
    assert told.abnormalities["Lung nodule"].present is None
    assert told.abnormalities["Lung nodule"].probability > 0.9
    assert told.withheld[0] == "calibration.outside.body_part"
    assert "Presence withheld" in told.to_text()
    # What a header does not say is not held against a scan.
    assert outside_population(calibration, {"body_part": ["head"]}) == ()


def test_every_report_ends_with_what_was_not_assessed(result) -> None:
    assert result.to_text().endswith("What is not named as present is not thereby normal.")
    assert "pneumothorax" in result.to_json()["not_assessed"]


def test_a_calibration_gives_probabilities_and_only_to_the_weights_it_was_fitted_for(
    pipeline, result, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    fitted = {
        "model_sha256": pipeline.model.provenance["model_sha256"],
        "adapter_sha256": pipeline.model.provenance["adapter_sha256"],
        "preset": "ct-default@1",
        "coefficients": {"Lung nodule": [2.0, 0.5]},
    }
    path.write_text(json.dumps(fitted))
    calibrated = CTReport(pipeline.model, calibration=Calibration.from_file(path))
    found = calibrated(PHANTOM, policy=FEW, max_new_tokens=2).abnormalities
    margin = found["Lung nodule"].yes_logit_margin
    assert found["Lung nodule"].probability == pytest.approx(1 / (1 + np.exp(-2 * margin - 0.5)))
    assert found["Emphysema"].probability is None
    path.write_text(json.dumps(fitted | {"model_sha256": "0" * 64}))
    with pytest.raises(PolicyError, match="other weights"):
        CTReport(pipeline.model, calibration=Calibration.from_file(path))
    path.write_text(json.dumps(fitted | {"adapter_sha256": None}))
    with pytest.raises(PolicyError, match="another adapter"):
        CTReport(pipeline.model, calibration=Calibration.from_file(path))
    path.write_text("[]")
    with pytest.raises(PolicyError, match="not a calibration"):
        Calibration.from_file(path)


def test_occlusion_names_each_part_and_its_drop(pipeline, result) -> None:
    evidence = occlusion_evidence(
        pipeline.model, result.sequence, "Lung nodule", pipeline.preset, parts=3
    )
    assert [part.slices for part in evidence] == [1, 1, 1]
    assert evidence[0].z_mm[0] > evidence[1].z_mm[0] > evidence[2].z_mm[0]
    assert any(part.margin_drop != 0 for part in evidence)
    with pytest.raises(PolicyError):
        occlusion_evidence(pipeline.model, result.sequence, "Lung nodule", pipeline.preset, parts=4)


def test_slices_are_ranked_by_the_attention_of_all_their_windows(result) -> None:
    ranked = most_attended(result.sequence, (0.1, 0.3, 0.2), count=2)
    assert ranked == (result.sequence[1].place, result.sequence[2].place)


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("Findings: clear. Impression: normal.", "clear.", "normal."),
        ("FINDINGS:\nclear\nIMPRESSION:\nnormal", "clear", "normal"),
        ("clear lungs", "clear lungs", ""),
        ("Impression: normal", "", "normal"),
    ],
)
def test_a_report_is_split_at_its_headings(text: str, findings: str, impression: str) -> None:
    assert split_sections(text) == (findings, impression)


def test_a_preset_keeps_its_prompt_within_the_trained_length() -> None:
    preset = CTPreset.named()
    tokens_per_view = 144 + 6
    assert preset.max_views * tokens_per_view + preset.max_new_tokens < preset.trained_length


def test_evidence_is_a_picture_for_any_finding_not_only_positive_ones(result) -> None:
    picture = result.evidence("Pleural effusion")
    assert picture.size[0] > 3 * 200  # three slices beside each other
    assert len(result.abnormalities["Pleural effusion"].attended_slices) == 3
    with pytest.raises(PolicyError, match="no finding"):
        result.evidence("Fracture")


def test_the_finding_and_its_margin_stand_on_its_picture(result) -> None:
    def drawn(margin: float) -> np.ndarray:
        some = dataclasses.replace(result.abnormalities["Lung nodule"], yes_logit_margin=margin)
        told = dataclasses.replace(result, abnormalities={"Lung nodule": some})
        return np.asarray(told.evidence("Lung nodule"))

    assert "most attention, most first" in result.to_text()
    one, other = drawn(0.5), drawn(-0.5)
    assert one[:16].max() > 200
    assert (one[:16] != other[:16]).any()
    np.testing.assert_array_equal(one[20:], other[20:])


@pytest.mark.parametrize(
    ("margin", "probability", "title"),
    [
        (0.5, None, "Lung nodule: margin +0.500, leans to present"),
        (-0.5, 0.25, "Lung nodule: margin -0.500, leans to absent; probability 0.25"),
    ],
)
def test_the_title_of_a_picture_says_what_the_finding_leans_to(margin, probability, title) -> None:
    assert finding_title(Abnormality("Lung nodule", margin, probability)) == title


def test_why_a_series_was_chosen_is_said_in_words() -> None:
    series: dict[str, Any] = {
        "series_number": 1, "row": 1, "images": 3, "plane": "axial", "kernel": "soft",
        "body_part": [], "phase": [], "z_range_mm": None,
    }  # fmt: skip
    (line,) = series_lines({**series, "chosen_by": ["choice.only"]})
    assert line.endswith("; chosen: the only series")
    others = {"only", "only_volume", "asked", "slices", "sharp_available", "other_range",
              "another_region", "another_phase"}  # fmt: skip
    assert set(ranking._CRITERIA) | others == set(WHY_CHOSEN)


@pytest.mark.parametrize("margin", [0.5, -0.5])
def test_slices_are_named_in_the_text_for_any_finding(result, margin: float) -> None:
    some = dataclasses.replace(result.abnormalities["Lung nodule"], yes_logit_margin=margin)
    told = dataclasses.replace(result, abnormalities={"Lung nodule": some}).to_text()
    # As many, and spelled as on the picture.
    shown = ", ".join(f"{place.z_mm:.1f}" for place in some.attended_slices)
    assert f"{margin:+.3f}  Lung nodule  (looked at z {shown} mm)" in told


@pytest.mark.parametrize("pipeline_class", [pipelines.CTReport, pipelines.RemoteSensingQA])
def test_a_name_in_place_of_a_loaded_model_is_refused_with_what_loads_it(pipeline_class) -> None:
    with pytest.raises(PolicyError, match="from_pretrained"):
        pipeline_class("demo")


def test_a_window_in_place_of_a_policy_is_refused_with_how_it_is_written() -> None:
    with pytest.raises(PolicyError, match="SlicePolicy"):
        ct.open_volume(PHANTOM).to_sequence("lung")


def test_progress_counts_views_and_ends_with_the_draft(pipeline) -> None:
    told: list[tuple[str, int, int]] = []
    pipeline(PHANTOM, policy=FEW, max_new_tokens=3, on_progress=lambda *now: told.append(now))
    assert next(stage for stage, *_ in told) == "reading views"
    assert {total for stage, _, total in told if stage == "reading views"} == {3}
    assert told[-1][0] == "writing the draft"


def test_a_draft_that_was_cut_says_so(result) -> None:
    def told(stop: str) -> bool:
        made = result.provenance.with_(stop=stop)
        return "cut short" in dataclasses.replace(result, provenance=made).to_text()

    assert told("length")
    assert not told("end")
