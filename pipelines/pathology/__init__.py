"""Pathology."""
