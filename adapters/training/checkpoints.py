"""Checkpoints that exist whole or not at all.

A checkpoint grows in a folder that nobody takes for one, is flushed to disk, and gets its name in
one step; only then are older ones removed. A run that is killed or meets a full disk therefore
never loses the checkpoint before.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from longllava_domains.errors import NotFoundError, TrainingError

_NAME: Final = re.compile(r"checkpoint-(\d+)\Z")
_PART: Final = ".part-"


def name_of(step: int) -> str:
    """Return the name of the checkpoint after a step."""
    return f"checkpoint-{step}"


def part_of_run(name: str) -> str:
    """Return the name under which a checkpoint grows."""
    return f"{_PART}{name}"


def checkpoints(run: Path) -> list[Path]:
    """Return the whole checkpoints of a run, oldest first."""
    found = [(int(match[1]), path) for path in run.glob("checkpoint-*") if path.is_dir()
             and (match := _NAME.match(path.name))]  # fmt: skip
    return [path for _, path in sorted(found)]


def newest_checkpoint(run: Path) -> Path:
    """Return the newest whole checkpoint of a run.

    Raises:
        NotFoundError: There is none.
    """
    found = checkpoints(run)
    if not found:
        raise NotFoundError(
            "The run has no checkpoint to resume from.",
            remedy="Name the output folder of a run that saved one, or begin a new run.",
            code="training.checkpoint",
        )
    return found[-1]


def sweep(run: Path) -> None:
    """Remove what a killed run left half written."""
    for path in run.glob(f"{_PART}*"):
        shutil.rmtree(path, ignore_errors=True)


def keep_newest(run: Path, count: int) -> None:
    """Remove all but the newest few checkpoints."""
    for path in checkpoints(run)[:-count]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def written_whole(run: Path, name: str) -> Iterator[Path]:
    """Give a folder to write to; it becomes `run/name` when the block ends without an error.

    Raises:
        TrainingError: It could not be written; nothing that was there before is lost.
    """
    staged = run / part_of_run(name)
    target = run / name
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        yield staged
        _flush(staged)
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
        _flush_folder(run)
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch and safetensors report a full disk as errors of their own.
        shutil.rmtree(staged, ignore_errors=True)
        cause = (
            f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
        )
        raise TrainingError(
            f"The checkpoint could not be written{cause}.",
            remedy="Make room on the disk and resume; the checkpoint before is kept.",
            code="training.write",
        ) from None


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
