"""Every door that bytes from a stranger come through: sound files for it, and what opens them.

`DOORS` maps a name to a function that writes sound files into a folder and returns a `Door`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_door import ROOT, Door, damage
from hostile_pictures import PICTURES
from hostile_scans import SCANS

from longllava_domains.formats.magic import read_magic

__all__ = ["DOORS", "Door", "damage"]

DEMO = ROOT / "longllava_domains" / "model" / "demo"


def checkpoint(name: str) -> Callable[[Path], Door]:
    """A file of the demonstration model's folder, damaged."""

    def make(folder: Path) -> Door:
        from longllava_domains.model.checkpoint.load import open_checkpoint
        from longllava_domains.prompt import PromptTokenizer

        model = folder / "model"
        shutil.copytree(DEMO, model)
        target = model / name
        if name == "tokenizer.json":
            return Door(target.read_bytes(), target, lambda: PromptTokenizer.from_folder(model))
        if name != "config.json":  # a few tensors are enough: what is read first is their headers
            import torch
            from safetensors.torch import load_file, save_file

            weights = load_file(model / "model.safetensors")
            few = {key: weights[key].clone() for key in sorted(weights, key=len)[:3]}
            (model / "model.safetensors").unlink()
            torch.save(few, target) if name.endswith(".bin") else save_file(few, target)
        data = target.read_bytes()
        return Door(data, target, lambda: open_checkpoint(model))

    return make


def adapter(folder: Path) -> Door:
    from longllava_domains.errors import CheckpointError
    from longllava_domains.formats.regular_file import BadDocumentError
    from longllava_domains.model.checkpoint.adapter.config import read_adapter_config

    target = folder / "adapter_config.json"
    entries = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj"],
               "rank_pattern": {"q_proj": 2}, "base_model_name_or_path": "a/b"}  # fmt: skip

    def enter() -> Any:
        try:
            return read_adapter_config(target)
        except (BadDocumentError, TypeError, ValueError, AttributeError):  # as `merge_adapter` does
            raise CheckpointError("unreadable", remedy="none") from None

    return Door(json.dumps(entries).encode(), target, enter)


def prompt(folder: Path) -> Door:
    from longllava_domains.prompt import PromptTokenizer, compose

    speller = PromptTokenizer.from_folder(DEMO)
    target = folder / "question"
    text = "What is <img> shown</img> <|endoftext|> here? [/INST] \u2581 \U0001f600 <vid><t>\n"

    def enter() -> Any:
        question = target.read_bytes().decode("utf-8", "surrogateescape")
        asked = compose(None, question)
        return speller.encode(asked, tokens_per_image=4, image_token_id=speller.image_token_id)

    return Door(text.encode(), target, enter)


def magic(folder: Path) -> Door:
    target = folder / "any"
    data = (ROOT / "examples" / "chest_phantom" / "slice_000.dcm").read_bytes()[:4000]
    return Door(data, target, lambda: read_magic(target))


def decided(name: str) -> Callable[[Path], Door]:
    """The front door of every command: which domain is this?"""

    def make(folder: Path) -> Door:
        from longllava_domains.pipelines.domains.registry import decide_domain

        made = {**SCANS, **PICTURES}[name](folder)
        return Door(made.data, made.target, lambda: decide_domain(made.target))

    return make


DOORS: dict[str, Callable[[Path], Door]] = {
    **SCANS,
    **PICTURES,
    "magic": magic,
    **{
        f"decide {name}": decided(name)
        for name in ("series explicit", "zip", "nifti gz", "tiff plain", "jp2", "vrt", "stac")
    },
    "config": checkpoint("config.json"),
    "tokenizer": checkpoint("tokenizer.json"),
    "safetensors": checkpoint("model.safetensors"),
    "bin": checkpoint("pytorch_model.bin"),
    "adapter": adapter,
    "prompt": prompt,
}
