"""Families: sequential heads that ended in a refusal, and reports that did not say what they read."""

import pydicom
import pytest
import series_builder as build

from longllava_domains import ct
from longllava_domains.pipelines import CTReport
from longllava_domains.pipelines.ct.result import series_lines

FEW = ct.SlicePolicy(count=2, windows=("lung",), view_px=336)


@pytest.fixture(scope="module")
def pipeline() -> CTReport:
    return CTReport.from_pretrained("demo", dtype="float32")


def test_a_head_without_a_grid_ends_in_a_report_that_says_so(dicom, pipeline, tmp_path) -> None:
    """Family: tilt, gaps and two spacings; nothing is straightened or made up."""
    told = pipeline(dicom.write(build.split_head(), tmp_path), policy=FEW, max_new_tokens=2)
    assert any("without a grid" in notice for notice in told.notices)
    assert told.provenance["policy"]["at"] == "acquired"
    assert told.provenance["load_report"]["codes"]["ct.uneven_spacing"] == 1
    assert not any(view.place.synthetic for view in told.sequence)
    answer = pipeline.ask(tmp_path, "Which organ is this?", policy=FEW, max_new_tokens=2)
    assert any("without a grid" in notice for notice in answer.provenance["notices"])


def test_memory_is_planned_for_slices_as_acquired(dicom, tmp_path) -> None:
    """Family (neighbour): the spacing that fits is found where there is no spacing."""
    from longllava_domains.ct.views.selection import choose_slices, within_views

    volume = ct.open_volume(dicom.write(build.split_head(), tmp_path))
    policy = ct.SlicePolicy(at="acquired", windows=("lung",))
    fitting = within_views(volume, policy, 9)
    assert fitting.at == "acquired"
    assert 4 < len(choose_slices(volume, fitting)[0]) <= 9


def test_a_chest_report_reads_the_chest_and_names_it(dicom, pipeline, tmp_path) -> None:
    """Family: the abdomen was chosen for a chest report, and nothing said which series it was."""
    chest = build.renumber(dicom.datasets(dicom.phantom((12, 16, 16))), "3")
    abdomen = build.renumber(dicom.datasets(dicom.phantom((20, 16, 16))), "4")
    for image in abdomen:
        image.BodyPartExamined = "ABDOMEN"
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z - 400]
    told = pipeline(dicom.write([*chest, *abdomen], tmp_path), policy=FEW, max_new_tokens=2)
    series = told.provenance["series"]
    assert (series["series_number"], series["images"]) == (3, 12)
    (line,) = series_lines(series)
    assert line in told.to_text()
    for word in ("series number 3", "12 axial slices", "soft kernel", "chest", "region asked for"):
        assert word in line


def test_no_text_of_a_header_reaches_what_is_said(dicom, pipeline, tmp_path) -> None:
    """Family (privacy): the new lines hold words of fixed lists only."""
    images = dicom.datasets()
    with pydicom.config.disable_value_validation():
        for image in images:
            image.BodyPartExamined = "CHEST OF PLANTED"
            image.ContrastBolusAgent = "PLANTED"
            image.AcquisitionTime = "PLANTED"
            image.ConvolutionKernel = "PLANTED"
    told = pipeline(dicom.write(images, tmp_path), policy=FEW, max_new_tokens=2)
    assert "PLANTED" not in told.to_text() + str(told.to_json()) + str(ct.list_series(tmp_path))
