"""Image and region captions of FIT-RSFG."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.fit_rsfg.captions.tokens import plain_tokens
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, ScoredRows, Verdict
from longllava_domains.evaluate.statistic import mean_statistic
from longllava_domains.evaluate.text_overlap.bleu import pycocoevalcap_bleu
from longllava_domains.evaluate.text_overlap.cider import pycocoevalcap_cider
from longllava_domains.evaluate.text_overlap.coco_java import absent_tool, meteor, ptb_tokens
from longllava_domains.evaluate.text_overlap.ngrams import count_ngrams
from longllava_domains.evaluate.text_overlap.rouge import pycocoevalcap_rouge_l

Tokenizer = Literal["auto", "ptb", "plain"]

TOKENIZERS: Final[tuple[Tokenizer, ...]] = ("auto", "ptb", "plain")
LONGEST: Final = 4
"""Words in the longest run that is counted."""

CIDER_SCALE: Final = "CIDEr runs from 0 to 10; with one row it is 0 whatever the caption says"
EMPTY: Final = "the answer holds no word"


def score_captions(
    items: Sequence[ItemToScore], protocol: ProtocolName, *, tokenizer: Tokenizer = "auto"
) -> ScoredRows:
    """Score captions with BLEU, METEOR, ROUGE-L and CIDEr, named as pycocoevalcap names them.

    Every row counts under both protocols, an empty answer as a caption without words. A row's
    own score is its ROUGE-L.

    Args:
        items: Rows of one caption task.
        protocol: Both are the same here.
        tokenizer: ``"ptb"`` for the official one, which needs pycocoevalcap and Java;
            ``"plain"`` for our own; ``"auto"`` for the official one where it can be run.

    Raises:
        PolicyError: Another tokenizer, or the official one was asked for and cannot be run.
    """
    if not items:
        return ScoredRows({}, [])
    texts = [text for item in items for text in (item.answer, item.truth)]
    tokens, used, notes = _tokens(texts, tokenizer)
    answers, truths = tokens[::2], tokens[1::2]
    counts = count_ngrams(answers, truths, LONGEST)
    lengths = [np.array([len(words) for words in texts], float) for texts in (answers, truths)]
    said, meant = ([" ".join(words) for words in texts] for texts in (answers, truths))
    rouge = [pycocoevalcap_rouge_l(*pair) for pair in zip(said, meant, strict=True)]
    bleu = pycocoevalcap_bleu(counts, *lengths)
    statistics = {
        **{f"Bleu_{size}": found for size, found in enumerate(bleu, 1)},
        "ROUGE_L": mean_statistic(rouge),
        "CIDEr": mean_statistic(pycocoevalcap_cider(counts, len(items))),
    }
    metrics = {name: found.value for name, found in statistics.items()}
    if used == "ptb":
        metrics["METEOR"], _ = meteor(said, meant)
    verdicts = [
        Verdict(score, "" if answer else EMPTY)
        for score, answer in zip(rouge, answers, strict=True)
    ]
    return ScoredRows(metrics, verdicts, statistics, (*notes, CIDER_SCALE), {"tokenizer": used})


def _tokens(
    texts: Sequence[str], tokenizer: Tokenizer
) -> tuple[list[list[str]], Literal["ptb", "plain"], tuple[str, ...]]:
    """Return tokens, the tokenizer that made them, and what a reader must know of it."""
    if tokenizer not in TOKENIZERS:
        raise PolicyError(
            f"tokenizer cannot be {tokenizer!r}.",
            remedy=f"Choose one of {', '.join(TOKENIZERS)}.",
            code="evaluate.tokenizer",
        )
    missing = absent_tool()
    if tokenizer == "ptb" or (tokenizer == "auto" and missing is None):
        try:
            return [text.split() for text in ptb_tokens(texts)], "ptb", ()
        except PolicyError:
            if tokenizer == "ptb":
                raise
            missing = "the official tokenizer failed"
    reason = missing if tokenizer == "auto" else "the plain tokenizer was chosen"
    note = f"METEOR is absent and the words are our own, not the official ones: {reason}"
    return [plain_tokens(text) for text in texts], "plain", (note,)
