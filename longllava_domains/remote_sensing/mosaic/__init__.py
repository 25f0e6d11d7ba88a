"""Mosaic."""
