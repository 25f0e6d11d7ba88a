"""Rasters of any size: views with their place on the map, and answers back on it."""

from longllava_domains.remote_sensing.open import open_raster
from longllava_domains.remote_sensing.planner import GridPolicy
from longllava_domains.remote_sensing.raster import Raster
from longllava_domains.remote_sensing.stac_read import search_stac
from longllava_domains.remote_sensing.stretch import Stretch

__all__ = ["GridPolicy", "Raster", "Stretch", "open_raster", "search_stac"]
