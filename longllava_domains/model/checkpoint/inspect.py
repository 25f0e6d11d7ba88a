"""`inspect_checkpoint`: what a checkpoint holds, from its configuration and tensor headers alone."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longllava_domains.arguments import checked
from longllava_domains.model.checkpoint.files import WeightFiles
from longllava_domains.model.checkpoint.load import Checkpoint, open_checkpoint
from longllava_domains.model.checkpoint.names import Destination
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.model.network.parameter_groups import PARAMETER_GROUPS, group_of


@dataclass(frozen=True)
class GroupSize:
    """One kind of weights.

    Attributes:
        name: ``vision``, ``projector``, ``mamba``, ``attention``, ``experts``, ``router``,
            ``dense MLP``, ``norms`` (of layers and the end), ``embeddings`` or ``lm_head``.
        tensors: Tensors in the checkpoint, each expert's counted.
        parameters: Numbers in them.
        bytes: As stored.
    """

    name: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """The facts that `longllava inspect` shows.

    Attributes:
        layout: ``released``, ``stock`` or ``own``: how the tensors are spelled.
        files: Weight files.
        tower: ``inside`` the checkpoint, ``separate`` (the folder that it names) or ``absent``.
        pooling: How patches are reduced.
        tokens_per_image: Language-model tokens of one image.
        layers: Kind of each layer, such as ``"mamba"`` or ``"mamba+16 experts"``.
        parts: Sizes by part; parts without tensors are left out.
        mapping: Tensor name -> where it goes in our network.
        missing: What the network needs and the checkpoint lacks, in the checkpoint's spelling.
        unexpected: Tensors that go nowhere.
        wrong_shape: Tensor name -> found and needed shape.
        wrong_dtype: Tensor name -> a precision that is not read.
        doubled: Tensors that stand for a parameter which another tensor already fills.
    """

    layout: str
    files: int
    tower: str
    pooling: str
    tokens_per_image: int
    layers: tuple[str, ...]
    parts: tuple[GroupSize, ...]
    mapping: dict[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    wrong_dtype: dict[str, str]
    doubled: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True where `load_checkpoint` would accept the tensors."""
        faults = (self.missing, self.unexpected, self.wrong_shape, self.wrong_dtype, self.doubled)
        return not any(faults)

    @property
    def parameters(self) -> int:
        """Numbers in all tensors that have a place in the network."""
        return sum(part.parameters for part in self.parts)

    @property
    def bytes(self) -> int:
        """Stored size of all tensors that have a place in the network."""
        return sum(part.bytes for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as JSON."""
        totals = {"complete": self.complete, "parameters": self.parameters, "bytes": self.bytes}
        return {**asdict(self), **totals}


@checked
def inspect_checkpoint(model: str | Path) -> Inspection:
    """Read a checkpoint's configuration and tensor headers; no weights are read.

    Args:
        model: ``"demo"``, a folder, or a hub id.

    Raises:
        CheckpointError: No checkpoint, a damaged file, or the configuration of another model.
            Tensors that do not fit are not an error here: they are what is inspected.
        NetworkError: A hub id that could not be fetched.
    """
    checkpoint = open_checkpoint(locate(model).folder)
    match = checkpoint.match
    placed = {**match.placements, **match.tower_placements}
    return Inspection(
        layout=match.layout,
        files=len(checkpoint.files.files),
        tower=checkpoint.tower_place,
        pooling=checkpoint.config.pooling,
        tokens_per_image=checkpoint.config.tokens_per_image,
        layers=_layers(checkpoint),
        parts=_parts(checkpoint),
        mapping={name: _spelled(destination) for name, destination in placed.items()},
        missing=tuple(match.missing),
        unexpected=tuple(match.unexpected),
        wrong_shape=dict(match.wrong_shape),
        wrong_dtype=dict(match.wrong_dtype),
        doubled=tuple(match.doubled),
    )


def _layers(checkpoint: Checkpoint) -> tuple[str, ...]:
    text = checkpoint.config.text_config
    kinds = zip(text.layers_block_type, text.layers_num_experts, strict=True)
    return tuple(kind if count == 1 else f"{kind}+{count} experts" for kind, count in kinds)


def _parts(checkpoint: Checkpoint) -> tuple[GroupSize, ...]:
    sizes: dict[str, list[tuple[int, int]]] = {name: [] for name in PARAMETER_GROUPS}
    match = checkpoint.match
    held: list[tuple[WeightFiles, dict[str, Destination]]] = [(checkpoint.files, match.placements)]
    if checkpoint.tower_files is not None:
        held.append((checkpoint.tower_files, match.tower_placements))
    for files, placements in held:
        for name, destination in placements.items():
            header = files.headers[name]
            count = math.prod(header.shape)
            width = 0 if header.dtype is None else header.dtype.itemsize
            sizes[group_of(destination.parameter)].append((count, count * width))
    return tuple(
        GroupSize(
            name, len(found), sum(count for count, _ in found), sum(size for _, size in found)
        )
        for name, found in sizes.items()
        if found
    )


def _spelled(destination: Destination) -> str:
    return (
        destination.parameter
        if destination.expert is None
        else f"{destination.parameter}[{destination.expert}, {destination.part}]"
    )
