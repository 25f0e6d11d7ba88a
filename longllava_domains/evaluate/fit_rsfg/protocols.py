"""The two protocols of each remote sensing benchmark, and the rows on which they differ."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from longllava_domains.errors import InputError
from longllava_domains.evaluate.fit_rsfg.baselines import baseline_answers
from longllava_domains.evaluate.fit_rsfg.scoring import SCORERS, score_caption_file, score_file
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.result import Cell, Result

OFFICIAL_VERSION: Final = "a980ffe"
"""Commit of SkySenseGPT's scorers; pycocoevalcap 1.2 for captions."""

_SUMMARIES: Final = {
    "official": "the scorer of SkySenseGPT with its faults; made the numbers of arXiv 2406.10100",
    "strict": "unparsed is wrong, absent classes cost, and mean recall over what occurs",
}

# The prompt is the row's text with nothing added; the answer is greedy.
_PROMPTS: Final = {"question": "{question}"}
_DECODING: Final = {"do_sample": False, "max_new_tokens": 256}

_CONSTANTS: Final = {
    "fit-rsfg/vqa": ("yes", "no"),
    "hrben": ("yes", "no"),
    "fit-rsrc": ("A",),
}

PROTOCOLS: Final = tuple(
    Protocol(
        benchmark=benchmark,
        name=name,
        version=OFFICIAL_VERSION if name == "official" else "1",
        summary=summary,
        score=score_caption_file if benchmark.endswith("-caption") else score_file,
        prompts=_PROMPTS,
        decoding=_DECODING,
        baselines=partial(baseline_answers, constants=_CONSTANTS.get(benchmark, ())),
    )
    for benchmark in SCORERS
    for name, summary in _SUMMARIES.items()
)
"""Official and strict, for each benchmark."""


def differing_rows(official: Result, strict: Result) -> list[Mapping[str, Cell]]:
    """Return the rows to which two protocols give different scores, in the order of the file.

    Args:
        official: One result.
        strict: Another of the same file.

    Returns:
        For each such row its fields, its score under both (``official`` and ``strict``; None
        where a row does not count), and ``official_reason`` and ``strict_reason``.

    Raises:
        InputError: The results are not of the same rows.
    """
    if _ids(official) != _ids(strict):
        raise InputError(
            f"The results are of different rows: {len(official.rows)} and {len(strict.rows)}.",
            remedy="Score the same file under both protocols, with the same choices.",
            code="evaluate.differing_rows",
        )
    return [
        MappingProxyType(
            {
                **{name: cell for name, cell in one.items() if name not in ("score", "reason")},
                "official": one["score"],
                "strict": other["score"],
                "official_reason": one["reason"],
                "strict_reason": other["reason"],
            }
        )
        for one, other in zip(official.rows, strict.rows, strict=True)
        if one["score"] != other["score"]
    ]


def _ids(result: Result) -> Sequence[Cell]:
    return [row["id"] for row in result.rows]
