"""Hundreds of damaged slides: each is read, or refused by an error of ours that names no path."""

from pathlib import Path

import numpy as np
import pytest
import slide_builder as builder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longllava_domains.errors import LongLlavaError
from longllava_domains.pathology import TilePolicy, open_slide

SEEDS = ["jpeg.tif", "lzw.tif", "subifd.tif", "aperio.svs", "jpeg2000.svs", "pyramid.ome.tif",
         "full.dcm", "sparse.dcm", "raw.dcm", "j2k.dcm", "rle.dcm", "jls.dcm"]  # fmt: skip


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    """Small slides of every kind; damage to their headers is likelier to be hit."""
    folder = tmp_path_factory.mktemp("secret_place")
    tile, builder.TILE = builder.TILE, 64
    image = builder.tissue(150, 120, seed=2, islands=1)
    try:
        builder.tiff(folder / "jpeg.tif", image, factors=(2,))
        builder.tiff(
            folder / "lzw.tif", image, factors=(2,), compression="lzw", compressionargs=None
        )
        builder.tiff(folder / "subifd.tif", image, factors=(2,), subifds=True)
        builder.svs(folder / "aperio.svs", image, factors=(2,))
        builder.jpeg2000_svs(folder / "jpeg2000.svs", ycbcr=True, transform=False)
        builder.ome(folder / "pyramid.ome.tif", image)
        options = {
            "full.dcm": {},
            "sparse.dcm": {"sparse": True},
            "raw.dcm": {"codec": "raw", "photometric": "RGB"},
            "j2k.dcm": {"codec": "jpeg2000", "photometric": "YBR_RCT"},
            "rle.dcm": {"codec": "rle", "photometric": "RGB"},
            "jls.dcm": {"codec": "jpeg-ls", "photometric": "RGB"},
        }
        for name, settings_ in options.items():
            made = builder.dicom(folder / name.removesuffix(".dcm"), image, factors=(1,),
                                 label=False, **settings_)  # fmt: skip
            (made / "PLANTED_1.dcm").rename(folder / name)
            made.rmdir()
    finally:
        builder.TILE = tile
    return folder


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.booleans()), max_size=6),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damage_anywhere_is_read_or_named(seeds: Path, caplog, name, edits, kept) -> None:
    data = bytearray((seeds / name).read_bytes())
    for place, value, in_header in edits:
        span = min(len(data), 1200) if in_header else len(data)
        data[int(place * (span - 1))] = value
    folder = seeds / "broken"
    folder.mkdir(exist_ok=True)
    path = folder / f"broken{Path(name).suffix}"
    path.write_bytes(data[: int(len(data) * kept)])
    try:
        error = outcome(path)
    finally:
        path.unlink()
    assert "broken" not in caplog.text
    if error is not None:
        assert "secret_place" not in str(error)
        assert "broken" not in str(error)
        assert error.remedy
        assert error.__cause__ is None


def outcome(path: Path) -> LongLlavaError | None:
    """Show the slide; return our error if it is refused. Any other error fails the test."""
    try:
        with open_slide(path, mpp=0.5) as slide:
            shown = slide.read(0, 0, *slide.size, mpp=0.5 * max(1, max(slide.size) / 150))
            whole = (0, 0, *slide.size)
            sequence = slide.to_sequence(TilePolicy(view_px=48, max_views=12), regions=[whole])
    except LongLlavaError as error:
        return error
    assert shown.dtype == np.uint8
    assert all(view.pixels.dtype == np.uint8 for view in sequence)
    return None
