"""Hounsfield."""
