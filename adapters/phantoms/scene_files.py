"""Write scene and slide phantoms as what a mapping agency or a scanner would hand over."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.labelled_scene import LabelledScene
from longllava_domains.adapters.phantoms.labelled_slide import MPP, LabelledSlide
from longllava_domains.arguments import checked
from longllava_domains.files import require_writable

RESOLUTION_M: Final = 0.5
_CORNER: Final = (500_000.0, 5_400_000.0)
_TILE_PX: Final = 128


@checked
def write_geotiff(scene: LabelledScene, path: str | Path) -> Path:
    """Write a scene as GeoTIFF in UTM zone 31N at 0.5 m per pixel, and return the path.

    Raises:
        OutputError: Nothing can be written there.
    """
    require_writable(path, overwrite=True)
    import rasterio
    from affine import Affine

    rows, columns = scene.rgb.shape[:2]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": 3,
        "height": rows,
        "width": columns,
        "dtype": "uint8",
        "crs": "EPSG:32631",
        "photometric": "RGB",
        "transform": Affine(RESOLUTION_M, 0, _CORNER[0], 0, -RESOLUTION_M, _CORNER[1]),
    }
    with rasterio.open(path, "w", **profile) as file:
        file.write(scene.rgb.transpose(2, 0, 1))
    return Path(path)


@checked
def write_pyramid(slide: LabelledSlide, path: str | Path) -> Path:
    """Write a slide as tiled pyramidal TIFF with its resolution, lossless, and return the path.

    Raises:
        OutputError: Nothing can be written there.
    """
    require_writable(path, overwrite=True)
    import tifffile

    per_cm = 10_000 / MPP
    levels = [slide.rgb, _halved(slide.rgb), _halved(_halved(slide.rgb))]
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            file.write(
                level,
                tile=(_TILE_PX, _TILE_PX),
                photometric="rgb",
                compression="deflate",
                resolution=(per_cm / 2**number, per_cm / 2**number),
                resolutionunit="CENTIMETER",
                subfiletype=1 if number else 0,
            )
    return Path(path)


def _halved(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = (size // 2 for size in rgb.shape[:2])
    cells = rgb[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    return np.asarray(np.rint(cells.mean((1, 3))), np.uint8)
