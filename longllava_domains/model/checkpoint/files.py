"""The weight files of a folder: which they are, what their headers say, and their tensors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longllava_domains.errors import CheckpointError
from longllava_domains.formats import regular_file as document
from longllava_domains.model.checkpoint.pickled import damaged, load_pickled
from longllava_domains.units import content_hash

# In the order in which transformers looks for them.
_SINGLE: Final = ("model.safetensors", "pytorch_model.bin")
_INDEXES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")

_DTYPES: Final[dict[str, torch.dtype]] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_SAMPLE_BYTES: Final = 4096
_SAMPLES: Final = 64


@dataclass(frozen=True)
class TensorHeader:
    """The facts about one tensor in the header of a weight file.

    Attributes:
        shape: Its sizes.
        dtype: Its precision; None for one that torch's stable types do not cover.
        file: Position of its file in `WeightFiles.files`.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    file: int


class WeightFiles:
    """The weights of a checkpoint folder, one file or shards, .safetensors or .bin.

    Args:
        folder: A folder that holds weights under the names that transformers uses.

    Attributes:
        files: The weight files, in order.
        headers: Name -> header of every tensor, read without reading the weights.

    Raises:
        CheckpointError: No weights, a missing shard, or a file that is truncated or no weight
            file at all. Pickled files are read with ``weights_only=True``.
    """

    def __init__(self, folder: Path) -> None:
        self.files = tuple(_find(folder))
        self.headers: dict[str, TensorHeader] = {}
        for position in range(len(self.files)):
            for name, shape, dtype in self._read_headers(position):
                if name in self.headers:
                    raise CheckpointError(
                        f"The tensor {name} is in two weight files.",
                        remedy="Delete the files of an older save from the folder.",
                        code="checkpoint.duplicate",
                    )
                self.headers[name] = TensorHeader(shape, dtype, position)

    def tensors(self, position: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of one file, on the CPU, each valid until the next is asked for."""
        path = self.files[position]
        if path.suffix == ".bin":
            yield from load_pickled(path, self._describe(position)).items()
            return
        try:
            with safe_open(path, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - not a dictionary
                    yield name, opened.get_tensor(name)
        except (SafetensorError, OSError):
            raise damaged(self._describe(position), path) from None  # it may quote the path

    def tensor(self, name: str) -> Tensor:
        """Read one tensor, on the CPU."""
        position = self.headers[name].file
        path = self.files[position]
        if path.suffix == ".bin":
            return load_pickled(path, self._describe(position))[name]
        try:
            with safe_open(path, framework="pt") as opened:
                tensor: Tensor = opened.get_tensor(name)
                return tensor
        except (SafetensorError, OSError) as error:
            raise damaged(self._describe(position), path) from error

    def fingerprint(self) -> str:
        """Return a SHA-256 that tells checkpoints apart without reading them whole.

        It covers the size of every weight file, its first bytes (in .safetensors the names and
        shapes) and 64 blocks of 4 KiB spread evenly over it, so that two fine-tunings of one
        network differ. It identifies; it does not prove that no other byte was changed.
        """
        return content_hash(part for path in self.files for part in _samples(path))

    def _read_headers(self, position: int) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        path = self.files[position]
        if path.suffix == ".bin":
            loaded = load_pickled(path, self._describe(position))
            yield from ((name, tuple(t.shape), t.dtype) for name, t in loaded.items())
            return
        try:
            with safe_open(path, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    header = opened.get_slice(name)
                    yield name, tuple(header.get_shape()), _DTYPES.get(header.get_dtype())
        except (SafetensorError, OSError):
            raise damaged(self._describe(position), path) from None  # it may quote the path

    def _describe(self, position: int) -> str:
        return f"Weight file {position + 1} of {len(self.files)}"


def has_weights(folder: Path) -> bool:
    """Return True for a folder that holds weights under a name that `WeightFiles` reads."""
    return any((folder / name).is_file() for name in (*_SINGLE, *_INDEXES))


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object of a checkpoint.

    Args:
        path: The file.
        what: What it is called in the error, such as ``"config.json"``.

    Raises:
        CheckpointError: The file is absent or holds no JSON object.
    """
    try:
        entries = document.read_json(path)
    except OSError:
        raise CheckpointError(
            f"There is no readable {what} in the checkpoint.",
            remedy="Name the folder that holds config.json and the weights of a LongLLaVA model.",
            code="checkpoint.absent",
        ) from None
    except document.BadDocumentError:
        entries = None
    if not isinstance(entries, dict):
        raise CheckpointError(
            f"The checkpoint's {what} holds no JSON object.",
            remedy="Download or save the checkpoint again.",
            code="checkpoint.damaged",
        )
    return entries


def _find(folder: Path) -> list[Path]:
    for single, index in zip(_SINGLE, _INDEXES, strict=True):
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            return _shards(folder, index)
    raise CheckpointError(
        "The folder holds no weights.",
        remedy=f"It needs one of {', '.join((*_SINGLE, *_INDEXES))}.",
        code="checkpoint.absent",
    )


def _shards(folder: Path, index: str) -> list[Path]:
    weight_map = read_json(folder / index, "weight index").get("weight_map")
    listed = weight_map.values() if isinstance(weight_map, dict) else ()
    names = sorted({str(name) for name in listed})
    if not names or any(Path(name).name != name or "\0" in name for name in names):
        raise CheckpointError(
            "The weight index names no usable shards.",
            remedy="Its weight_map must map tensors to files of the same folder.",
            code="checkpoint.damaged",
        )
    absent = [position + 1 for position, name in enumerate(names) if not (folder / name).is_file()]
    if absent:
        raise CheckpointError(
            f"{len(absent)} of {len(names)} weight files are missing (the first is number {absent[0]}).",
            remedy="Download the checkpoint again, until every shard that the index names is there.",
            code="checkpoint.absent",
            facts={"absent": tuple(absent), "shards": len(names)},
        )
    return [folder / name for name in names]


def _samples(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    yield size.to_bytes(8, "little")
    with path.open("rb") as opened:
        for block in range(_SAMPLES):
            opened.seek(block * max(size - _SAMPLE_BYTES, 0) // (_SAMPLES - 1))
            yield opened.read(_SAMPLE_BYTES)
