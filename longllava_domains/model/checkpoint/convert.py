"""`convert_checkpoint`: into the released layout, from sparse to dense, with an adapter, or to int8.

Weights pass through one tensor at a time (one layer's experts, where they are combined); only an
adapter needs the whole network in memory.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import JambaConfig

from longllava_domains.errors import OutputError, PolicyError, QuantizationError
from longllava_domains.model.checkpoint.adapter.merge import merge_adapter
from longllava_domains.model.checkpoint.adapter.text_model import save_text_model
from longllava_domains.model.checkpoint.downcycle import combination
from longllava_domains.model.checkpoint.files import WeightFiles
from longllava_domains.model.checkpoint.load import Checkpoint, load_checkpoint, open_checkpoint
from longllava_domains.model.checkpoint.names import Destination, spell
from longllava_domains.model.checkpoint.write import (
    SHARD_BYTES,
    ShardWriter,
    copy_companions,
    save_quantized,
)
from longllava_domains.model.network.config import LongLlavaConfig

Read = Callable[[], Tensor]

_EXPERT = re.compile(r"(.*\.layers\.\d+\.feed_forward\.)experts\.(gate_up|down)_proj\Z")
_ROUTER = ".feed_forward.router."
_TOWER_FOLDER = "vision_tower"


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    experts: str | None = None,
    down_scale: float = 1.0,
    adapter: str | Path | None = None,
    quantization: str | None = None,
    text_model: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a checkpoint anew.

    Args:
        source: Folder of a checkpoint in any layout that `load_checkpoint` reads.
        target: New or empty folder. It gets the released layout, or with `quantization` our own;
            tokenizer files come along.
        experts: Make the model dense: ``"expert-0"`` (or another number), ``"mean"`` or
            ``"spherical"``; see `downcycle.combination`. None keeps the experts.
        down_scale: Factor on the dense ``down_proj`` of combined layers; the original script
            used `downcycle.REFERENCE_DOWN_SCALE`.
        adapter: Folder of a PEFT adapter to merge first.
        quantization: ``"int8"`` and its options: save in 8 bits.
        text_model: Write the language model alone, in the layout of transformers' Jamba, which
            vLLM reads.
        shard_bytes: Largest size of one weight file.

    Raises:
        CheckpointError: The source or the adapter is not usable.
        PolicyError: Options that contradict each other, or a model without experts to combine.
        QuantizationError: An unknown quantization, or a source that is in 8 bits already.
        OutputError: The target is not empty or cannot be written.
    """
    folder, written = Path(source), Path(target)
    checkpoint = open_checkpoint(folder)
    checkpoint.require_clean(None)
    _require_sense(checkpoint, experts, adapter, quantization, down_scale)
    if text_model:
        _write_text_model(folder, written, adapter, plain=experts is None and quantization is None)
        return
    if quantization is not None:
        network = load_checkpoint(folder, quantization=quantization)
        save_quantized(network, written, companions=folder, shard_bytes=shard_bytes)
        return
    if adapter is None:
        weights = _stored(checkpoint)
    else:
        network = merge_adapter(load_checkpoint(folder), adapter)
        weights = {Destination(name): _constant(w) for name, w in network.named_parameters()}
    writer = ShardWriter(written, shard_bytes)
    config = checkpoint.config
    for destination, read in _densified(weights, config, experts, down_scale):
        writer.add(spell(destination, "released"), read())
    writer.close()
    _write_config(written, config, dense=experts is not None)
    copy_companions(folder, written)


def _write_text_model(
    folder: Path, written: Path, adapter: str | Path | None, *, plain: bool
) -> None:
    if not plain:
        raise PolicyError(
            "The language model alone is written as it is: neither made dense nor put into 8 bits.",
            remedy="Convert first without --text-model, then convert the result with --text-model alone.",
            code="convert.options",
        )
    whole = load_checkpoint(folder)
    save_text_model(whole if adapter is None else merge_adapter(whole, adapter), written, folder)


def _require_sense(
    checkpoint: Checkpoint,
    experts: str | None,
    adapter: str | Path | None,
    quantization: str | None,
    down_scale: float,
) -> None:
    if checkpoint.config.quantization is not None:
        raise QuantizationError(
            f"The checkpoint is stored in {checkpoint.config.quantization}.",
            remedy="Convert the checkpoint that it was made from.",
            code="quantization.stored",
        )
    if quantization is not None and (experts is not None or adapter is not None):
        raise PolicyError(
            "Quantising is a step of its own.",
            remedy="Convert first, then convert the result with quantization='int8'.",
            code="convert.options",
        )
    if experts is None and down_scale != 1.0:
        raise PolicyError(
            "down_scale has no effect where experts are kept.",
            remedy="Leave it out, or name how experts are combined.",
            code="convert.options",
        )
    if experts is not None and max(checkpoint.config.text_config.layers_num_experts) == 1:
        raise PolicyError(
            "The model is dense already.",
            remedy="Leave out the way to combine experts.",
            code="convert.dense",
        )
    if experts is not None:  # an unknown method is refused before the folder is made
        combination(experts, checkpoint.config.text_config.num_experts)


def _stored(checkpoint: Checkpoint) -> dict[Destination, Read]:
    """Every destination of the network, and how its tensor is read from the files."""
    weights = {
        destination: _reader(checkpoint.files, name)
        for name, destination in checkpoint.match.placements.items()
    }
    if checkpoint.tower_files is not None:
        placed = checkpoint.match.tower_placements.items()
        weights |= {
            destination: _reader(checkpoint.tower_files, name) for name, destination in placed
        }
    return weights


def _reader(files: WeightFiles, name: str) -> Read:
    return lambda: files.tensor(name)


def _constant(tensor: Tensor) -> Read:
    return lambda: tensor


def _densified(
    weights: Mapping[Destination, Read],
    config: LongLlavaConfig,
    experts: str | None,
    down_scale: float,
) -> Iterator[tuple[Destination, Read]]:
    """Yield the tensors of the released layout, experts each on their own or combined."""
    whole = {
        destination: read
        for destination, read in weights.items()
        if not _EXPERT.match(destination.parameter)
    }
    parts = _expert_parts(weights, config)
    if experts is None:
        yield from whole.items()
        yield from parts.items()
        return
    count = config.text_config.num_experts
    combine = combination(experts, count)
    for destination, read in whole.items():
        if _ROUTER not in destination.parameter:
            yield destination, read
    for destination in [destination for destination in parts if destination.expert == 0]:
        found = _EXPERT.match(destination.parameter)
        assert found is not None
        same = [parts[dataclasses.replace(destination, expert=expert)] for expert in range(count)]
        dense = Destination(f"{found[1]}{destination.part}_proj.weight")
        scale = down_scale if destination.part == "down" else 1.0

        def combined(same: list[Read] = same, scale: float = scale) -> Tensor:
            dtype = same[0]().dtype
            return (combine((read() for read in same), count) * scale).to(dtype)

        yield dense, combined


def _expert_parts(
    weights: Mapping[Destination, Read], config: LongLlavaConfig
) -> dict[Destination, Read]:
    """Return gate, up and down of every expert, also where they are stored fused."""
    parts: dict[Destination, Read] = {}
    for destination, read in weights.items():
        if not _EXPERT.match(destination.parameter):
            continue
        if destination.expert is not None:
            parts[destination] = read
            continue
        names = ("down",) if destination.parameter.endswith(".down_proj") else ("gate", "up")
        for expert in range(config.text_config.num_experts):
            for half, name in enumerate(names):
                destination = Destination(destination.parameter, expert, name)
                parts[destination] = _slice(read, expert, half, len(names))
    return parts


def _slice(read: Read, expert: int, half: int, halves: int) -> Read:
    return lambda: read()[expert].chunk(halves)[half]


def _write_config(folder: Path, config: LongLlavaConfig, *, dense: bool) -> None:
    """Write config.json in the released form, and the tower's beside it."""
    text, vision = config.text_config.to_dict(), config.vision_config.to_dict()
    known = {field.name for field in dataclasses.fields(JambaConfig)}
    entries: dict[str, Any] = {key: value for key, value in text.items() if key in known}
    entries |= {
        "architectures": ["LlavaJambaForCausalLM"],
        "model_type": "llava_jamba",
        "torch_dtype": str(config.dtype or "bfloat16").removeprefix("torch."),
        "tie_word_embeddings": config.tie_word_embeddings,
        "image_token_index": config.image_token_index,
        "mm_hidden_size": vision["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": config.vision_feature_layer,
        "mm_vision_tower": _TOWER_FOLDER,
        "resamplePooling": config.pooling,
        "tokenizer_model_max_length": config.trained_length,
        "trained": config.trained,
        "demo": config.demo,
    }
    if dense:
        entries |= {"num_experts": 1, "num_experts_per_tok": 1}
    try:
        (folder / _TOWER_FOLDER).mkdir(exist_ok=True)
        _dump(folder / _TOWER_FOLDER / "config.json", vision)
        _dump(folder / "config.json", entries)
    except OSError:
        raise OutputError(
            "The configuration cannot be written there.",
            remedy="Check that the folder is yours to write and that the disk is not full.",
            code="checkpoint.output",
        ) from None


def _dump(path: Path, entries: dict[str, Any]) -> None:
    path.write_text(json.dumps(entries, indent=2, sort_keys=True, default=str) + "\n", "utf-8")
