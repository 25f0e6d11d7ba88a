"""The child process in which GDAL opens what is not plain: descriptions and pixels out.

    python -P -m longllava_domains.remote_sensing.io.datasets.worker MEMORY

See `formats.decoding.worker` for the frame around it. Datasets stay open between requests, each
with the settings that its request names.
"""

import json
import sys
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.formats.decoding.document import answer_document
from longllava_domains.formats.decoding.worker import serve
from longllava_domains.formats.dicom.source_file import changed
from longllava_domains.formats.regular_file import open_regular, stamp_of
from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.io.datasets.description import describe
from longllava_domains.remote_sensing.io.gdal import open_here

_KEPT: Final = 64
_open: OrderedDict[str, tuple[Any, ExitStack]] = OrderedDict()


def describe_dataset(_: bytes, text: str, room: int) -> tuple[NDArray[np.uint8], int]:
    """Describe a dataset; see `answer_document`."""
    import rasterio

    request = json.loads(text)
    with rasterio.Env(**request["settings"]), silenced() as warned:
        said = describe(_dataset(request))
    return answer_document({**said, "warnings": warned.count}, room)


def read_pixels(_: bytes, text: str) -> tuple[NDArray[Any], int]:
    """Read bands, or the mask of one, of a window."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    request = json.loads(text)
    with rasterio.Env(**request["settings"]), silenced():
        dataset = _dataset(request)
        options = {
            "window": Window(*request["window"]),
            "resampling": Resampling[request["resampling"]],
            "out_shape": tuple(request["out_shape"]),
        }
        if request["masks"]:
            return dataset.read_masks(request["bands"], **options), 0
        return dataset.read(request["bands"], out_dtype=request["dtype"], **options), 0


def _dataset(request: dict[str, Any]) -> Any:
    """Return the dataset that a request names, opened now or before."""
    if request["stamp"] is not None:
        with open_regular(request["name"]) as file:
            if list(stamp_of(file)) != request["stamp"]:
                raise changed("a raster")
    key = json.dumps([request[part] for part in ("name", "stamp", "formats", "warped")])
    if key not in _open:
        stack = ExitStack()
        _open[key] = (_opened(request, stack), stack)
    _open.move_to_end(key)
    while len(_open) > _KEPT:
        _open.popitem(last=False)[1][1].close()
    return _open[key][0]


def _opened(request: dict[str, Any], stack: ExitStack) -> Any:
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    dataset = stack.enter_context(open_here(request["name"], request["formats"]))
    if request["warped"] is None:
        return dataset
    options = dict(request["warped"])
    if "transform" in options:
        options["transform"] = Affine(*options["transform"])
    options["resampling"] = Resampling[options["resampling"]]
    return stack.enter_context(WarpedVRT(dataset, **options))


def _load() -> None:
    import rasterio.vrt  # noqa: F401


if __name__ == "__main__":
    serve(int(sys.argv[1]), {"describe": describe_dataset, "read": read_pixels}, _load)
