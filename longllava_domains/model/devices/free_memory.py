"""Free memory for a run: on a GPU, on a machine, and inside a container's limit."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import torch

# Kept free: allocators fragment, and drivers take their share.
RESERVE: Final = 0.03

# A control group's files: its limit, what it uses, and the page cache in that, which the kernel
# gives up on demand. Version 2 of the interface, then version 1 (kernel documentation,
# admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
_VERSION_2: Final = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_VERSION_1: Final = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on a device, bytes.

    On a GPU, what the driver has and what torch holds without using it: after a first run most
    memory is in torch's own pool, and is used again. On a processor, what the machine can give
    without swapping, and no more than a limit on its address space and the control groups of this
    process (a container's or a batch job's limit) leave.
    """
    if device.type == "cuda":
        pooled = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + pooled
    proc = Path("/proc")
    limits = cgroup_free_bytes(proc, Path("/sys/fs/cgroup"))
    return min([_machine(proc), *address_space_bytes(proc), *limits])


def address_space_bytes(proc: Path) -> Iterator[int]:
    """Yield what a limit on this process's address space leaves (``ulimit -v``), bytes."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int((proc / "self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError):  # Windows has no such limits, macOS no such file
        return
    if limit != resource.RLIM_INFINITY:
        yield max(0, limit - used)


def cgroup_free_bytes(proc: Path, groups: Path) -> Iterator[int]:
    """Yield what each control group around this process leaves free, bytes.

    Args:
        proc: Where the kernel describes processes.
        groups: Where control groups are mounted. A group that is not visible there, as those
            outside a container are not, sets no limit that could be read.
    """
    try:
        lines = (proc / "self/cgroup").read_text("ascii").splitlines()
    except OSError:  # no Linux, or one without control groups
        return
    mounts: tuple[Path, ...]
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if not controllers:
            mounts, names = (groups, groups / "unified"), _VERSION_2
        elif "memory" in controllers.split(","):
            mounts, names = (groups / "memory",), _VERSION_1
        else:
            continue
        group = PurePosixPath(inside.lstrip("/"))
        for mount in mounts:
            for folder in {mount / group, *(mount / parent for parent in group.parents)}:
                free = _free_of(folder, names)
                if free is not None:
                    yield free


def _free_of(folder: Path, names: tuple[str, str, tuple[str, str]]) -> int | None:
    """Return what one group leaves free, None where it sets no limit."""
    limit_name, used_name, cached_names = names
    try:
        limit = (folder / limit_name).read_text("ascii").strip()
        used = int((folder / used_name).read_text("ascii"))
        pairs = (line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
        stat = {name: int(value) for name, value in pairs}
    except OSError:
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + sum(stat.get(name, 0) for name in cached_names))


def _machine(proc: Path) -> int:
    """Return what the kernel says can be given without swapping, or else all there is."""
    try:
        lines = (proc / "meminfo").read_text("ascii").splitlines()
    except OSError:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return int(dict(line.split(":", 1) for line in lines)["MemAvailable"].split()[0]) * 1024
