"""Weights in .bin files: pickles of tensors and of nothing else, inside limits."""

import io
import pickle
import pickletools
import re
import struct
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from longllava_domains.errors import CheckpointError
from longllava_domains.formats.zip_index import (
    ZIP_ERRORS,
    file_entries,
    is_zip_archive,
    open_zip,
)
from longllava_domains.units import MIB

# An unpickler that reads bytes which are no pickle stumbles in many ways.
_UNPICKLING_ERRORS: Final = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

# How torch's reader of tensors alone says that a pickle asks for something else.
_FORBIDDEN: Final = re.compile(r"unsupported global|unsupported class|blocked", re.IGNORECASE)

# A pickle takes some 200 bytes for a tensor; torch's reader, which is Python, a second for 2 MB.
_MAX_PICKLE_BYTES: Final = 8 * MIB
_MAX_RATIO: Final = 200


def load_pickled(path: Path, described: str) -> dict[str, Tensor]:
    """Load a .bin file of tensors; memory-mapped where its format allows, so headers cost nothing.

    Args:
        path: The file.
        described: What the error calls it.

    Raises:
        CheckpointError: It is damaged, or asks for other objects than tensors; nothing of it was run.
    """
    in_zip = is_zip_archive(path)
    if in_zip:
        _require_no_bomb(path, described)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=in_zip)
    except _UNPICKLING_ERRORS as error:
        if _asks_for_objects(path, str(error)):
            raise _hostile(described) from None
        raise damaged(described, path) from None
    if not isinstance(loaded, dict) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise damaged(described, path)
    return loaded


def _require_no_bomb(path: Path, described: str) -> None:
    """Refuse an archive whose pickle would take minutes, or whose tensors are not in the file.

    Raises:
        CheckpointError: It is damaged, or beyond the limits.
    """
    try:
        with open_zip(path) as archive:
            entries = file_entries(archive)
    except OSError:
        raise damaged(described, path) from None
    pickles = [entry.file_size for entry in entries if entry.filename.endswith(".pkl")]
    total = sum(entry.file_size for entry in entries)
    if max(pickles, default=0) > _MAX_PICKLE_BYTES or total > _MAX_RATIO * path.stat().st_size:
        raise CheckpointError(
            f"{described} inflates to {total} bytes.",
            remedy="Weight files are not compressed: take .safetensors from a publisher you trust.",
            code="checkpoint.bomb",
            facts={"bytes": total},
        )


def _asks_for_objects(path: Path, refusal: str) -> bool:
    """Return True for a pickle that wants more than tensors built; torch built nothing of it."""
    if _FORBIDDEN.search(refusal) is not None:
        return True
    try:  # a protocol that torch does not write, and refuses without saying what for
        with _pickle_in(path) as opened:
            while opened.peek(1):  # an old file holds several pickles
                if any(code.name == "STACK_GLOBAL" for code, _, _ in pickletools.genops(opened)):
                    return True
    except (*_UNPICKLING_ERRORS, *ZIP_ERRORS):
        pass  # what follows the pickles is no pickle, or the file is cut off
    return False


def _pickle_in(path: Path) -> io.BufferedReader:
    if not is_zip_archive(path):
        return path.open("rb")
    with open_zip(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with archive.open(name) as stream:
            return io.BufferedReader(io.BytesIO(stream.read(_MAX_PICKLE_BYTES)))


def _hostile(described: str) -> CheckpointError:
    return CheckpointError(
        f"{described} is a pickle that asks for other objects than tensors, as one that runs code "
        "does; nothing of it was run.",
        remedy="Open it with no other tool; take .safetensors weights from a publisher you trust.",
        code="checkpoint.pickle",
    )


def damaged(described: str, path: Path) -> CheckpointError:
    """Return the error for a weight file that cannot be read."""
    size = path.stat().st_size if path.exists() else 0
    remedy = "Download or copy it again; it may have been cut off."
    if size < 1024 and path.exists() and path.read_bytes().startswith(b"version https://git-lfs"):
        remedy = "It is a Git LFS pointer: run `git lfs pull` in the checkpoint."
    return CheckpointError(
        f"{described} ({size} bytes) is truncated or not a weight file.",
        remedy=remedy,
        code="checkpoint.damaged",
        facts={"bytes": size},
    )
