"""Headers that claim what no file holds are refused before memory is taken."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
from raster_builder import scene, write

from longllava_domains.errors import DamagedInputError
from longllava_domains.remote_sensing import open_raster

CHECK = """
import re, sys
from pathlib import Path
from longllava_domains.errors import InputError
from longllava_domains.remote_sensing import open_raster
try:
    with open_raster(sys.argv[1]) as raster:
        raster.to_sequence()
except InputError as error:
    print(error.code)
# Not ru_maxrss: a child begins with the peak of the process that started it.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def claim(
    path: Path, side: int, *, tile: int = 0, strip: int = 1, bits: int = 8, code: int = 8
) -> Path:
    """Write a TIFF of about 150 bytes that claims side x side pixels."""
    tags = [(256, side), (257, side), (258, bits), (259, code), (262, 1)]
    if tile:
        tags += [(277, 1), (322, tile), (323, tile), (324, 8), (325, 4)]
    else:
        tags += [(273, 8), (277, 1), (278, strip), (279, 4)]
    entries = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in tags)
    head = b"II*\0" + struct.pack("<I", 12) + b"abcd" + struct.pack("<H", len(tags))
    path.write_bytes(head + entries + bytes(4))
    return path


@pytest.mark.parametrize(
    "how",
    [
        {"side": 10**6},
        {"side": 10**6, "strip": 10**6, "code": 1},
        {"side": 10**6, "tile": 65536, "bits": 16},
        {"side": 10**6, "tile": 512},
        {"side": 10**5, "tile": 32768, "bits": 16},
    ],
)
def test_a_few_bytes_that_claim_a_giant_cost_little(tmp_path: Path, how: dict[str, int]) -> None:
    path = claim(tmp_path / "giant.tif", **how)
    assert path.stat().st_size < 200
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, peak_kb = done.stdout.split()
    assert code in ("raster.absurd_size", "raster.damaged")
    assert int(peak_kb) < 500_000


def test_a_raster_that_changes_after_opening_is_not_vouched_for(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    write(path, scene(1, "uint8"))
    with open_raster(path) as raster:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(DamagedInputError) as refused:
            assert raster.input_sha256
        assert refused.value.code == "input.changed"


def test_an_ordinary_scene_is_plausible(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    profile = {"width": 20_000, "height": 20_000, "count": 1, "dtype": "uint8", "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **profile):
        pass
    with open_raster(path) as raster:
        assert raster.width == 20_000
