"""Virtual rasters are read, missed and hashed as the files they stand for."""

import hashlib
import shutil
import zipfile

import hard_rasters as hard
import pytest
import raster_builder as builder

from longllava_domains.errors import NotFoundError
from longllava_domains.remote_sensing import open_raster

SIZE = (builder.WIDTH, builder.HEIGHT)


@pytest.mark.parametrize("name", ["a&b.tif", "it's <odd>.tif", "ü x.tif"])
@pytest.mark.parametrize("relative", ['relativeToVRT="1"', "relativeToVRT = '1' shared=\"0\""])
def test_names_are_read_as_xml_spells_them(tmp_path, name, relative) -> None:
    """Family: escapes of one notation taken for characters of another; good data was refused."""
    builder.tiled(tmp_path / name)
    path = hard.vrt(tmp_path / "scene.vrt", [name], *SIZE, relative=relative)
    assert open_raster(path).width == builder.WIDTH
    (tmp_path / name).unlink()
    with pytest.raises(NotFoundError, match="1 of 1"):
        open_raster(path)


def test_a_hash_covers_every_file_that_is_read(tmp_path) -> None:
    """Family: a checksum of the wrapping, not of what is in it."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        builder.tiled(tmp_path / folder / "a.tif")
        hard.vrt(tmp_path / folder / "inner.vrt", ["a.tif"], *SIZE)
        hard.vrt(tmp_path / folder / "outer", ["inner.vrt"], *SIZE)  # known by its content
    names = ("inner.vrt", "outer")
    before = [open_raster(tmp_path / "one" / name).input_sha256 for name in names]
    assert before == [open_raster(tmp_path / "two" / name).input_sha256 for name in names]
    assert len(set(before)) == 2
    builder.tiled(tmp_path / "two" / "a.tif", data=builder.scene(seed=5))
    after = [open_raster(tmp_path / "two" / name).input_sha256 for name in names]
    assert not set(before) & set(after)


@pytest.mark.parametrize("how", ["sidecar", "zip", "vrt link", "world file"])
def test_a_hash_covers_sidecars_archives_and_links(tmp_path, how) -> None:
    """Family: a checksum of the wrapping, not of what is in it; masks and world files change pixels."""
    seen = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = builder.tiled(folder / "a.tif", transform=None, crs=None)
        name = str(path)
        if how == "sidecar":
            builder.sidecar_mask(path)
            if seed:
                shutil.copy(path.with_name("a.tif.msk"), folder / "old")
                path.with_name("a.tif.msk").write_bytes((folder / "old").read_bytes() + b"\0")
        elif how == "world file":
            (folder / "a.tfw").write_text(f"1\n0\n0\n-1\n{seed}\n0\n")
        else:
            builder.tiled(path, data=builder.scene(seed=seed))
            if how == "zip":
                with zipfile.ZipFile(folder / "a.zip", "w") as archive:
                    archive.write(path, "in/a.tif")
                name = f"zip://{folder}/a.zip!in/a.tif"
            else:
                name = f"vrt://{path}?bands=1,2,3"
        raster = open_raster(name)
        seen.append(raster.input_sha256)
        assert str(tmp_path) not in raster.provenance["source_href"]
    assert len({*seen, None}) == 3


def test_a_plain_file_keeps_its_own_checksum(tmp_path) -> None:
    """Family: a checksum of the wrapping; a file without any is only itself."""
    path = builder.tiled(tmp_path / "a.tif")
    assert open_raster(path).input_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
