"""The order of rows, their pixels and their labels are a function of seed, epoch and sample."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_sets

from longllava_domains.adapters.data.batch import Batch
from longllava_domains.adapters.data.check import check_data
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.loader import ProcessShare, RowLoader, generator_of
from longllava_domains.adapters.data.mixture import Mixture, MixturePart, mixture_of
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.packing import PackingPolicy
from longllava_domains.errors import PolicyError
from longllava_domains.prompt.training import IGNORED

POLICY = PackingPolicy("isolated", 160)


def mirrored(views: Sequence[Any], chance: np.random.Generator) -> Sequence[Any]:
    """Turn each image by a random angle."""
    return [view.rotate(float(chance.uniform(-180, 180))) for view in views]


@pytest.fixture
def mixture(tmp_path: Path, encoder: Encoder) -> Mixture:
    """PubMedVision, of which the last answer is learned, and lines of one's own."""
    medical = open_data(training_sets.write_pubmedvision(tmp_path / "medical"), "pubmedvision")
    (tmp_path / "own").mkdir()
    own = open_data(training_sets.write_llava(tmp_path / "own"))
    last = replace(encoder, loss_on="last")
    return mixture_of(
        [
            MixturePart(check_data(medical, last, max_tokens=160), last),
            MixturePart(check_data(own, encoder, max_tokens=160), encoder),
        ]
    )


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("augment", [None, mirrored])
@pytest.mark.parametrize("taken", [0, 1, 4, 9])
def test_a_loader_goes_on_where_another_was_left(mixture: Mixture, augment, taken: int) -> None:
    def loader(threads: int) -> RowLoader:
        return RowLoader(mixture, POLICY, epochs=2, seed=5, threads=threads, augment=augment)

    whole = list(loader(1))
    first = loader(2)
    iterator = iter(first)
    begun = [next(iterator) for _ in range(taken)]
    state = first.state()
    iterator.close()  # type: ignore[attr-defined]
    second = loader(3)
    second.restore(state)
    assert len(whole) == len(first) > 9
    assert equal(whole, begun + list(second))


def test_epochs_differ_in_order_and_in_what_is_random(mixture: Mixture) -> None:
    loader = RowLoader(mixture, PackingPolicy("none", 160), epochs=2, augment=mirrored)
    rows = list(loader)
    half = loader.rows_of_epoch[0]
    assert not equal(rows[:half], rows[half:])

    def ordered(some: list[Batch]) -> list[Batch]:
        return sorted(some, key=lambda row: row["input_ids"].tolist())

    first, second = ordered(rows[:half]), ordered(rows[half:])
    assert all(
        torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(first, second, strict=True)
    )
    pictured = [(a, b) for a, b in zip(first, second, strict=True) if "pixel_values" in a]
    assert all(not torch.equal(a["pixel_values"], b["pixel_values"]) for a, b in pictured)


def test_every_sample_of_an_epoch_is_seen_once(mixture: Mixture) -> None:
    loader = RowLoader(mixture, POLICY)
    rows = list(loader)
    assert sum(row["input_ids"].shape[1] for row in rows) == mixture.tokens.sum()
    assert sum(int((row["labels"] != IGNORED).sum()) for row in rows) == mixture.learned.sum()
    pixels = [len(row["pixel_values"]) for row in rows if "pixel_values" in row]
    assert sum(pixels) == mixture.views.sum()


def test_the_last_step_is_filled_up_with_rows_of_which_nothing_is_learned(mixture: Mixture) -> None:
    plain = list(RowLoader(mixture, POLICY, epochs=2))
    filled = RowLoader(mixture, POLICY, epochs=2, rows_per_step=len(plain) - 1)
    rows = list(filled)
    assert len(rows) == len(filled) == 2 * (len(plain) - 1)
    assert equal(rows[: len(plain)], plain)
    assert not any((row["labels"] != IGNORED).any() for row in rows[len(plain) :])
    assert len(RowLoader(mixture, POLICY, epochs=2, rows_per_step=99)) == len(plain)
    filled.restore({**filled.state(), "position": len(plain) + 1})
    assert equal(list(filled), rows[len(plain) + 1 :])


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_rows_and_take_equally_many(mixture: Mixture, world: int) -> None:
    alone = list(RowLoader(mixture, POLICY, epochs=2, seed=1))
    shards = [
        list(RowLoader(mixture, POLICY, epochs=2, seed=1, shard=ProcessShare(rank, world)))
        for rank in range(world)
    ]
    assert len({len(rows) for rows in shards}) == 1
    learned = [row for rows in shards for row in rows if (row["labels"] != IGNORED).any()]
    assert len(learned) == len(alone)

    def spelled(rows: list[Batch]) -> list[list[int]]:
        return sorted(row["input_ids"][0].tolist() for row in rows)

    assert spelled(learned) == spelled(alone)


def test_a_damaged_picture_silences_its_sample_and_is_counted(mixture: Mixture, caplog) -> None:
    sample = mixture.sample(0)[1]
    sample.pictures[0].path.write_bytes(b"no image")  # type: ignore[attr-defined]
    loader = RowLoader(mixture, POLICY)
    rows = list(loader)
    assert loader.damaged == 1
    learned = sum(int((row["labels"] != IGNORED).sum()) for row in rows)
    assert learned == mixture.learned.sum() - mixture.learned[0]
    assert "is not learned" in caplog.text
    assert "pmc" not in caplog.text


def test_another_run_s_state_is_refused(mixture: Mixture) -> None:
    state = RowLoader(mixture, POLICY, seed=1).state()
    for other in (
        RowLoader(mixture, POLICY, seed=2),
        RowLoader(mixture, PackingPolicy("isolated", 170), seed=1),
        RowLoader(mixture, POLICY, seed=1, shard=ProcessShare(0, 2)),
        RowLoader(mixture_of(mixture.parts[:1]), POLICY, seed=1),
    ):
        with pytest.raises(PolicyError, match="other data"):
            other.restore(state)


def test_a_part_may_be_taken_in_part_or_more_than_once(mixture: Mixture) -> None:
    part = mixture.parts[0]
    rows = len(part.catalogue)
    few = mixture_of([replace(part, count=5)])
    many = mixture_of([replace(part, count=2 * rows + 1)])
    keys = [few.sample(number)[0] for number in range(len(few))]
    assert (len(few), len(set(keys))) == (5, 5)
    assert len(many) == 2 * rows + 1
    assert len({many.sample(number)[0] for number in range(len(many))}) == rows
    with pytest.raises(PolicyError, match="no row to train on"):
        mixture_of([replace(part, count=0)])


def test_a_sample_s_generator_hangs_on_nothing_else() -> None:
    draws = {
        generator_of(*how).random() for how in [(0, 0, "a"), (0, 0, "b"), (0, 1, "a"), (1, 0, "a")]
    }
    assert len(draws) == 4
    assert generator_of(1, 2, "k").random() == generator_of(1, 2, "k").random()


def test_a_row_holds_the_ids_and_pixels_of_its_samples_in_one_order(mixture: Mixture) -> None:
    row = next(iter(RowLoader(mixture, PackingPolicy("isolated", 10_000))))
    alone = list(RowLoader(mixture, PackingPolicy("none", 10_000)))
    shown = 0
    for segment in range(len(mixture)):
        ids = row["input_ids"][row["segment_ids"] == segment]
        same = [one for one in alone if torch.equal(one["input_ids"][0], ids)]
        views = len(same[0].get("pixel_values", ()))
        pixels = row["pixel_values"][shown : shown + views]
        assert any(torch.equal(one.get("pixel_values", pixels), pixels) for one in same)
        shown += views
    assert shown == len(row["pixel_values"])
