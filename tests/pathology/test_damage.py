"""Tiles that cannot be decoded are refused or marked, counted once, and never made up."""

import io
from pathlib import Path

import numpy as np
import pytest
import slide_builder as builder
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from longllava_domains.errors import DamagedInputError
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pathology.slide_source import DAMAGED_RGB
from longllava_domains.pathology.sources.decode import BadTileError, decode_codestream

IMAGE = builder.tissue(700, 500, seed=2)
ACROSS = 6


def with_bad_tile(path: Path, damage, *, tile: int = 8, compression: str = "jpeg") -> Path:
    """Write a flat slide and damage the bytes of one tile."""
    arguments = {"level": 92} if compression == "jpeg" else None
    builder.tiff(path, IMAGE, factors=(), compression=compression, compressionargs=arguments)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[tile], page.databytecounts[tile]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = damage(bytes(data[offset : offset + count]))
    path.write_bytes(data)
    return path


def zeros(tile: bytes) -> bytes:
    return bytes(len(tile))


def cut_short(tile: bytes) -> bytes:
    return tile[: len(tile) // 2] + b"\xff\xd9" + bytes(len(tile) - len(tile) // 2 - 2)


def noise(tile: bytes) -> bytes:
    middle = np.random.default_rng(0).bytes(len(tile) // 2)
    return tile[: len(tile) // 4] + middle + tile[len(tile) // 4 + len(middle) :]


@pytest.mark.parametrize(
    ("damage", "compression"),
    [(zeros, "jpeg"), (cut_short, "jpeg"), (noise, "jpeg"), (zeros, "deflate"), (noise, "lzw"),
     (cut_short, "zstd")],
)  # fmt: skip
def test_a_bad_tile_is_refused_marked_and_counted_once(
    tmp_path: Path, damage, compression: str
) -> None:
    path = with_bad_tile(tmp_path / "a.tif", damage, compression=compression)
    left, top = 8 % ACROSS * 128, 8 // ACROSS * 128
    with open_slide(path) as slide:
        for _ in range(2):
            with pytest.raises(DamagedInputError) as caught:
                slide.read(left + 100, top, 60, 60, mpp=0.5)
            assert caught.value.code == "slide.damaged_tile"
        assert slide.read(0, 0, left, 500, mpp=0.5).shape == (500, left, 3)
        marked = slide.read(0, 0, 700, 500, mpp=0.5, damaged="mark")
        assert (marked[top : top + 128, left : left + 128] == DAMAGED_RGB).all()
        assert np.abs(marked[:top].astype(int) - IMAGE[:top]).mean() < 2
        assert slide.report.codes["tiles.damaged"] == 1


def test_views_with_a_bad_tile_are_left_out_or_marked_as_the_protocol_says(tmp_path: Path) -> None:
    path = with_bad_tile(tmp_path / "a.tif", noise)
    with open_slide(path) as slide:
        sound = slide.to_sequence(TilePolicy("native-tiles@1", view_px=128, tissue_min=0))
        joint = slide.to_sequence(TilePolicy(view_px=128))
    assert sound.left_out["damaged"] >= 1
    assert not any((view.pixels == DAMAGED_RGB).all(axis=-1).any() for view in sound)
    assert len(joint) == 1 + joint.grid[0] * joint.grid[1]
    report = joint.provenance["load_report"]["codes"]
    assert report["tiles.damaged"] == 1
    assert report["views.marked"] >= 2


def test_a_dicom_slide_cut_short_is_refused_by_name(tmp_path: Path) -> None:
    folder = builder.dicom(tmp_path / "slide", IMAGE, factors=(1,), label=False)
    path = folder / "PLANTED_1.dcm"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_slide(folder) as slide, pytest.raises(DamagedInputError) as caught:
        slide.read(0, 0, 100, 100, mpp=0.5)
    assert caught.value.code == "slide.damaged"


def jpeg(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90)
    return out.getvalue()


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0.1, 0.98), flat=st.booleans(), ended=st.booleans())
def test_a_jpeg_that_ends_early_is_never_taken_for_a_whole_one(
    share: float, flat: bool, ended: bool
) -> None:
    tile = IMAGE[100:228, 100:228].copy()
    if flat:
        tile[64:] = builder.GLASS
    data = jpeg(tile)
    whole = decode_codestream(data, "rgb", 128, 128)
    cut = data[: int(len(data) * share)] + (b"\xff\xd9" if ended else b"")
    try:
        decoded = decode_codestream(cut, "rgb", 128, 128)
    except BadTileError:
        return
    # Only the last block that is coded together may differ: there the end leaves no trace.
    differ = (decoded != whole).any(axis=-1)
    differ[-16:, -16:] = False
    assert not differ.any()


@pytest.mark.parametrize("level", [builder.GLASS, (255, 255, 255), (0, 0, 0), (128, 128, 128)])
def test_a_sound_tile_of_one_colour_is_no_damage(level) -> None:
    tile = np.full((128, 128, 3), level, np.uint8)
    assert np.abs(decode_codestream(jpeg(tile), "rgb", 128, 128).astype(int) - level).max() <= 2


def test_a_jpeg_that_lacks_only_its_end_marker_is_whole() -> None:
    data = jpeg(IMAGE[:128, :128])
    assert data.endswith(b"\xff\xd9")
    whole = decode_codestream(data, "rgb", 128, 128)
    assert np.array_equal(decode_codestream(data[:-2], "rgb", 128, 128), whole)


@pytest.mark.parametrize(("rows", "columns"), [(127, 128), (128, 129), (65535, 65535)])
def test_a_tile_of_another_size_than_the_index_says_is_not_decoded(rows: int, columns: int) -> None:
    with pytest.raises(BadTileError):
        decode_codestream(jpeg(IMAGE[:128, :128]), "rgb", rows, columns)


def test_high_throughput_jpeg_2000_is_whole_or_refused() -> None:
    import imagecodecs

    tile = np.ascontiguousarray(IMAGE[100:228, 100:228])
    data = imagecodecs.htj2k_encode(tile)
    assert np.array_equal(decode_codestream(data, "ycbcr", 128, 128), tile)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(BadTileError):
            decode_codestream(data[: int(len(data) * share)], "rgb", 128, 128)
