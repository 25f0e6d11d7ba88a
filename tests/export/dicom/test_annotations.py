"""What was found on a DICOM slide becomes an annotation file that highdicom reads back."""

import os
from pathlib import Path

import highdicom.ann as ann
import numpy as np
import pytest
import slide_builder as builder
from pydicom import dcmread
from pydicom.dataset import Dataset

from longllava_domains.boxes import SCORE_KIND
from longllava_domains.errors import OutputError
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.detections import SlideDetection
from longllava_domains.pipelines.pathology.found import SlideDetections
from longllava_domains.pipelines.pathology.slide_input import SlideInput
from longllava_domains.provenance import Provenance
from longllava_domains.visual import SlidePlace

MADE = Provenance(model="owner/model", model_sha256="ab" * 32, model_revision="1.2")
FIELD = SlidePlace(0, 0, 336, 336, 0, 0.5)
OUTLINES = [
    ((10.5, 20), (40, 20), (40, 60), (10.5, 60)),
    ((100, 90), (130, 95), (125, 120), (95, 115)),
]
SPECIMEN = "1.2.826.0.1.3680043.10.1561.14.9"


def whole(dataset: Dataset) -> None:
    """Give a slide what the standard asks of it and the builder leaves out."""
    dataset.FrameOfReferenceUID = SPECIMEN
    dataset.StudyDate, dataset.AccessionNumber = "19930102", "A-1"
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "S-1", SPECIMEN
    specimen.SpecimenPreparationSequence = []
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    dataset.SpecimenDescriptionSequence = [specimen]
    dataset.ContainerIdentifier = "PLANTED-SLIDE"
    dataset.IssuerOfTheContainerIdentifierSequence = []
    kind = Dataset()
    kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = "258661006", "SCT", "Slide"
    dataset.ContainerTypeCodeSequence = [kind]


def found(source: Path | None, made: Provenance = MADE, outlines=OUTLINES) -> SlideDetections:
    scores = [0.8, None]
    return SlideDetections(
        "gland",
        tuple(
            SlideDetection("gland", corners, FIELD, score)
            for corners, score in zip(outlines, scores, strict=False)
        ),
        (), (1501, 1103), 0.5, (0, 0), made, None if source is None else SlideInput(source),
    )  # fmt: skip


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builder.dicom(tmp_path_factory.mktemp("ann") / "slide", factors=(1, 4), edit=whole)


def test_outlines_and_scores_come_back_by_highdicom(slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.dcm"
    found(slide).save_dicom_ann(out)
    assert os.stat(out).st_mode & 0o077 == 0
    read = ann.annread(out)
    (group,) = read.get_annotation_groups()
    assert group.label == "gland"
    for stored, outline in zip(group.get_graphic_data("2D"), OUTLINES, strict=True):
        np.testing.assert_allclose(stored, outline, atol=1e-4)
    names, values, units = group.get_measurements()
    assert names[0].meaning == SCORE_KIND.capitalize()
    assert units[0].value == "1"
    np.testing.assert_allclose(values[:, 0], [0.8, np.nan])
    source = dcmread(slide / "PLANTED_1.dcm", stop_before_pixels=True)
    assert source.TotalPixelMatrixColumns == 1501  # level 0
    assert read.ReferencedImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (read.PatientName, read.StudyInstanceUID) == (
        source.PatientName,
        source.StudyInstanceUID,
    )
    assert read.SeriesInstanceUID != source.SeriesInstanceUID
    assert "research use only" in read.SeriesDescription
    assert group.AnnotationGroupGenerationType == "AUTOMATIC"


def test_what_cannot_be_annotated_is_refused_by_name(
    slide: Path, tmp_path: Path, slide_tiff
) -> None:
    out = tmp_path / "found.dcm"
    for result, code in (
        (found(slide_tiff), "export.no_dicom_source"),
        (found(slide, MADE.with_(demo=True)), "export.demo"),
        (found(slide, outlines=[]), "export.empty"),
    ):
        with pytest.raises(OutputError) as caught:
            result.save_dicom_ann(out)
        assert caught.value.code == code
    bare = builder.dicom(tmp_path / "bare", builder.tissue(200, 150), factors=(1,))
    with pytest.raises(OutputError, match="cannot be copied") as caught:
        found(bare).save_dicom_ann(out)
    assert "PLANTED" not in str(caught.value)
    assert not out.exists()


@pytest.fixture
def slide_tiff(tmp_path: Path) -> Path:
    path = builder.tiff(tmp_path / "a.tif", builder.tissue(300, 200))
    with open_slide(path) as slide:
        assert slide.source.header() is None
    return path
