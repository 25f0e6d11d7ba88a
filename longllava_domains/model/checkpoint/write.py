"""Writing checkpoints: shards of bounded size, their index, and the files that go with weights."""

import json
import shutil
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from longllava_domains.errors import OutputError
from longllava_domains.model.checkpoint.files import has_weights
from longllava_domains.model.int8.low_rank import require_nothing_beside
from longllava_domains.model.int8.quantize import require_int8, stored_tensors
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration

SHARD_BYTES: Final = 4 * 1024**3

# What a tokenizer and a generation setting may consist of; copied along where they exist.
_COMPANIONS: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "preprocessor_config.json",
)


class ShardWriter:
    """Writes tensors one after another into .safetensors shards of bounded size.

    Args:
        folder: Where to; made if it is not there.
        shard_bytes: Largest size of one shard, except for a tensor that is larger alone.
        beside: Allow files that are no weights, such as a tokenizer's.

    Raises:
        OutputError: The folder cannot be written, or already holds files.
    """

    def __init__(
        self, folder: Path, shard_bytes: int = SHARD_BYTES, *, beside: bool = False
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            occupied = has_weights(folder) if beside else any(folder.iterdir())
        except OSError:
            raise _unwritable() from None
        if occupied:
            raise OutputError(
                "The output folder is not empty.",
                remedy="Name a new folder; nothing is overwritten.",
                code="checkpoint.output",
            )
        self._folder, self._shard_bytes = folder, shard_bytes
        self._held: dict[str, Tensor] = {}
        self._held_bytes = self._total_bytes = 0
        self._shards: list[list[str]] = []

    def add(self, name: str, tensor: Tensor) -> None:
        """Take one tensor; a full shard is written before it."""
        size = tensor.numel() * tensor.element_size()
        if self._held and self._held_bytes + size > self._shard_bytes:
            self._write()
        self._held[name] = tensor.detach().to("cpu").contiguous()
        self._held_bytes += size
        self._total_bytes += size

    def close(self) -> None:
        """Write the last shard, give all shards their final names, and write the index."""
        self._write()
        names = [
            f"model-{number:05d}-of-{len(self._shards):05d}.safetensors"
            for number in range(1, len(self._shards) + 1)
        ]
        try:
            if len(names) == 1:
                self._temporary(0).rename(self._folder / "model.safetensors")
                return
            for number, name in enumerate(names):
                self._temporary(number).rename(self._folder / name)
            files = zip(names, self._shards, strict=True)
            index = {
                "metadata": {"total_size": self._total_bytes},
                "weight_map": {tensor: name for name, held in files for tensor in held},
            }
            text = json.dumps(index, indent=2, sort_keys=True)
            (self._folder / "model.safetensors.index.json").write_text(text + "\n", "utf-8")
        except OSError:
            raise _unwritable() from None

    def _write(self) -> None:
        try:
            shard = self._temporary(len(self._shards))
            save_file(self._held, shard, metadata={"format": "pt"})
            _share(shard)
        except (SafetensorError, OSError):
            raise _unwritable() from None
        self._shards.append(list(self._held))
        self._held, self._held_bytes = {}, 0

    def _temporary(self, number: int) -> Path:
        return self._folder / f"part-{number}.safetensors"


def _share(file: Path) -> None:
    """Give a file the permissions of any new one; safetensors makes it for its owner's eyes alone."""
    plain = file.with_suffix(".plain")
    plain.touch()
    file.chmod(plain.stat().st_mode & 0o777)
    plain.unlink()


def save_quantized(
    network: LongLlavaForConditionalGeneration,
    folder: str | Path,
    *,
    companions: str | Path | None = None,
    shard_bytes: int = SHARD_BYTES,
    beside: bool = False,
) -> None:
    """Save a network in 8 bits as a checkpoint of its own, which `load_checkpoint` reads.

    int8 weights keep their names; their scales stand beside them as ``NAME_scale`` in float32;
    config.json records the ``quantization``. The original weights are not needed any more.

    Args:
        network: A quantised network.
        folder: Where to; new or empty.
        companions: Folder of the original checkpoint, from which tokenizer files are copied.
        shard_bytes: Largest size of one weight file.
        beside: Allow files that are no weights in the folder.

    Raises:
        QuantizationError: A module that should be in 8 bits is not, or an adapter is beside one.
        OutputError: The folder cannot be written or is not empty.
    """
    require_int8(network)
    require_nothing_beside(network)
    target = Path(folder)
    writer = ShardWriter(target, shard_bytes, beside=beside)
    for name, tensor in stored_tensors(network):
        writer.add(name, tensor)
    writer.close()
    network.config.architectures = [type(network).__name__]
    try:
        network.config.save_pretrained(target)
    except OSError:
        raise _unwritable() from None
    if companions is not None:
        copy_companions(Path(companions), target)


def copy_companions(source: Path, target: Path) -> None:
    """Copy tokenizer and generation files, those that exist.

    Raises:
        OutputError: The target cannot be written.
    """
    try:
        for name in _COMPANIONS:
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
    except OSError:
        raise _unwritable() from None


def _unwritable() -> OutputError:
    return OutputError(
        "The checkpoint cannot be written there.",
        remedy="Check that the folder is yours to write and that the disk is not full.",
        code="checkpoint.output",
    )
