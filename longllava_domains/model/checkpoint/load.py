"""`load_checkpoint`: a folder of weights becomes a network, strictly and one shard at a time."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from longllava_domains.arguments import checked
from longllava_domains.errors import CheckpointError
from longllava_domains.model.checkpoint.files import WeightFiles, read_json
from longllava_domains.model.checkpoint.fill import fill
from longllava_domains.model.checkpoint.match import Match, Shape, match_tensors
from longllava_domains.model.checkpoint.names import Destination, NameMap
from longllava_domains.model.checkpoint.tower import tower_config, tower_folder, tower_hub_id
from longllava_domains.model.devices.device_map import device_for, device_map_of, dispatch
from longllava_domains.model.devices.load_check import require_weights_fit
from longllava_domains.model.devices.placement import resolve_dtype
from longllava_domains.model.int8.quantize import (
    quantize_network,
    resolve_quantization,
    stored_tensors,
)
from longllava_domains.model.int8.upcast_linear import upcast_products
from longllava_domains.model.network.config import LongLlavaConfig, from_released, from_stock_llava
from longllava_domains.model.network.config_entries import data_entries
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.vision_language import Progress

_RELEASED_KEYS = frozenset({"mm_vision_tower", "mm_hidden_size", "mm_projector_type"})
# What building a configuration or a network from entries of the wrong kind raises.
_UNUSABLE = (
    StrictDataclassError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_TOWER = "model.vision_tower."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder as its headers describe it; no weight has been read.

    Attributes:
        config: The configuration, in one form for all layouts.
        files: Its weight files.
        tower_files: A separate tower, where the checkpoint itself holds none.
        tower_hint: The hub id of the tower that config.json names, None where it names none.
        needed: Name -> shape of what is stored, for the network that the configuration describes.
        match: How the two fit.
    """

    config: LongLlavaConfig
    files: WeightFiles
    tower_files: WeightFiles | None
    tower_hint: str | None
    needed: dict[str, Shape]
    match: Match

    @property
    def tower_place(self) -> str:
        """``"inside"`` the checkpoint, ``"separate"`` or ``"absent"``."""
        if self.tower_files is not None:
            return "separate"
        return "inside" if _holds_tower(self.match) else "absent"

    def require_clean(self, allow_unexpected: str | None) -> None:
        """Raise `CheckpointError` where the tensors do not fill the network exactly."""
        if self.tower_place == "absent" and len(self.match.missing) == sum(
            name.startswith(_TOWER) for name in self.needed
        ):
            raise CheckpointError(
                f"The checkpoint holds no vision tower ({len(self.match.missing)} tensors), and the "
                "one that mm_vision_tower names is not here.",
                remedy="Pass tower=FOLDER with the weights of openai/clip-vit-large-patch14-336.",
                code="checkpoint.tower",
            )
        self.match.excused(allow_unexpected).require_clean()


def open_checkpoint(path: str | Path, *, tower: str | Path | None = None) -> Checkpoint:
    """Read the configuration and the tensor headers of a checkpoint folder.

    Args:
        path: The folder.
        tower: Folder of a CLIP vision model, used where the checkpoint has no tower; by default
            the one that ``mm_vision_tower`` names, if it is a folder.

    Raises:
        CheckpointError: No checkpoint, a damaged file, or a configuration of another model.
    """
    folder = Path(path)
    entries = data_entries(read_json(folder / "config.json", "config.json"))
    files = WeightFiles(folder)
    config, needed = _describe(folder, entries)
    names = NameMap(config)
    match = match_tensors(files.headers, needed, names)
    tower_files = None
    if not _holds_tower(match):
        separate = Path(tower) if tower is not None else tower_folder(folder, entries)
        if separate is not None:
            tower_files = WeightFiles(separate)
            match = match_tensors(files.headers, needed, names, tower_files.headers)
    return Checkpoint(config, files, tower_files, tower_hub_id(entries), needed, match)


@checked
def load_checkpoint(
    path: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    quantization: str | None = None,
    allow_unexpected: str | None = None,
    tower: str | Path | None = None,
    on_progress: Progress | None = None,
) -> LongLlavaForConditionalGeneration:
    """Load a released, stock transformers or own checkpoint, strictly.

    Weights are streamed, and quantised on the way where that is asked for: memory peaks at the
    model as it is loaded and one shard. Nothing is fetched.

    Args:
        path: Folder with config.json and weights (.safetensors or .bin, single or sharded).
        dtype: A torch dtype, its name, or ``"auto"`` for the checkpoint's own.
        device: Where the weights go; ``"auto"`` spreads them over all GPUs and the processor.
        quantization: ``"int8"``, optionally with ``+lm_head`` and ``+projector``; ``"none"``; by
            default as the checkpoint is stored. `dtype` is then that of everything else.
        allow_unexpected: Regular expression; left-over tensors in whose names it is found are
            excused. The network records it as ``allowed_unexpected``.
        tower: Folder of a CLIP vision model, used where the checkpoint has no tower.
        on_progress: Called with the number of tensors read and of all.

    Returns:
        The network, in evaluation mode.

    Raises:
        CheckpointError: Tensors are missing, of the wrong shape or precision, left over or given
            twice (the first few are named, all are counted); a weight is NaN or infinite; or a
            file is absent, damaged or of another model.
        PolicyError: An unknown dtype or an invalid pattern.
        DeviceError: The device is not there.
        QuantizationError: An unknown quantization, or one other than it is stored in.
        MemoryBudgetError: The weights do not fit in free memory; none was read.
    """
    checkpoint = open_checkpoint(path, tower=tower)
    checkpoint.require_clean(allow_unexpected)
    config = checkpoint.config
    wanted = resolve_quantization(quantization, config.quantization)
    config.dtype = resolve_dtype(dtype, config.dtype or _commonest_dtype(checkpoint.files))
    network = empty_network(config, wanted)
    network.allowed_unexpected = allow_unexpected
    devices = device_map_of(network, device, config.dtype)
    require_weights_fit(network, config.dtype, devices)
    sources = _sources(checkpoint)
    tensors = itertools.chain.from_iterable(_stream(*source) for source in sources)
    total = sum(len(placements) for _, placements in sources)
    for done, (destination, tensor) in enumerate(tensors, 1):
        fill(network, destination, tensor, config.dtype, device_for(devices, destination.parameter))
        if on_progress is not None:
            on_progress(done, total)
    _restore_buffers(network, device_for(devices, _TOWER))
    network.tie_weights()
    upcast_products(network)
    dispatch(network, devices)
    network.eval()
    return network


def empty_network(
    config: LongLlavaConfig, quantization: str | None = None
) -> LongLlavaForConditionalGeneration:
    """Build the network without memory for its weights (on torch's meta device).

    Args:
        config: Its configuration.
        quantization: As `resolve_quantization` spells it; None for plain weights.
    """
    config.quantization = None  # set again where the weights are in 8 bits
    with torch.device("meta"):
        network = LongLlavaForConditionalGeneration(config)
        if quantization is not None:
            quantize_network(network, quantization)
    return network


def _describe(folder: Path, entries: dict[str, Any]) -> tuple[LongLlavaConfig, dict[str, Shape]]:
    """Return the configuration and what is stored of the network that it describes."""
    try:
        config = _read_config(folder, entries)
        config.quantization = resolve_quantization(config.quantization)
        network = empty_network(config, config.quantization)
    except _UNUSABLE as error:
        raise CheckpointError(
            "The checkpoint's config.json describes no network.",
            remedy="Compare it with the config.json of a released LongLLaVA checkpoint.",
            code="checkpoint.config",
            facts={"error": type(error).__name__},
        ) from error
    shapes = {name: tuple(weight.shape) for name, weight in stored_tensors(network)}
    return config, shapes


def _read_config(folder: Path, entries: dict[str, Any]) -> LongLlavaConfig:
    kind = entries.get("model_type")
    if kind == LongLlavaConfig.model_type:
        return LongLlavaConfig(**{k: v for k, v in entries.items() if k != "model_type"})
    if kind == "llava":
        return from_stock_llava(entries)
    if kind == "llava_jamba" or _RELEASED_KEYS & entries.keys():
        return from_released(entries, tower_config(folder, entries))
    raise CheckpointError(
        "The configuration is not that of a LongLLaVA model.",
        remedy="Its model_type must be longllava, llava_jamba, or llava with a Jamba text_config.",
        code="checkpoint.config",
    )


def _holds_tower(match: Match) -> bool:
    return any(
        destination.parameter.startswith(_TOWER) for destination in match.placements.values()
    )


def _commonest_dtype(files: WeightFiles) -> torch.dtype:
    counts = Counter(header.dtype for header in files.headers.values() if header.dtype is not None)
    floating = [dtype for dtype, _ in counts.most_common() if dtype.is_floating_point]
    return floating[0] if floating else torch.float32


def _sources(checkpoint: Checkpoint) -> list[tuple[WeightFiles, dict[str, Destination]]]:
    """Return the files of a checkpoint and of its tower, with what each tensor fills."""
    found = [(checkpoint.files, checkpoint.match.placements)]
    if checkpoint.tower_files is not None:
        found.append((checkpoint.tower_files, checkpoint.match.tower_placements))
    return found


def _stream(
    files: WeightFiles, placements: dict[str, Destination]
) -> Iterator[tuple[Destination, Tensor]]:
    for position in range(len(files.files)):
        for name, tensor in files.tensors(position):
            if name in placements:
                yield placements[name], tensor


def _restore_buffers(network: LongLlavaForConditionalGeneration, device: torch.device) -> None:
    """Recompute the one buffer that is not stored: the tower's patch positions."""
    embeddings = network.model.vision_tower.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions, device=device)[None]
    left = [name for name, buffer in network.named_buffers() if buffer.device.type == "meta"]
    assert not left, left
