"""A tiny LongLLaVA as a folder that `load_model` reads."""

import shutil
from pathlib import Path

from tiny_longllava import DEMO, tiny_model


def write_tiny(folder: Path, seed: int = 0) -> Path:
    tiny_model(seed).network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(DEMO / name, folder / name)
    return folder
