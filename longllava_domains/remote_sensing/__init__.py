"""Rasters of any size: views with their place on the map, and answers back on it."""
