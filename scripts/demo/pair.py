"""Two processes of one thread each that learn together: on shared cores this beats two threads."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed, nn

Part = TypeVar("Part")

RANKS = 2
# A step frees and asks for the same hundreds of megabytes: kept by the process, they need not be
# cleared by the system each time, which took a tenth of a step. Read by glibc when a process starts.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}


def run_pair(work: Callable[..., None], folder: Path, *arguments: Any) -> None:
    """Run ``work(rank, *arguments)`` in two processes that can average their gradients."""
    meeting = folder / f"meeting-{os.getpid()}"
    meeting.unlink(missing_ok=True)
    os.environ.update(KEPT_MEMORY)
    try:
        torch.multiprocessing.spawn(join, (RANKS, work, str(meeting), arguments), nprocs=RANKS)
    finally:
        meeting.unlink(missing_ok=True)


def join(
    rank: int, ranks: int, work: Callable[..., None], meeting: str, arguments: tuple[Any, ...]
) -> None:
    """Do the part of one process of so many, which meet in a file."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks
    )
    try:
        work(rank, *arguments)
    finally:
        distributed.destroy_process_group()


def shared(parts: Sequence[Part], rank: int) -> Sequence[Part]:
    """Return the parts of one process."""
    return parts[rank :: distributed.get_world_size()]


def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by the mean of all processes, in one message."""
    used = [p for p in module.parameters() if p.requires_grad]
    flat = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in used]
    )
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for parameter, mean in zip(used, flat.split([p.numel() for p in used]), strict=True):
        parameter.grad = mean.view_as(parameter).clone()
