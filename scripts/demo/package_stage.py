"""Put tower, projector and language model together in bfloat16, and write the packaged folder."""

import json
import sys
from pathlib import Path

import torch
from language_stage import learned_parts
from language_start import fresh_network
from place_stage import taught_places
from shape import demo_tokenizer
from transformers import GenerationConfig

from longllava_domains.model import LongLlavaForConditionalGeneration


def trained_network(folder: Path) -> LongLlavaForConditionalGeneration:
    """Return the network with what the stages learned, float32."""
    network = fresh_network(demo_tokenizer())
    tower = taught_places(folder).taught.tower
    network.model.vision_tower.load_state_dict(tower.state_dict())
    state = torch.load(folder / "scenes.pt", weights_only=True)
    learned_parts(network).load_state_dict(state["learned"])
    return network.eval()


def write(folder: Path, package: Path) -> None:
    """Write weights and configuration into the package, beside the tokenizer that is there."""
    network = trained_network(folder).to(torch.bfloat16)
    network.config.dtype = torch.bfloat16
    text = network.config.text_config
    network.generation_config = GenerationConfig(
        pad_token_id=text.pad_token_id,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
    )
    network.save_pretrained(package)
    curves = {
        stage: json.loads((folder / f"{stage}.json").read_text())
        for stage in ("tower", "places", "language", "scenes")
    }
    (package / "curves.json").write_text(json.dumps(curves, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
