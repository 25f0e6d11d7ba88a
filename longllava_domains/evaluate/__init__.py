"""Scores of prediction files, whoever made them, under named and versioned protocols."""

from longllava_domains.evaluate.dispatch import PROTOCOLS, score
from longllava_domains.evaluate.result import Result

__all__ = ["PROTOCOLS", "Result", "score"]
