"""What a child process has open answers as rasterio does here, and harm in it stays there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import raster_builder
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import transform
from rasterio.windows import Window

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.decoding.jail import CAN_JAIL, Jail
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.io.datasets import jailed, plain
from longllava_domains.remote_sensing.io.datasets import open as door
from longllava_domains.remote_sensing.io.gdal import gdal_settings

BUILDERS = Path(__file__).parents[3] / "builders"
SCENE = raster_builder.scene(3, "uint8", 300, 200)
LARGE = raster_builder.scene(3, "uint8", 1100, 600)
HAZARDS = ("tiled", "planar", "float_predictor", "with_overviews", "rotated", "gcp_only", "rpc_only",
           "no_georeference", "local_crs", "palette", "scale_offset", "nan_nodata", "internal_mask",
           "alpha_and_nodata", "sidecar_mask", "ten_bands")  # fmt: skip
FORMATS: dict[str, dict[str, Any]] = {
    "scene.jp2": {"driver": "JP2OpenJPEG", "quality": 100, "reversible": "yes"},
    "scene.png": {"driver": "PNG"},
    "scene.img": {"driver": "HFA"},
    "lerc.tif": {"compress": "lerc"},
    "jpeg.tif": {"compress": "jpeg", "photometric": "ycbcr"},
    "webp.tif": {"compress": "webp"},
}

pytestmark = pytest.mark.skipif(not CAN_JAIL, reason="child processes are jailed on POSIX only")


@pytest.fixture
def everything_jailed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "is_plain", lambda name: False)


def facts(dataset: Any) -> dict[str, Any]:
    """Everything that this package asks of a dataset."""
    bands = range(1, dataset.count + 1)
    gcps, gcp_crs = dataset.gcps
    named = ("width", "height", "count", "driver", "block_shapes", "colorinterp", "descriptions",
             "scales", "offsets", "mask_flag_enums", "transform", "crs", "files")  # fmt: skip
    return {
        **{name: getattr(dataset, name) for name in named},
        "dtypes": tuple(dataset.dtypes),
        "nodata": [str(value) for value in dataset.nodatavals],
        "units": tuple(dataset.units),
        "overviews": [list(dataset.overviews(band)) for band in bands],
        "gcps": [(point.row, point.col, point.x, point.y, point.z) for point in gcps],
        "gcp_crs": gcp_crs,
        "rpcs": None if dataset.rpcs is None else dataset.rpcs.to_dict(),
        "subdatasets": len(dataset.subdatasets),
        "tags": [dict(dataset.tags(ns=ns)) for ns in ("IMAGE_STRUCTURE", "IMAGERY")],
        "all": dict(dataset.tags()),
        "bits": [dict(dataset.tags(band, ns="IMAGE_STRUCTURE")) for band in bands],
        "colours": [_colours(dataset, band) for band in bands],
    }


def _colours(dataset: Any, band: int) -> Any:
    try:
        return {entry: tuple(colour) for entry, colour in dataset.colormap(band).items()}
    except ValueError:
        return None


def compare(path: Path) -> None:
    with gdal_settings(), rasterio.open(path) as other:
        ours = door.open_dataset(str(path))
        assert isinstance(ours, jailed.JailedDataset)
        assert facts(ours) == facts(other)
        half = (other.height // 2, other.width // 2)
        for shape in (None, half):
            how: dict[str, Any] = {"window": Window(0, 0, other.width, other.height)}
            how |= {"resampling": Resampling.average} | (
                {} if shape is None else {"out_shape": shape}
            )
            for indexes in (1, list(range(1, other.count + 1))):
                kind = other.dtypes[0]
                there = other.read(indexes, out_dtype=kind, **how)
                np.testing.assert_array_equal(ours.read(indexes, out_dtype=kind, **how), there)
            np.testing.assert_array_equal(ours.read_masks(1, **how), other.read_masks(1, **how))


@pytest.mark.usefixtures("everything_jailed")
@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_tiff_in_jail_is_the_same_tiff(raster_file: Callable[[str], Path], hazard: str) -> None:
    compare(raster_file(hazard))


@pytest.mark.parametrize("name", FORMATS)
def test_formats_with_decoders_of_their_own_are_jailed_and_read_alike(
    tmp_path: Path, name: str
) -> None:
    compare(raster_builder.write(tmp_path / name, SCENE, **FORMATS[name]))


def test_a_large_window_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jailed, "_PIECE_PIXELS", 7 * SCENE.shape[2] * SCENE.shape[0])
    compare(raster_builder.write(tmp_path / "scene.png", SCENE, driver="PNG"))


def test_plain_tiffs_stay_here_and_what_hides_another_decoder_does_not(tmp_path: Path) -> None:
    def jails(name: str, **profile: Any) -> bool:
        data = LARGE if name == "cog.tif" else SCENE  # large enough for an overview
        path = raster_builder.write(tmp_path / name, data, **profile)
        return not plain.is_plain(str(path))

    assert not jails("a.tif")
    assert not any(jails("b.tif", compress=kind) for kind in ("lzw", "deflate", "packbits", "zstd"))
    assert jails("c.tif", compress="lzma")
    assert not jails("cog.tif", driver="COG", compress="deflate")
    assert jails("cog.tif", driver="COG", compress="deflate", overview_compress="jpeg")
    path = raster_builder.write(tmp_path / "d.tif", SCENE)
    beside = raster_builder.write(tmp_path / "d.tif.ovr", SCENE, driver="GTiff", compress="jpeg")
    assert not plain.is_plain(str(path))
    beside.unlink()
    notes = tmp_path / "d.tif.aux.xml"
    notes.write_text("<PAMDataset></PAMDataset>")
    assert plain.is_plain(str(path))
    notes.write_text('<Metadata domain="OVERVIEWS"><MDI key="overview_file">x.jp2</MDI></Metadata>')
    assert not plain.is_plain(str(path))
    notes.unlink()
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="x.jp2")
    assert not plain.is_plain(str(path))
    assert not plain.is_plain(f"/vsizip/{path}")


def test_a_mosaic_warps_in_jail_as_it_does_here(tmp_path: Path) -> None:
    first = raster_builder.write(tmp_path / "first.tif", SCENE)
    (left,), (top,) = transform("EPSG:32631", "EPSG:32632", [502000.0], [5399000.0])
    beside = Affine(10.0, 0.0, left, 0.0, -10.0, top)
    shown = []
    for name, profile in (("second.tif", {}), ("second.jp2", FORMATS["scene.jp2"])):
        second = raster_builder.write(
            tmp_path / name, SCENE, crs="EPSG:32632", transform=beside, **profile
        )
        with open_raster([first, second]) as raster:
            assert raster.report.codes["warped"] == 1
            shown.append([view.pixels for view in raster.to_sequence()])
    for here, there in zip(*shown, strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_file_that_changes_after_opening_is_refused(tmp_path: Path) -> None:
    path = raster_builder.write(tmp_path / "scene.png", SCENE, driver="PNG")
    with open_raster(path) as raster:
        raster_builder.write(path, SCENE[:, ::-1], driver="PNG")
        with pytest.raises(DamagedInputError) as refused:
            raster.to_sequence()
    assert refused.value.code == "input.changed"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jail]:
    monkeypatch.setenv("PYTHONPATH", str(BUILDERS))
    made = Jail(1.0, "hostile_worker")
    monkeypatch.setitem(jailed._JAILS, False, made)
    yield made
    made.close()


@pytest.mark.usefixtures("hostile")
def test_a_format_that_crashes_gdal_is_a_damaged_input(tmp_path: Path) -> None:
    path = raster_builder.write(tmp_path / "scene.png", SCENE, driver="PNG")
    with pytest.raises(DamagedInputError) as refused:
        open_raster(path)
    assert refused.value.code == "decoding.crash"


def test_files_of_this_machine_are_opened_without_tokens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert {remote: jail.environment for remote, jail in jailed._JAILS.items()} == {
        False: False,
        True: True,
    }
    asked: list[str] = []
    run = Jail.run
    monkeypatch.setattr(
        Jail, "run", lambda self, job: asked.append(str(job.arguments[0])) or run(self, job)
    )
    path = raster_builder.write(tmp_path / "scene.png", SCENE, driver="PNG")
    with rasterio.Env(AWS_NO_SIGN_REQUEST="YES", GDAL_HTTP_HEADERS="Authorization: SECRET"):
        open_raster(path).close()
    assert asked
    assert "SECRET" not in "".join(asked)


def test_a_description_that_is_none_is_our_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A child that a file has taken over says anything at all."""
    path = raster_builder.write(tmp_path / "scene.png", SCENE, driver="PNG")
    for said in ({}, {"warnings": 0, "width": "x"}, {"warnings": None}):
        monkeypatch.setattr(jailed, "ask_document", lambda *_, said=said: said)
        with pytest.raises((DamagedInputError, door.UnsupportedInputError)):
            open_raster(path)
