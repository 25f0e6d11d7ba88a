"""Hashes of what a prediction was made from, checked against what the protocol asks for."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from longllava_domains.evaluate.predictions.reading import Row
from longllava_domains.units import content_hash

INPUTS_FIELD: Final = "inputs"
"""Field of a prediction row: name in `INPUTS` -> `input_hash` of what was given to the model."""

INPUTS: Final = ("question", "system", "views", "decoding")
"""The text of the question, the system text, the policy and order of the views, the decoding."""

PROMPT_MISMATCH: Final = "prompt mismatch"
"""How a note begins that says that predictions were made with other inputs than the protocol's."""


def input_hash(value: object) -> str:
    """Return the SHA-256 of an input: a text, or what JSON can hold.

    Args:
        value: Mappings hash alike in any order of their keys.
    """
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return content_hash([text.encode("utf-8", "surrogatepass")])


def input_notes(predictions: Iterable[Row | None], expected: Mapping[str, str]) -> tuple[str, ...]:
    """Return notes that name the inputs in which predictions differ from the protocol.

    Predictions that record no inputs are not judged. An input that the protocol leaves open must
    still be the same in the whole file, except for the question.

    Args:
        predictions: Rows, None where one is missing.
        expected: Name in `INPUTS` -> hash, for those that the protocol fixes.
    """
    recorded = [
        inputs
        for row in predictions
        if row is not None and isinstance(inputs := row.get(INPUTS_FIELD), Mapping)
    ]
    notes = []
    for name in INPUTS:
        found = Counter(str(each[name]) for each in recorded if name in each)
        if name in expected:
            other = found.total() - found[expected[name]]
            if other:
                notes.append(f"{PROMPT_MISMATCH}: {name} ({other} rows)")
        elif name != "question" and len(found) > 1:
            notes.append(f"{PROMPT_MISMATCH}: {name} ({len(found)} kinds in one file)")
    return tuple(notes)
