"""Rasters of any size: views with their place on the map, and answers back on it."""

from longllava_domains.remote_sensing.dates import open_dates
from longllava_domains.remote_sensing.open import open_raster
from longllava_domains.remote_sensing.raster import Raster
from longllava_domains.remote_sensing.stac.read import search_stac
from longllava_domains.remote_sensing.stretch import Stretch
from longllava_domains.remote_sensing.views.policy import GridPolicy

__all__ = ["GridPolicy", "Raster", "Stretch", "open_dates", "open_raster", "search_stac"]


def __dir__() -> list[str]:
    return list(__all__)
