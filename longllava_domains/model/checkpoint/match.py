"""Match the tensors of a checkpoint with the needs of a network, from headers alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import torch

from longllava_domains.errors import CheckpointError, PolicyError
from longllava_domains.model.checkpoint.files import TensorHeader
from longllava_domains.model.checkpoint.names import (
    Destination,
    Layout,
    NameMap,
    is_derived,
    layout_of,
    spell,
    tower_destination,
)

Shape = tuple[int, ...]

# What a weight may be stored in; numbers of another kind (codes of a quantiser that we do not know)
# would be copied as if they were weights.
_PRECISIONS: Final = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})

# Names in one message; the counts are always complete.
_SHOWN = 5


@dataclass
class Match:
    """The match of a checkpoint's tensors with a network's parameters.

    Attributes:
        layout: The spelling that the checkpoint uses.
        placements: Tensor name in the checkpoint -> where it goes.
        tower_placements: The same for a separate tower, where the checkpoint has none.
        missing: What the network needs and nothing provides, as the checkpoint would spell it.
        unexpected: Tensors that go nowhere.
        wrong_shape: Tensor name -> (found, needed).
        wrong_dtype: Tensor name -> the precision that it cannot be read in.
        doubled: Tensors whose place another tensor has taken.
        ignored: Computed buffers that old checkpoints store.
    """

    layout: Layout
    placements: dict[str, Destination] = field(default_factory=dict)
    tower_placements: dict[str, Destination] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_shape: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    wrong_dtype: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def excused(self, pattern: str | None) -> "Match":
        """Return a copy without the unexpected tensors in whose names a pattern is found.

        Raises:
            PolicyError: The pattern is no regular expression.
        """
        if pattern is None:
            return self
        try:
            excuse = re.compile(pattern)
        except re.error as error:
            raise PolicyError(
                f"allow_unexpected is not a regular expression ({error.msg}).",
                remedy=r"Write a pattern that is found in the tensor names, such as '\.inv_freq$'.",
                code="checkpoint.pattern",
            ) from None
        kept = [name for name in self.unexpected if excuse.search(name) is None]
        return Match(**{**vars(self), "unexpected": kept})

    def require_clean(self) -> None:
        """Raise where anything is missing, left over, doubled, or of the wrong shape or precision.

        Raises:
            CheckpointError: Names the first few tensors of each kind and counts them all.
        """
        shapes = [
            f"{name} {list(found)} instead of {list(needed)}"
            for name, (found, needed) in self.wrong_shape.items()
        ]
        faults = {
            "missing": self.missing,
            "wrong_shape": shapes,
            "wrong_dtype": [f"{name} in {dtype}" for name, dtype in self.wrong_dtype.items()],
            "unexpected": self.unexpected,
            "doubled": self.doubled,
        }
        found = {kind: names for kind, names in faults.items() if names}
        if not found:
            return
        kind = next(iter(found))
        raise CheckpointError(
            "The checkpoint does not fit the network: "
            + "; ".join(_sentence(kind, names) for kind, names in found.items())
            + ".",
            remedy=_REMEDIES[kind],
            code=f"checkpoint.{kind}",
            facts={name: len(names) for name, names in faults.items()},
        )


_REMEDIES = {
    "missing": "Use a complete checkpoint; parameters are never left at random values.",
    "wrong_shape": "Check that config.json belongs to these weights.",
    "wrong_dtype": "Use a checkpoint in floating point, or one that longllava convert quantised; "
    "other quantisers are not read.",
    "unexpected": "Check that config.json belongs to these weights, or excuse tensors you know "
    "with allow_unexpected=REGEX.",
    "doubled": "Keep one of the tensors that stand for the same parameter.",
}
_PHRASES = {
    "missing": "missing",
    "wrong_shape": "of the wrong shape",
    "wrong_dtype": "of a precision that is not read",
    "unexpected": "left over",
    "doubled": "given twice",
}


def match_tensors(
    headers: Mapping[str, TensorHeader],
    needed: Mapping[str, Shape],
    names: NameMap,
    tower_headers: Mapping[str, TensorHeader] | None = None,
) -> Match:
    """Give every tensor of a checkpoint its place and find what does not fit.

    Args:
        headers: The checkpoint's tensors.
        needed: Parameter name -> shape, of our network.
        names: Reads the checkpoint's tensor names.
        tower_headers: Tensors of a separate CLIP checkpoint, which fill the tower.
    """
    found = Match(layout_of(list(headers)))
    filled: dict[Destination, str] = {}
    for name, header in headers.items():
        if is_derived(name):
            found.ignored.append(name)
        else:
            destination = names.destination(name)
            _place(found, filled, name, header, destination, needed, found.placements)
    for name, header in (tower_headers or {}).items():
        destination = tower_destination(name)
        if destination is not None and not is_derived(f"tower.{name}"):
            _place(found, filled, name, header, destination, needed, found.tower_placements)
    found.missing = list(_missing(filled, needed, found.layout))
    return found


def _place(
    found: Match,
    filled: dict[Destination, str],
    name: str,
    header: TensorHeader,
    destination: Destination | None,
    needed: Mapping[str, Shape],
    placements: dict[str, Destination],
) -> None:
    shape = None if destination is None else shape_needed(destination, needed)
    if destination is None or shape is None:
        found.unexpected.append(name)
    elif header.shape != shape:
        found.wrong_shape[name] = (header.shape, shape)
        filled[destination] = name
    elif destination in filled:
        found.doubled.append(name)
    else:
        filled[destination] = name
        placements[name] = destination
        int8 = f"{destination.parameter}_scale" in needed
        if header.dtype not in ({torch.int8} if int8 else _PRECISIONS):
            stored = str(header.dtype or "an unknown precision").removeprefix("torch.")
            found.wrong_dtype[name] = stored


def shape_needed(destination: Destination, needed: Mapping[str, Shape]) -> Shape | None:
    """Return the shape that a tensor must have for its place, None where there is no such place."""
    shape = needed.get(destination.parameter)
    if shape is None or destination.expert is None:
        return shape
    experts, rows, columns = shape
    if destination.expert >= experts:
        return None
    return (rows, columns) if destination.part == "down" else (rows // 2, columns)


def _missing(
    filled: Mapping[Destination, str], needed: Mapping[str, Shape], layout: Layout
) -> Iterator[str]:
    for parameter, shape in needed.items():
        if Destination(parameter) in filled:
            continue
        parts = [Destination(parameter)]
        fused = parameter.endswith((".experts.gate_up_proj", ".experts.down_proj"))
        if fused and f"{parameter}_scale" not in needed:
            halves = ("down",) if parameter.endswith(".down_proj") else ("gate", "up")
            parts = [Destination(parameter, e, half) for e in range(shape[0]) for half in halves]
        yield from (spell(part, layout) for part in parts if part not in filled)


def _sentence(kind: str, names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    rest = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    noun = "tensor is" if len(names) == 1 else "tensors are"
    return f"{len(names)} {noun} {_PHRASES[kind]} ({shown}{rest})"
