"""Check a header's claims against what the file holds, before anything is allocated for it."""

import os
from typing import Any, Final

import numpy as np

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.units import GIB, MIB, human_bytes

# GDAL decodes a tile as a whole.
_MAX_TILE_BYTES: Final = 512 * MIB
# Large scenes are sparse or shrink a thousandfold at most; only a claim grows beyond.
_LARGE_BYTES: Final = 16 * GIB
_MAX_RATIO: Final = 100_000


def require_plausible(dataset: Any, name: str) -> None:
    """Refuse a raster whose claims would fill memory or time with nothing.

    Args:
        dataset: An open rasterio dataset with bands.
        name: What it was opened from; sizes are compared for a local file that is no VRT.

    Raises:
        UnsupportedInputError: Tiles of gigabytes, or pixels far beyond the bytes of the file.
    """
    itemsize = max(np.dtype(_plain(kind)).itemsize for kind in dataset.dtypes)
    rows, columns = dataset.block_shapes[0]
    tile = rows * columns * itemsize
    if columns < dataset.width and tile > _MAX_TILE_BYTES:
        raise _absurd(f"has tiles of {human_bytes(tile)}", dataset)
    claimed = dataset.width * dataset.height * itemsize
    if dataset.driver == "VRT" or claimed <= _LARGE_BYTES or not os.path.isfile(name):
        return
    if claimed > _MAX_RATIO * os.path.getsize(name):
        raise _absurd(f"claims {human_bytes(claimed)} of pixels in a small file", dataset)


def _plain(name: str) -> str:
    return "complex64" if name.startswith("complex") else name


def _absurd(found: str, dataset: Any) -> UnsupportedInputError:
    return UnsupportedInputError(
        f"The raster {found}.",
        remedy="No scene is like that: the header is damaged, or write it with smaller tiles.",
        code="raster.absurd_size",
        facts={"width": int(dataset.width), "height": int(dataset.height)},
    )
