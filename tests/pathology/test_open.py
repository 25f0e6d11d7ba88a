"""Every format of slide is opened by the reader that reads it best, and says why; others refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import slide_builder as builder
import tifffile

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    InputError,
    LongLlavaError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.slide_source import Box

IMAGE = builder.tissue(700, 500, seed=2)
LOSSLESS = {"compression": "deflate", "compressionargs": None}


@pytest.mark.parametrize(
    ("kind", "vendor"), [("tiff", "generic"), ("svs", "aperio"), ("ome", "ome")]
)
def test_tiff_is_read_natively_and_says_so(slide_file, kind: str, vendor: str) -> None:
    with open_slide(slide_file(kind)) as slide:
        codes = slide.report.codes
        assert codes["backend.tiff"] == codes[f"vendor.{vendor}"] == 1
        assert codes["reason.tiles_decoded_once"] == 1
        assert len(slide.levels) == 3


def test_openslide_sees_one_level_and_no_resolution_where_levels_are_subifds(slide_file) -> None:
    path = slide_file("ome")
    with openslide.OpenSlide(path) as other:
        assert other.level_count == 1
        assert openslide.PROPERTY_NAME_MPP_X not in other.properties
    with open_slide(path) as slide:
        assert [level.downsample[0] for level in slide.levels] == [1, 4, 16]
        assert slide.mpp == 0.5


@pytest.mark.parametrize("kind", ["tiff", "svs"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_pixels_are_openslides_own(slide_file, kind: str, level: int) -> None:
    path = slide_file(kind)
    with openslide.OpenSlide(path) as other, open_slide(path) as slide:
        size = other.level_dimensions[level]
        assert size == (slide.levels[level].width, slide.levels[level].height)
        theirs = np.asarray(other.read_region((0, 0), level, size))[..., :3]
        ours = slide.source.read(level, Box(0, 0, *size))
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {**LOSSLESS, "compression": "lzw"},
        {**LOSSLESS, "compression": "zstd"},
        {**LOSSLESS, "compression": None},
        {**LOSSLESS, "predictor": True},
        {**LOSSLESS, "bigtiff": True},
        {**LOSSLESS, "subifds": True},
        {**LOSSLESS, "tile": (64, 256)},
        {**LOSSLESS, "tile": None, "rowsperstrip": 7, "factors": ()},
        {**LOSSLESS, "tile": None, "factors": ()},
        {**LOSSLESS, "planarconfig": "separate", "factors": ()},
    ],
    ids=str,
)
def test_lossless_layouts_are_bit_exact(tmp_path: Path, options) -> None:
    data = IMAGE
    if options.get("planarconfig") == "separate":
        data = np.ascontiguousarray(np.moveaxis(IMAGE, -1, 0))
    path = builder.tiff(tmp_path / "a.tif", data, **options)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(0, 0, 700, 500, mpp=0.5), IMAGE)
        assert np.array_equal(slide.read(33, 21, 555, 444, mpp=0.5), IMAGE[21:465, 33:588])


def test_big_endian_is_bit_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, byteorder=">", tile=(128, 128), compression="lzw", predictor=True,
        photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER", metadata=None,
    )  # fmt: skip
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(0, 0, 700, 500, mpp=0.5), IMAGE)


def test_a_sparse_tiff_is_white_where_tiles_are_missing_and_counts_them(tmp_path: Path) -> None:
    path = builder.tiff(tmp_path / "a.tif", IMAGE, factors=(), **LOSSLESS)
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags["TileByteCounts"]
        counts = list(tag.value)
        place, size = tag.valueoffset, tag.dtype.name
    assert size == "LONG"
    data = bytearray(path.read_bytes())
    data[place + 4 * 7 : place + 4 * 8] = bytes(4)
    assert counts[7] > 0
    path.write_bytes(data)
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 700, 500, mpp=0.5)
        assert (shown[128:256, 128:256] == 255).all()
        assert np.array_equal(shown[256:], IMAGE[256:])
        assert slide.report.codes["tiles.missing"] == 1
        assert "tiles.damaged" not in slide.report.codes


@pytest.mark.parametrize(
    "options",
    [{}, {"sparse": True}, {"parts": 3}, {"sparse": True, "parts": 2}, {"codec": "raw",
     "photometric": "RGB"}],
    ids=str,
)  # fmt: skip
def test_dicom_is_read_full_sparse_and_in_parts(tmp_path: Path, options) -> None:
    folder = builder.dicom(tmp_path / "slide", IMAGE, **options)
    with open_slide(folder) as slide:
        assert slide.size == (700, 500)
        assert [level.downsample for level in slide.levels] == [(1, 1), (4, 4)]
        shown = slide.read(0, 0, 700, 500, mpp=0.5)
        assert np.abs(shown.astype(int) - IMAGE).mean() < 1.5
        assert slide.report.codes["backend.dicom"] == 1
        assert slide.report.codes["images.withheld"] == 2


def test_a_dicom_slide_may_be_named_by_one_file_beside_others(tmp_path: Path) -> None:
    folder = builder.dicom(tmp_path / "slide", IMAGE)

    def other(dataset) -> None:
        dataset.SeriesInstanceUID += ".99"

    builder.dicom(tmp_path / "other", IMAGE[:200], edit=other)
    for number, path in enumerate(sorted((tmp_path / "other").iterdir())):
        path.rename(folder / f"other{number}.dcm")
    (folder / "notes.txt").write_text("no DICOM")
    with pytest.raises(AmbiguousInputError, match="several slides"):
        open_slide(folder)
    with open_slide(folder / "PLANTED_1.dcm") as slide:
        assert slide.size == (700, 500)
        assert len(slide.levels) == 2
        assert slide.report.codes["file.other_series"] >= 1


def test_a_zipped_dicom_slide_is_read_where_it_is(tmp_path: Path) -> None:
    import zipfile

    folder = builder.dicom(tmp_path / "slide", IMAGE, factors=(1,))
    with zipfile.ZipFile(tmp_path / "slide.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    with open_slide(tmp_path / "slide.zip") as slide, open_slide(folder) as same:
        box = (100, 100, 300, 300)
        assert np.array_equal(slide.read(*box, mpp=1.0), same.read(*box, mpp=1.0))


def test_frames_that_were_not_scanned_are_white_and_counted(tmp_path: Path) -> None:
    folder = builder.dicom(
        tmp_path / "slide", IMAGE, factors=(1,), sparse=True, skip=lambda frame: frame in (0, 8)
    )
    with open_slide(folder) as slide:
        shown = slide.read(0, 0, 700, 500, mpp=0.5)
        assert (shown[:128, :128] == 255).all()
        assert (shown[128:256, 256:384] == 255).all()
        assert slide.report.codes["tiles.missing"] == 2


def _edit(**values) -> Any:
    def edit(dataset) -> None:
        for name, value in values.items():
            setattr(dataset, name, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (_edit(TotalPixelMatrixFocalPlanes=3), "slide.several_planes"),
        (_edit(NumberOfOpticalPaths=4), "slide.several_planes"),
        (_edit(BitsAllocated=16), "slide.bits"),
        (_edit(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2"), "slide.fluorescence"),
        (_edit(PhotometricInterpretation="PALETTE COLOR"), "slide.channels"),
        (_edit(NumberOfFrames=3), "slide.damaged"),
        (_edit(NumberOfFrames=500), "slide.several_planes"),
        (_edit(TotalPixelMatrixColumns=0), "slide.damaged"),
        (_edit(TotalPixelMatrixRows=2**31), "slide.damaged"),
        (_edit(ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"]), "slide.no_volume"),
        (_edit(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), "slide.no_volume"),
    ],
)
def test_a_dicom_object_that_is_no_plain_slide_is_refused_by_name(
    tmp_path: Path, edit, code: str
) -> None:
    folder = builder.dicom(tmp_path / "slide", IMAGE, factors=(1,), label=False, edit=edit)
    with pytest.raises(InputError) as caught:
        open_slide(folder)
    assert caught.value.code == code


def test_a_missing_part_of_a_concatenation_is_refused(tmp_path: Path) -> None:
    folder = builder.dicom(tmp_path / "slide", IMAGE, factors=(1,), parts=3, label=False)
    (folder / "PLANTED_2.dcm").unlink()
    with pytest.raises(DamagedInputError, match="concatenation"):
        open_slide(folder)


@pytest.mark.parametrize("axes", ["ZYXS", "CYX"])
def test_focal_planes_and_channels_are_refused_by_name(tmp_path: Path, axes: str) -> None:
    path = builder.ome_stack(tmp_path / "a.ome.tif", axes)
    with pytest.raises(UnsupportedInputError, match=r"3 (focal planes|channels)"):
        open_slide(path)


def test_pages_of_one_size_are_no_levels(tmp_path: Path) -> None:
    path = builder.tiff(tmp_path / "a.tif", IMAGE, factors=(1,))
    with pytest.raises(UnsupportedInputError, match="same size"):
        open_slide(path)


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"II*\0\x08\0\0\0\0\0", b"no slide at all" * 20, b"PK\x03\x04" * 9,
                bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\x02" * 300],
)  # fmt: skip
def test_a_file_without_a_slide_in_it_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret_name.svs"
    path.write_bytes(content)
    with pytest.raises(LongLlavaError) as caught:
        open_slide(path)
    assert caught.value.remedy
    assert "secret_name" not in str(caught.value)


@pytest.mark.parametrize("path", ["nothing/here.svs", "null\0character"])
def test_a_path_where_nothing_is_is_refused(path: str) -> None:
    with pytest.raises(NotFoundError):
        open_slide(path)


def test_an_empty_path_is_said_to_be_empty() -> None:
    with pytest.raises(PolicyError, match="The argument path is an empty path"):
        open_slide("")


def test_an_empty_folder_holds_no_slide(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no DICOM whole slide"):
        open_slide(tmp_path)


def test_a_truncated_pyramid_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = builder.tiff(tmp_path / "a.tif", IMAGE, factors=(), **LOSSLESS)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedInputError, match="lie outside the file"):
        open_slide(path)


def test_a_giant_block_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = np.full((9000, 8000, 3), 240, np.uint8)
    tifffile.imwrite(
        path, data, compression="deflate", photometric="rgb", rowsperstrip=9000, metadata=None,
        resolution=(20000, 20000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with pytest.raises(UnsupportedInputError) as caught:
        open_slide(path)
    assert caught.value.code == "slide.giant_block"


def test_reading_needs_no_folder_and_a_slide_closes_itself(slide_file) -> None:
    with open_slide(slide_file("tiff")) as slide:
        views = slide.to_sequence()
    assert len(views) > 1
    with pytest.raises(PolicyError, match="closed"):
        slide.read(0, 0, 100, 100, mpp=0.5)
