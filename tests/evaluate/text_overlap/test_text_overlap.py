"""Fast counts against slow readable ones, and values worked out by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.evaluate.text_overlap.bleu import nltk_bleu, pycocoevalcap_bleu
from longllava_domains.evaluate.text_overlap.cider import pycocoevalcap_cider
from longllava_domains.evaluate.text_overlap.ngrams import count_ngrams
from longllava_domains.evaluate.text_overlap.rouge import (
    longest_common_subsequence,
    pycocoevalcap_rouge_l,
    rouge_package_f,
)

WORDS = st.lists(st.sampled_from(["no", "lung", "nodule", "left", "effusion"]), max_size=12)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6)


def grams(words: list[str], size: int) -> Counter:
    return Counter(tuple(words[k : k + size]) for k in range(len(words) - size + 1))


@given(PAIRS)
def test_runs_are_counted_as_a_dictionary_counts_them(pairs) -> None:
    first, second = zip(*pairs, strict=True)
    for size, runs in enumerate(count_ngrams(first, second, 4), 1):
        for part, texts in ((runs.candidate, first), (runs.reference, second)):
            for index, words in enumerate(texts):
                assert sorted(part.count[part.text == index]) == sorted(grams(words, size).values())
        common = [len(grams(a, size).keys() & grams(b, size).keys()) for a, b in pairs]
        text = runs.candidate.text[runs.shared[0]]
        assert np.bincount(text, minlength=len(pairs)).tolist() == common


def slow_bleu(pairs, size: int) -> float:
    product = 1.0
    for n in range(1, size + 1):
        correct = sum((grams(c, n) & grams(r, n)).total() for c, r in pairs)
        guessed = sum(max(len(c) - n + 1, 0) for c, _ in pairs)
        product *= (correct + 1e-15) / (guessed + 1e-9)
    ratio = (sum(len(c) for c, _ in pairs) + 1e-15) / (sum(len(r) for _, r in pairs) + 1e-9)
    return product ** (1 / size) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1)


def slow_cider(pairs) -> list[float]:
    rare = [Counter(g for _, r in pairs for g in grams(r, n)) for n in range(1, 5)]
    scores = []
    for candidate, reference in pairs:
        total = 0.0
        for n in range(1, 5):
            vectors = [
                {
                    g: k * (math.log(len(pairs)) - math.log(max(rare[n - 1][g], 1)))
                    for g, k in grams(w, n).items()
                }
                for w in (candidate, reference)
            ]
            dot = sum(
                min(v, vectors[1].get(g, 0)) * vectors[1].get(g, 0) for g, v in vectors[0].items()
            )
            norm = math.prod(math.sqrt(sum(v * v for v in part.values())) for part in vectors)
            away = max(len(candidate) - 1, 0) - max(len(reference) - 1, 0)
            total += (dot / norm if norm else 0) * math.exp(-(away**2) / 72)
        scores.append(10 * total / 4)
    return scores


@given(PAIRS)
def test_corpus_bleu_equals_the_readable_one(pairs) -> None:
    first, second = zip(*pairs, strict=True)
    lengths = (np.array([float(len(words)) for words in part]) for part in (first, second))
    found = pycocoevalcap_bleu(count_ngrams(first, second, 4), *lengths)
    assert [bleu.value for bleu in found] == pytest.approx(
        [slow_bleu(pairs, n) for n in range(1, 5)], rel=1e-9
    )


@given(PAIRS)
def test_cider_equals_the_readable_one(pairs) -> None:
    first, second = zip(*pairs, strict=True)
    found = pycocoevalcap_cider(count_ngrams(first, second, 4), len(pairs))
    assert found == pytest.approx(slow_cider(pairs), abs=1e-9)


def test_cider_is_10_for_equal_texts_and_0_for_a_single_pair() -> None:
    texts = [["no", "effusion", "is", "seen"], ["a", "nodule", "is", "seen"]]
    assert pycocoevalcap_cider(count_ngrams(texts, texts, 4), 2) == pytest.approx([10, 10])
    assert pycocoevalcap_cider(count_ngrams(texts[:1], texts[:1], 4), 1) == pytest.approx([0])


def slow_lcs(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for j, said in enumerate(other, 1):
            row.append(before[j - 1] + 1 if word == said else max(before[j], row[-1]))
    return row[-1]


@given(WORDS, WORDS)
def test_the_bit_parallel_subsequence_has_the_length_of_the_table(one, other) -> None:
    assert longest_common_subsequence(one, other) == slow_lcs(one, other)


def test_rouge_l_leans_to_recall() -> None:
    precision, recall = 3 / 4, 3 / 3
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert pycocoevalcap_rouge_l("left lower lobe mass", "left lower lobe") == pytest.approx(
        expected
    )
    assert pycocoevalcap_rouge_l("mass", "") == 0


def test_the_package_rouge_counts_repeated_words_once() -> None:
    one, two, longest = rouge_package_f("left left lung", "left lung")
    assert one == pytest.approx(1, abs=1e-7)
    assert two == pytest.approx(2 * 0.5 / 1.5, abs=1e-7)
    assert longest == pytest.approx(1, abs=1e-7)
    assert rouge_package_f("", "left") == (0, 0, 0)


@given(WORDS, WORDS)
def test_sentence_bleu_1_is_clipped_precision_with_a_brevity_penalty(one, other) -> None:
    common = (grams(one, 1) & grams(other, 1)).total()
    brevity = math.exp(min(0, 1 - len(other) / len(one))) if one else 0
    expected = brevity * common / len(one) if one else 0
    assert nltk_bleu(one, other, [[1.0]])[0] == pytest.approx(expected)


def test_sentence_bleu_4_of_a_short_match_is_nearly_0_and_of_none_is_0() -> None:
    even = [[0.25] * 4]
    assert 0 < nltk_bleu(["left", "lung"], ["left", "lung"], even)[0] < 1e-100
    assert nltk_bleu(["right"], ["left"], even) == [0]
    assert nltk_bleu(list("abcde"), list("abcde"), even) == pytest.approx([1])
