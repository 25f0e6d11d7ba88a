"""A small black scene on the ground, for tests of what is said about a scene and not of what it shows."""

import numpy as np
import rasterio
from rasterio.transform import from_origin


def write_scene(name: str) -> None:
    """Write a GeoTIFF of 64 x 64 pixels of 0.5 m, three bands of zeros."""
    with rasterio.open(
        name, "w", driver="GTiff", width=64, height=64, count=3, dtype="uint8",
        crs="EPSG:32618", transform=from_origin(500000, 4500000, 0.5, 0.5),
    ) as file:  # fmt: skip
        file.write(np.zeros((3, 64, 64), np.uint8))
