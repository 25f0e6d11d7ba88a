"""The network as transformers sees it: batches, micro-batches, generation, and refused prompts."""

import pytest
import tiny_released
import torch

from longllava_domains.errors import PromptError
from longllava_domains.model import LongLlavaForConditionalGeneration, load_checkpoint

IMAGE = [1539] * 4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> LongLlavaForConditionalGeneration:
    folder = tmp_path_factory.mktemp("released") / "model"
    tiny_released.write_released(folder, experts=4)
    return load_checkpoint(folder)


def pictures(count: int) -> torch.Tensor:
    return torch.sin(torch.arange(count * 3 * 32 * 32) * 0.11).reshape(count, 3, 32, 32)


def left_padded(prompts: list[list[int]]) -> dict[str, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = [[0] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


@torch.no_grad()
def test_images_in_any_micro_batch_give_the_same_features(network) -> None:
    together = network.encode_images(pictures(5))
    assert together.shape == (5, 4, 24)
    try:
        for images in (1, 2, 3, 100):
            network.model.images_per_batch = images
            torch.testing.assert_close(
                network.encode_images(pictures(5)), together, atol=1e-6, rtol=0
            )
    finally:
        network.model.images_per_batch = 8


def test_a_thousand_images_never_pass_the_tower_at_once(network) -> None:
    seen = []
    hook = network.model.vision_tower.pre_layrnorm.register_forward_hook(
        lambda module, args, output: seen.append(len(output))
    )
    with torch.no_grad():
        network.encode_images(pictures(1)[:, :].expand(1000, -1, -1, -1))
    hook.remove()
    assert sum(seen) == 1000
    assert max(seen) == network.model.images_per_batch == 8


@torch.no_grad()
def test_a_left_padded_batch_gives_the_tokens_of_single_prompts(network) -> None:
    prompts = [[1, 5, 6], [1, *IMAGE, 9, 9, 9], [1, *IMAGE, 3, *IMAGE, 4, 8, 8, 8, 8]]
    shown = [pictures(3)[:0], pictures(3)[:1], pictures(3)[1:]]
    alone = [
        network.generate(
            input_ids=torch.tensor([ids]), pixel_values=pixels, max_new_tokens=8, do_sample=False
        )[0, len(ids) :].tolist()
        for ids, pixels in zip(prompts, shown, strict=True)
    ]
    batch = left_padded(prompts)
    made = network.generate(**batch, pixel_values=pictures(3), max_new_tokens=8, do_sample=False)
    assert made[:, batch["input_ids"].shape[1] :].tolist() == alone


@torch.no_grad()
def test_generation_is_the_argmax_of_repeated_forwards(network) -> None:
    ids = [1, *IMAGE, 9, 3]
    made = network.generate(
        input_ids=torch.tensor([ids]),
        pixel_values=pictures(1),
        max_new_tokens=6,
        do_sample=False,
    )[0].tolist()
    for length in range(len(ids), len(made)):
        logits = network(input_ids=torch.tensor([made[:length]]), pixel_values=pictures(1)).logits
        assert int(logits[0, -1].argmax()) == made[length]


@torch.no_grad()
def test_chunked_prefill_gives_the_same_tokens(network) -> None:
    ids = torch.tensor([[1, *IMAGE, 3, *IMAGE, 4, 8, 8, 8, 8]])
    asked = {"input_ids": ids, "pixel_values": pictures(2), "max_new_tokens": 8, "do_sample": False}
    whole = network.generate(**asked).tolist()
    for chunk in (2, 3, 7):
        assert network.generate(**asked, prefill_chunk_size=chunk).tolist() == whole


@pytest.mark.parametrize(
    ("prompts", "images"),
    [
        ([[1, *IMAGE, 2]], 2),
        ([[1, *IMAGE, *IMAGE, 2]], 1),
        ([[1, 5, 2]], 1),
        ([[1, *IMAGE, 2]], 0),
        ([[1, *IMAGE[1:], 2]], 1),
        ([[1, *IMAGE, 1539], [1, *IMAGE[1:], 2, 2]], 2),  # the sum alone would fit
    ],
)
@pytest.mark.parametrize("call", ["forward", "generate"])
def test_placeholders_and_images_that_do_not_match_are_refused(
    network, prompts: list[list[int]], images: int, call: str
) -> None:
    asked = {**left_padded(prompts), "pixel_values": pictures(images)}
    if call == "generate":
        asked |= {"max_new_tokens": 2}
    with torch.no_grad(), pytest.raises(PromptError) as caught:
        getattr(network, call)(**asked)
    assert caught.value.code == "prompt.images"
    assert caught.value.facts["images"] == images


@pytest.mark.parametrize("shape", [(1, 3, 48, 48), (1, 1, 32, 32), (3, 32, 32)])
def test_pixels_of_another_size_are_refused(network, shape: tuple[int, ...]) -> None:
    with torch.no_grad(), pytest.raises(PromptError, match="Pixels must be"):
        network.encode_images(torch.zeros(shape))


def test_gradients_reach_every_part_that_is_used(network) -> None:
    ids = torch.tensor([[1, *IMAGE, 9, 3]])
    network(input_ids=ids, pixel_values=pictures(1), labels=ids).loss.backward()
    silent = {name for name, weight in network.named_parameters() if weight.grad is None}
    network.zero_grad()
    # The tower's last layer and norm stand behind the hidden state that is taken.
    assert silent
    assert all("encoder.layers.2." in name or "post_layernorm" in name for name in silent)
