"""A small checkpoint in the released layout: change it, cut it in shards, compare what it gives."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from longllava_domains.model import LongLlavaForConditionalGeneration

Weights = dict[str, torch.Tensor]
IDS = [1, 5, -200, 7, 8]
PIXELS = torch.cos(torch.arange(3 * 32 * 32, dtype=torch.float32) * 0.21).reshape(1, 3, 32, 32)


def rewrite(folder: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def reconfigure(folder: Path, **changes: object) -> None:
    entries = json.loads((folder / "config.json").read_text())
    entries |= changes
    kept = {key: value for key, value in entries.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(kept))


def shard(folder: Path, suffix: str = "safetensors", count: int = 3) -> list[Path]:
    """Split the single file, so that the experts of one layer lie in several shards."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    weight_map, files = {}, []
    for part in range(count):
        name = f"{stem}-{part + 1:05d}-of-{count:05d}.{suffix}"
        held = {key: weights[key] for key in sorted(weights)[part::count]}
        if suffix == "bin":
            torch.save(held, folder / name)
        else:
            save_file(held, folder / name)
        weight_map |= dict.fromkeys(held, name)
        files.append(folder / name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return files


@torch.no_grad()
def last_logits(network: LongLlavaForConditionalGeneration) -> torch.Tensor:
    image = [network.config.image_token_id] * network.config.tokens_per_image
    ids = [token for entry in IDS for token in (image if entry == -200 else [entry])]
    return network(input_ids=torch.tensor([ids]), pixel_values=PIXELS).logits[0, -1]


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = dict(other.named_parameters())
    return all(
        torch.equal(weight, theirs.pop(name)) for name, weight in one.named_parameters()
    ) and (not theirs)
