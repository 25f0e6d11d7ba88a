"""Nifti."""
