"""The network against the original implementation: both golden checkpoints, five prompts each."""

import json

import pytest
import slow_reference
import torch
from golden import GOLDEN, Golden
from safetensors.torch import load_file

pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(),
    reason="../shared/golden is not present; test_slow_reference.py checks the same maths",
)


@pytest.fixture(scope="module", params=["reference_dense", "reference_moe"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_pixels_are_those_of_the_original(golden: Golden) -> None:
    difference = (golden.pixels - golden.array("pixel_values")).abs()
    print(f"\n{golden.folder.name}: pixels max {difference.max():.1e} mean {difference.mean():.1e}")
    assert difference.max() < 0.02
    assert difference.mean() < 0.001


@torch.no_grad()
def test_image_features_are_those_of_the_original(golden: Golden) -> None:
    found = golden.network.encode_images(golden.array("pixel_values"))
    difference = (found - golden.array("image_features")).abs().max()
    print(f"\n{golden.folder.name}: image features max {difference:.1e}")
    assert difference < 1e-5


@pytest.mark.parametrize("case", range(5))
@torch.no_grad()
def test_logits_and_greedy_tokens_are_those_of_the_original(golden: Golden, case: int) -> None:
    ids, expected = golden.ids(case), golden.cases[case]
    assert ids.shape[1] == expected["sequence_length"]
    out = golden.network(input_ids=ids, pixel_values=golden.pictures(case), use_cache=True)
    logits = out.logits[0]
    differences = {
        "last": logits[-1] - golden.array(f"last_logits_{case}"),
        "head": logits[golden.array(f"positions_{case}"), :256]
        - golden.array(f"logits_head_{case}"),
        "logsumexp": logits.logsumexp(-1) - golden.array(f"logsumexp_{case}"),
    }
    largest = {name: float(found.abs().max()) for name, found in differences.items()}
    print(f"\n{golden.folder.name} case {case}: {largest}")
    assert max(largest.values()) < 1e-4
    assert greedy(golden.network, out, 12) == expected["greedy"]


@torch.no_grad()
def test_generate_gives_the_same_tokens_alone_and_in_a_left_padded_batch(golden: Golden) -> None:
    cases = (0, 1)
    alone = [golden.ids(case) for case in cases]
    longest = max(ids.shape[1] for ids in alone)
    padded = [torch.nn.functional.pad(ids, (longest - ids.shape[1], 0)) for ids in alone]
    shown = [pixels for case in cases if (pixels := golden.pictures(case)) is not None]
    made = golden.network.generate(
        input_ids=torch.cat(padded),
        attention_mask=torch.cat([(ids != 0).long() for ids in padded]),
        pixel_values=torch.cat(shown),
        max_new_tokens=12,
        do_sample=False,
    )
    expected = [golden.cases[case]["greedy"] for case in cases]
    assert made[:, longest:].tolist() == expected
    single = golden.network.generate(
        input_ids=alone[0], pixel_values=None, max_new_tokens=12, do_sample=False
    )
    assert single[0, alone[0].shape[1] :].tolist() == expected[0]


def test_our_slow_reference_is_the_original_too(golden: Golden) -> None:
    config = json.loads((golden.folder / "config.json").read_text())
    tower = json.loads((golden.folder / "vision_tower" / "config.json").read_text())
    weights = load_file(golden.folder / "model.safetensors")
    found = slow_reference.logits(
        weights, config, tower, golden.cases[1]["input_ids"], golden.array("pixel_values")[:1]
    )
    assert (found[-1] - golden.array("last_logits_1")).abs().max() < 1e-4
    assert (found.logsumexp(-1) - golden.array("logsumexp_1")).abs().max() < 1e-4


def greedy(network: torch.nn.Module, out, count: int) -> list[int]:
    """Continue greedily from the cache of a prefill."""
    tokens = [int(out.logits[0, -1].argmax())]
    cache = out.past_key_values
    while len(tokens) < count:
        out = network(input_ids=torch.tensor([tokens[-1:]]), past_key_values=cache, use_cache=True)
        tokens.append(int(out.logits[0, -1].argmax()))
    return tokens
