"""What only OpenSlide opens is read like all else: whole boxes, white glass, damage that stays local."""

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import slide_builder as builder

from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pathology import open as opening
from longllava_domains.pathology.slide_source import DAMAGED_RGB, Box
from longllava_domains.pathology.sources.openslide import OpenSlideSource


@pytest.fixture
def through_openslide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every TIFF count as a format that only OpenSlide reads."""
    monkeypatch.setattr(opening, "_OWN_TIFF", ())


@pytest.mark.usefixtures("through_openslide")
@pytest.mark.parametrize("mpp", [0.5, 1.3, 2.0, 9.0])
def test_both_readers_show_the_same(slide_file, monkeypatch, mpp: float) -> None:
    with open_slide(slide_file("svs")) as theirs:
        assert theirs.report.codes["backend.openslide"] == 1
        assert theirs.report.codes["reason.only_openslide"] == 1
        assert theirs.report.codes["images.withheld"] == 2
        assert theirs.report.numbers["objective_power_hint"] == 20
        shown = theirs.read(-20, 33, 900, 800, mpp=mpp)
    monkeypatch.undo()
    with open_slide(slide_file("svs")) as ours:
        assert [level.downsample for level in theirs.levels] == [
            level.downsample for level in ours.levels
        ]
        difference = np.abs(ours.read(-20, 33, 900, 800, mpp=mpp).astype(int) - shown)
    # OpenSlide takes a level for 4.0057 times smaller, and shows it an eighth of a pixel off.
    assert difference.max() == 0 if mpp < 2 else difference.mean() < 0.7


@pytest.mark.usefixtures("through_openslide")
def test_sequences_are_the_same_whichever_reader_it_is(slide_file, monkeypatch) -> None:
    policy = TilePolicy(view_px=112, max_views=15)
    with open_slide(slide_file("tiff")) as slide:
        theirs = slide.to_sequence(policy)
    monkeypatch.undo()
    with open_slide(slide_file("tiff")) as slide:
        ours = slide.to_sequence(policy)
    for one, other in zip(theirs, ours, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 0.7
    assert [view.place for view in theirs] == [view.place for view in ours]


class Broken:
    """A slide whose reads fail in one corner, as OpenSlide's do, and then for ever."""

    level_dimensions = ((1000, 800),)
    level_downsamples = (1.0,)

    def __init__(self) -> None:
        self.properties = {
            "openslide.bounds-x": "100", "openslide.bounds-y": "50",
            "openslide.bounds-width": "700", "openslide.bounds-height": "2000",
            "openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25", "openslide.vendor": "made-up",
        }  # fmt: skip
        self.failed = False

    def read_region(self, place, level: int, size) -> Any:
        from PIL import Image

        if self.failed or (place[0] < 130 and place[1] < 130):
            self.failed = True
            raise openslide.OpenSlideError("secret path")
        picture = Image.new("RGBA", size, (200, 100, 150, 255))
        picture.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
        return picture

    def close(self) -> None:
        pass


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> OpenSlideSource:
    monkeypatch.setattr(
        "longllava_domains.pathology.sources.openslide._open", lambda path: Broken()
    )
    return OpenSlideSource("anything")


def test_what_is_transparent_is_white_not_black(broken: OpenSlideSource) -> None:
    shown = broken.read(0, Box(400, 400, 100, 100))
    assert (shown[:, :50] == 255).all()
    assert (shown[:, 50:] == (200, 100, 150)).all()


def test_after_an_error_the_slide_is_opened_anew_and_damage_stays_local(
    broken: OpenSlideSource,
) -> None:
    with pytest.raises(DamagedInputError) as caught:
        broken.read(0, Box(0, 0, 400, 400))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert broken.read(0, Box(400, 400, 10, 10)).shape == (10, 10, 3)
    marked = broken.read(0, Box(0, 0, 1000, 800), "mark")
    bad = (marked == DAMAGED_RGB).all(axis=-1)
    assert bad[:130, :130].all()
    assert not bad[300:].any()
    assert broken.counts()["tiles.damaged"] >= 1


def test_bounds_are_cut_to_the_slide(broken: OpenSlideSource) -> None:
    assert broken.bounds == Box(100, 50, 700, 750)
    assert broken.mpp_evidence[0].x == 0.25


def test_what_openslide_cannot_open_is_named(tmp_path: Path) -> None:
    with pytest.raises((UnsupportedInputError, NotFoundError)):
        OpenSlideSource(str(tmp_path / "nothing.mrxs"))
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff" * 50)
    with pytest.raises((UnsupportedInputError, DamagedInputError)) as caught:
        open_slide(tmp_path / "a.mrxs")
    assert "a.mrxs" not in str(caught.value)


def test_a_codec_we_lack_is_left_to_openslide(tmp_path: Path, monkeypatch) -> None:
    path = builder.svs(tmp_path / "a.svs", builder.tissue(300, 200), factors=())
    monkeypatch.setattr("longllava_domains.pathology.sources.tiff_index.JPEG", -1)
    with open_slide(path) as slide:
        assert slide.report.codes["reason.codec"] == 1
        assert slide.mpp == 0.5
        assert slide.read(0, 0, 300, 200, mpp=0.5).shape == (200, 300, 3)
