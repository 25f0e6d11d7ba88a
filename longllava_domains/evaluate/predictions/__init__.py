"""Predictions, whoever made them, beside their references."""

from longllava_domains.evaluate.predictions.matching import pair_rows
from longllava_domains.evaluate.predictions.pairing import Counts, Matching, Pair, Pairing
from longllava_domains.evaluate.predictions.reading import Row, Source, Table, read_table
from longllava_domains.evaluate.predictions.texts import pair_texts

__all__ = [
    "Counts",
    "Matching",
    "Pair",
    "Pairing",
    "Row",
    "Source",
    "Table",
    "pair_rows",
    "pair_texts",
    "read_table",
]
