"""Colours as the scanner meant them: the codestream decides, then the tag, then the pixels."""

import io
from pathlib import Path

import numpy as np
import openslide
import pytest
import slide_builder as builder
from PIL import Image

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.formats.colour_stream import parse_colour_stream
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.slide_source import Rgb
from longllava_domains.pathology.sources.decode import decode_codestream, to_rgb
from longllava_domains.pathology.sources.dicom_wsi import colour_of, contradicts

IMAGE = builder.tissue(300, 260, seed=5)
# codec, photometric interpretation, samples converted before, transformed by the codec.
MATRIX = [
    ("jpeg", "RGB", False, False),
    ("jpeg", "RGB", False, True),
    ("jpeg", "YBR_FULL_422", False, True),
    ("jpeg", "YBR_FULL_422", True, False),
    ("jpeg", "YBR_ICT", True, False),
    ("jpeg", "YBR_RCT", False, True),
    ("jpeg2000", "RGB", False, False),
    ("jpeg2000", "RGB", False, True),
    ("jpeg2000", "YBR_FULL_422", True, False),
    ("jpeg2000", "YBR_FULL_422", False, True),
    ("jpeg2000", "YBR_ICT", True, False),
    ("jpeg2000", "YBR_ICT", False, True),
    ("jpeg2000", "YBR_ICT", False, False),
    ("jpeg2000", "YBR_RCT", True, False),
    ("jpeg2000", "YBR_RCT", False, True),
    ("jpeg2000", "YBR_RCT", False, False),
    ("jpeg-ls", "RGB", False, False),
    ("jpeg-ls", "YBR_FULL", True, False),
    ("jpeg-ls", "YBR_FULL_422", True, False),
    ("jpeg-ls", "YBR_ICT", True, False),
    ("jpeg-ls", "YBR_ICT", False, False),
    ("jpeg-ls", "YBR_RCT", False, False),
    ("rle", "RGB", False, False),
    ("rle", "YBR_FULL", True, False),
    ("raw", "RGB", False, False),
    ("raw", "YBR_FULL", True, False),
]
# The codestream is silent and the tag is wrong: pixels that cannot be what it says decide.
LYING_TAGS = [
    ("jpeg", "RGB", True, False),
    ("jpeg", "YBR_FULL_422", False, False),
    ("jpeg2000", "RGB", True, False),
    ("jpeg2000", "YBR_FULL_422", False, False),
    ("jpeg-ls", "RGB", True, False),
    ("jpeg-ls", "YBR_FULL_422", False, False),
]


def write(folder: Path, codec: str, photometric: str, ycbcr: bool, transform: bool) -> Path:
    return builder.dicom(
        folder, IMAGE, factors=(1,), codec=codec, photometric=photometric, ycbcr=ycbcr,
        transform=transform,
    )  # fmt: skip


@pytest.mark.parametrize(("codec", "photometric", "ycbcr", "transform"), MATRIX)
def test_every_codec_tag_and_transform_gives_the_true_colours(
    tmp_path: Path, codec: str, photometric: str, ycbcr: bool, transform: bool
) -> None:
    path = write(tmp_path / "slide", codec, photometric, ycbcr, transform)
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 300, 260, mpp=0.5)
    difference = np.abs(shown.astype(int) - IMAGE)
    assert difference.mean() < 1.5
    assert np.abs(shown[:40, :40].mean(axis=(0, 1)) - builder.GLASS).max() < 1.5


@pytest.mark.parametrize(("codec", "photometric", "ycbcr", "transform"), LYING_TAGS)
def test_a_tag_that_the_pixels_contradict_is_overruled_and_reported(
    tmp_path: Path, codec: str, photometric: str, ycbcr: bool, transform: bool
) -> None:
    path = write(tmp_path / "slide", codec, photometric, ycbcr, transform)
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 300, 260, mpp=0.5)
        told = slide.report.codes
    assert np.abs(shown.astype(int) - IMAGE).mean() < 1.5
    assert told[f"colour.tag_contradicted.{'ycbcr' if ycbcr else 'rgb'}"] == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("islands", [0, 2, 40])
def test_true_tags_are_never_contradicted(seed: int, islands: int) -> None:
    image = builder.tissue(200, 160, seed, islands=islands)
    red = np.full((160, 200, 3), (241, 128, 130), np.uint8)  # as YCbCr this would be glass
    red[40:120] = red[40:120] * 0.6
    for rgb in (image, red, image[..., ::-1], 255 - image):
        assert not contradicts(rgb.reshape(-1, 3), "rgb")
        assert not contradicts(builder.to_ycbcr(rgb).reshape(-1, 3), "ycbcr")


def test_openslide_shows_aperio_33003_in_dicom_pink_and_we_do_not(tmp_path: Path) -> None:
    path = write(tmp_path / "slide", "jpeg2000", "YBR_ICT", True, False)
    with openslide.OpenSlide(path / "PLANTED_1.dcm") as other:
        pink = np.asarray(other.read_region((0, 0), 0, (40, 40)))[..., :3].mean(axis=(0, 1))
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 40, 40, mpp=0.5).mean(axis=(0, 1))
    assert np.abs(pink - (241, 128, 129)).max() < 3
    assert np.abs(shown - builder.GLASS).max() < 1.5


@pytest.mark.parametrize(("ycbcr", "transform"), [(False, False), (False, True), (True, False)])
def test_aperio_jpeg_2000_is_read_by_its_transform_byte_then_its_tag(
    tmp_path: Path, ycbcr: bool, transform: bool
) -> None:
    path = builder.jpeg2000_svs(tmp_path / "a.svs", ycbcr=ycbcr, transform=transform)
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 400, 300, mpp=0.5)
    assert np.abs(shown.astype(int) - builder.tissue(400, 300)).mean() < 1.5


@pytest.mark.parametrize("kind", ["rgb", "ycbcr", None])
def test_tiff_jpeg_tiles_are_read_as_they_were_written(tmp_path: Path, kind: str | None) -> None:
    arguments = {"level": 95} | ({"outcolorspace": kind} if kind else {})
    path = builder.tiff(tmp_path / "a.tif", IMAGE, factors=(), compressionargs=arguments)
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 300, 260, mpp=0.5)
    assert np.abs(shown.astype(int) - IMAGE).mean() < 2


def test_converting_colours_rounds_as_libjpeg_does() -> None:
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    y, cb, cr = (values[..., channel].astype(float) for channel in range(3))
    exact = [
        y + 1.402 * (cr - 128),
        y - 0.344136286 * (cb - 128) - 0.714136286 * (cr - 128),
        y + 1.772 * (cb - 128),
    ]
    wanted = np.clip(np.stack(exact, axis=-1), 0, 255)
    assert np.abs(to_rgb(values, "ycbcr") - wanted).max() <= 0.501
    assert to_rgb(np.array([[[241, 128, 130]]], np.uint8), "ycbcr").tolist() == [[[244, 240, 241]]]


@pytest.mark.parametrize("label", ["rgb", "ycbcr"])
def test_chroma_stored_at_half_resolution_is_converted_once(tmp_path: Path, label) -> None:
    tile = builder.tissue(builder.TILE, builder.TILE, seed=1, islands=1)
    data = builder.coarse_chroma_tile(tile, tmp_path)
    header = parse_colour_stream(data)
    assert header is not None
    assert (header.transformed, header.colour) == (False, "rgb")
    shown = decode_codestream(data, label, builder.TILE, builder.TILE)
    assert np.abs(shown.astype(int) - tile).mean() < 3


def pillow(data: bytes) -> Rgb:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_jpeg_pixels_are_libjpegs_own(subsampling: str) -> None:
    out = io.BytesIO()
    index = {"444": 0, "422": 1, "420": 2}[subsampling]
    Image.fromarray(IMAGE).save(out, "JPEG", quality=80, subsampling=index)
    data = out.getvalue()
    assert np.array_equal(decode_codestream(data, "rgb", 260, 300), pillow(data))


def test_the_header_says_what_decides() -> None:
    plain = builder.encode_tile(IMAGE, "jpeg", ycbcr=False)
    jfif = builder.encode_tile(IMAGE, "jpeg", ycbcr=False, transform=True)
    named = [parse_colour_stream(data) for data in (plain, jfif)]
    assert [header.colour if header else "bad" for header in named] == [None, "ycbcr"]
    for transform in (False, True):
        data = builder.encode_tile(IMAGE, "jpeg2000", ycbcr=False, transform=transform)
        header = parse_colour_stream(data)
        assert header is not None
        assert (header.transformed, header.colour) == (transform, "rgb" if transform else None)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("islands", [0, 2, 40])
def test_pixels_tell_rgb_from_ycbcr_with_and_without_glass(seed: int, islands: int) -> None:
    image = builder.tissue(200, 160, seed, islands=islands)
    assert colour_of(image.reshape(-1, 3)) == "rgb"
    assert colour_of(builder.to_ycbcr(image).reshape(-1, 3)) == "ycbcr"


def test_a_colour_profile_is_reported_and_not_applied(slide_file) -> None:
    with open_slide(slide_file("dicom")) as slide:
        assert slide.report.codes["colour.profile_not_applied"] == 1
        assert slide.report.codes["colour.as_stored"] == 1


@pytest.mark.parametrize("premultiplied", [False, True])
def test_transparent_parts_stand_on_white(tmp_path: Path, premultiplied: bool) -> None:
    alpha = np.full((260, 300, 1), 255, np.uint8)
    alpha[:, :100], alpha[:, 100:200] = 0, 128
    colours = IMAGE * (alpha / 255) if premultiplied else IMAGE * (alpha > 0)
    data = np.concatenate([colours.astype(np.uint8), alpha], axis=2)
    path = builder.tiff(
        tmp_path / "a.tif", data, factors=(), compression="deflate", compressionargs=None,
        extrasamples=["ASSOCALPHA" if premultiplied else "UNASSALPHA"],
    )  # fmt: skip
    with open_slide(path) as slide:
        shown = slide.read(0, 0, 300, 260, mpp=0.5).astype(int)
    assert (shown[:, :100] == 255).all()
    assert np.abs(shown[:, 100:200] - (IMAGE[:, 100:200] * 0.502 + 127)).max() <= 2
    assert np.array_equal(shown[:, 200:], IMAGE[:, 200:])


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (IMAGE.astype(np.uint16) * 257, {}, "slide.bits"),
        (IMAGE[..., 0], {"photometric": "minisblack"}, "slide.fluorescence"),
        (np.concatenate([IMAGE, IMAGE[..., :1]], 2), {"photometric": "separated"}, "slide.cmyk"),
        (IMAGE[..., 0], {"photometric": "palette",
                         "colormap": np.zeros((3, 256), np.uint16)}, "slide.palette"),
        (np.concatenate([IMAGE, IMAGE[..., :2]], 2), {"extrasamples": ["UNSPECIFIED"] * 2},
         "slide.channels"),
    ],
)  # fmt: skip
def test_what_is_no_brightfield_image_is_refused_by_name(
    tmp_path: Path, data, options, code: str
) -> None:
    settings = {"compression": "deflate", "compressionargs": None} | options
    path = builder.tiff(tmp_path / "a.tif", data, factors=(), **settings)
    with pytest.raises(UnsupportedInputError) as caught:
        open_slide(path)
    assert caught.value.code == code
