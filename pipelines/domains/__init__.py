"""Kinds of input: one file for each, one registry, and the evidence that decides between them."""
