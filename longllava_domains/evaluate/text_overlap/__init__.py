"""Overlap of words between texts, each score named for the implementation that it equals."""
