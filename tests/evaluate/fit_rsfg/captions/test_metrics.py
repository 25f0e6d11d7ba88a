"""Caption metrics: known values, and a plain reading of each definition."""

import importlib.util
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.evaluate.fit_rsfg.captions.coco_java import absent_tool, official_tokens
from longllava_domains.evaluate.fit_rsfg.captions.metrics import bleu, cider, rouge_l
from longllava_domains.evaluate.fit_rsfg.captions.ngrams import count_ngrams
from longllava_domains.evaluate.fit_rsfg.captions.tokens import plain_tokens

words = st.lists(st.sampled_from(["a", "ship", "near", "the", "dock", "of"]), max_size=12)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=6)


def slow_subsequence(first: list[str], second: list[str]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            longest = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else longest
    return table[-1][-1]


@given(words, words)
def test_rouge_l_is_the_weighted_f_of_the_longest_common_subsequence(
    answer: list[str], truth: list[str]
) -> None:
    common = slow_subsequence(answer or [""], truth or [""])
    precision, recall = common / max(len(answer), 1), common / max(len(truth), 1)
    expected = 2.44 * precision * recall / (recall + 1.44 * precision) if common else 0.0
    assert rouge_l(answer, truth) == pytest.approx(expected)


@given(pairs)
def test_bleu_is_the_mean_of_clipped_precisions_and_a_brevity_penalty(pairs: list) -> None:
    found = bleu(count_ngrams(*([pair[side] for pair in pairs] for side in (0, 1))))
    said, meant = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    for n in range(1, 5):
        precisions = []
        for k in range(1, n + 1):
            right = total = 0
            for answer, truth in pairs:
                grams = [Counter(zip(*(t[i:] for i in range(k)))) for t in (answer, truth)]  # noqa: B905
                right += sum(min(count, grams[1][gram]) for gram, count in grams[0].items())
                total += sum(grams[0].values())
            precisions.append((right + 1e-15) / (total + 1e-9))
        ratio = (said + 1e-15) / (meant + 1e-9)
        brevity = math.exp(max(1 - 1 / ratio, -700)) if ratio < 1 else 1.0
        expected = math.prod(precisions) ** (1 / n) * brevity
        assert found[f"Bleu_{n}"].value == pytest.approx(expected, abs=1e-9)


THREE = ["a ship near the dock", "two tanks beside a road", "an airplane parked on the apron"]


def scores(answers: list[str], truths: list[str]) -> dict[str, float]:
    grams = count_ngrams(*([text.split() for text in texts] for texts in (answers, truths)))
    rouge = [rouge_l(a.split(), t.split()) for a, t in zip(answers, truths, strict=True)]
    found = {name: one.value for name, one in bleu(grams).items()}
    return {**found, "ROUGE_L": sum(rouge) / len(rouge), "CIDEr": float(cider(grams).mean())}


def test_identical_captions_have_full_marks() -> None:
    found = scores(THREE, THREE)
    assert found.pop("CIDEr") == pytest.approx(10)
    assert list(found.values()) == pytest.approx([1] * len(found))


def test_one_empty_answer_of_three_equal_lengths() -> None:
    truths = ["a b c d e f", "g h i j k l", "m n o p q r"]
    found = scores([*truths[:2], ""], truths)
    for n in range(1, 5):  # 12 words of 18: a brevity penalty of exp(1 - 3 / 2)
        assert found[f"Bleu_{n}"] == pytest.approx(math.exp(-0.5), abs=1e-6)
    assert found["ROUGE_L"] == pytest.approx(2 / 3)
    assert found["CIDEr"] == pytest.approx(20 / 3)


def test_cider_of_a_single_caption_is_zero() -> None:
    assert scores(THREE[:1], THREE[:1])["CIDEr"] == 0.0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (
            "It is within safe distance of 1 goods_yard.",
            "it is within safe distance of 1 goods_yard",
        ),
        ("On the top-left, co-storage with 2 tanks!", "on the top-left co-storage with 2 tanks"),
        ("1,000 ships (3.5 m) at 10:30; -5", "1,000 ships -lrb- 3.5 m -rrb- at 10:30 -5"),
        ("It's the ship's; they don't, they cannot", "it 's the ship 's they do n't they can not"),
        ("U.S. base, Mr. Smith's car/truck & 20%", "u.s. base mr. smith 's car/truck & 20 %"),
        ("\u201cquoted\u201d \u2014 dash...", "quoted dash"),
        ("<rel>over</rel> {<1.00>}", "<rel> over </rel> -lcb- < 1.00 > -rcb-"),
        ("", ""),
    ],
)
def test_plain_words_are_those_of_the_official_tokenizer(text: str, tokens: str) -> None:
    # Each line was put through PTBTokenizer 3.4.1 when it was written down.
    assert plain_tokens(text) == tokens.split()
    if absent_tool() is None:
        assert official_tokens([text]) == [tokens.split()]


@given(st.text(alphabet="abs1.,-'()[] n\tt", max_size=30))
def test_words_that_were_found_are_found_again(text: str) -> None:
    tokens = plain_tokens(text)
    assert plain_tokens(" ".join(tokens)) == tokens


@pytest.mark.parametrize("text", ["a-" * 200_000, "1," * 200_000, "'" * 400_000, " -1" * 150_000])
def test_a_huge_caption_is_read_in_one_pass(text: str) -> None:
    assert sum(map(len, plain_tokens(text))) <= len(text)


@pytest.mark.skipif(
    importlib.util.find_spec("pycocoevalcap") is None, reason="pycocoevalcap is not installed"
)
@given(pairs)
def test_the_same_as_pycocoevalcap_where_it_is_installed(pairs: list) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    answers, truths = ([" ".join(pair[side]) for pair in pairs] for side in (0, 1))
    found = scores(answers, truths)
    said, meant = ({i: [text] for i, text in enumerate(texts)} for texts in (answers, truths))
    theirs = dict(
        zip(
            ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"),
            Bleu(4).compute_score(meant, said, verbose=0)[0],
            strict=True,
        )
    )
    assert {name: found[name] for name in theirs} == pytest.approx(theirs)
    assert found["ROUGE_L"] == pytest.approx(Rouge().compute_score(meant, said)[0])
    if any(truths):
        assert found["CIDEr"] == pytest.approx(Cider().compute_score(meant, said)[0])
