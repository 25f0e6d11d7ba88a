"""OpenSlide in a child process: harm stays there, changes are noticed, pipes are no slides."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slide_builder as builder

from longllava_domains.errors import DamagedInputError, NotFoundError
from longllava_domains.formats.decoding.jail import CAN_JAIL, Jail
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.slide_source import DAMAGED_RGB, Box
from longllava_domains.pathology.sources import openslide_jailed as jailed
from longllava_domains.pathology.sources.decode import BadTileError, decode_codestream
from longllava_domains.pathology.sources.openslide import OpenSlideSource

BUILDERS = Path(__file__).parents[1] / "builders"
END = b"\xff\xd9"

pytestmark = pytest.mark.skipif(not CAN_JAIL, reason="child processes are jailed on POSIX only")


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return builder.svs(tmp_path / "a.svs", builder.tissue(600, 400, seed=2))


def test_a_child_says_of_a_slide_what_openslide_says_here(slide: Path) -> None:
    ours, here = jailed.JailedSlide(str(slide)), OpenSlideSource(str(slide))
    for name in (
        "levels",
        "vendor",
        "has_icc",
        "withheld",
        "mpp_evidence",
        "objective_power",
        "bounds",
    ):
        assert getattr(ours, name) == getattr(here, name)
    box = Box(13, 27, 301, 222)
    np.testing.assert_array_equal(ours.read(0, box), here.read(0, box))


def test_a_large_box_comes_in_pieces(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jailed, "_PIECE_PIXELS", 301 * 50)
    box = Box(13, 27, 301, 222)
    here = OpenSlideSource(str(slide))
    np.testing.assert_array_equal(jailed.JailedSlide(str(slide)).read(0, box), here.read(0, box))


def test_a_slide_that_changes_after_opening_is_refused(slide: Path) -> None:
    ours = jailed.JailedSlide(str(slide))
    slide.write_bytes(slide.read_bytes())
    with pytest.raises(DamagedInputError) as refused:
        ours.read(0, Box(0, 0, 10, 10))
    assert refused.value.code == "input.changed"


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", str(BUILDERS))
    made = Jail(1.0, "hostile_worker")
    monkeypatch.setattr(jailed, "_JAIL", made)
    yield
    made.close()


def test_a_slide_that_crashes_openslide_is_damaged_or_of_no_known_format(
    slide: Path, crashing: None
) -> None:
    with pytest.raises(DamagedInputError):
        jailed.JailedSlide(str(slide))
    assert jailed.detect_format(str(slide)) is None


def test_a_crash_while_reading_marks_the_box_or_refuses_it(
    slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = jailed.JailedSlide(str(slide))
    monkeypatch.setattr(jailed, "_JAIL", Jail(1.0, "json"))  # starts, and answers nothing
    with monkeypatch.context() as patched:
        patched.setattr(jailed._JAIL, "run", _crash)
        with pytest.raises(DamagedInputError) as refused:
            ours.read(0, Box(0, 0, 10, 10))
        assert refused.value.code == "slide.damaged_tile"
        assert (ours.read(0, Box(0, 0, 10, 10), "mark") == DAMAGED_RGB).all()
    assert ours.counts()["tiles.damaged"] == 1


def _crash(_: object) -> None:
    raise DamagedInputError("crashed", remedy="none", code="decoding.crash")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_is_no_slide(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFoundError):
        open_slide(tmp_path / "pipe")


@pytest.mark.parametrize("family", ["jpeg2000", "htj2k", "jpeg-ls", "jpeg-lossless"])
def test_a_tile_that_was_cut_and_ended_is_refused(family: str) -> None:
    import imagecodecs

    tile = np.ascontiguousarray(builder.tissue(128, 128, seed=3))
    tile[::7] ^= 5
    data = {
        "jpeg2000": lambda: imagecodecs.jpeg2k_encode(tile, level=0, codecformat="j2k"),
        "htj2k": lambda: imagecodecs.htj2k_encode(tile),
        "jpeg-ls": lambda: imagecodecs.jpegls_encode(tile),
        "jpeg-lossless": lambda: imagecodecs.jpeg8_encode(
            tile, lossless=True, predictor=1, colorspace="rgb", outcolorspace="rgb"
        ),
    }[family]()
    whole = decode_codestream(data, "rgb", 128, 128)
    assert np.array_equal(whole, tile)
    for place in range(200, len(data) - 2, len(data) // 23):
        with pytest.raises(BadTileError):
            decode_codestream(data[:place] + END, "rgb", 128, 128)
