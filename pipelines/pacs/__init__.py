"""Pacs."""
