"""Free memory: what the machine has, and no more than the limits around this process leave."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from longllava_domains.model.devices import free_memory
from longllava_domains.model.devices.free_memory import cgroup_free_bytes, free_bytes

MB = 10**6


@pytest.fixture
def tree(tmp_path: Path) -> Any:
    """Return a writer of control groups and the two places that are read."""
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)

    def write(lines: str, files: dict[str, str]) -> list[int]:
        (proc / "self/cgroup").write_text(lines)
        for name, text in files.items():
            (groups / name).parent.mkdir(parents=True, exist_ok=True)
            (groups / name).write_text(text + "\n")
        return sorted(cgroup_free_bytes(proc, groups))

    return write


def version_2(folder: str, limit: str, used: int, cached: int) -> dict[str, str]:
    return {
        f"{folder}memory.max": limit,
        f"{folder}memory.current": str(used),
        f"{folder}memory.stat": f"anon 5\ninactive_file {cached}\nactive_file {2 * MB}",
    }


def test_the_page_cache_of_a_container_counts_as_free(tree) -> None:
    assert tree("0::/\n", version_2("", str(1000 * MB), 700 * MB, 300 * MB)) == [602 * MB]


def test_every_group_around_the_process_is_a_limit(tree) -> None:
    files = {
        **version_2("job/", str(800 * MB), 500 * MB, 0),
        **version_2("job/step/", str(900 * MB), 100 * MB, 0),
    }
    assert tree("0::/job/step\n", files) == [302 * MB, 802 * MB]


def test_a_group_without_a_limit_sets_none(tree) -> None:
    assert tree("0::/a\n", version_2("a/", "max", 700 * MB, 0)) == []


def test_a_group_above_its_limit_leaves_nothing(tree) -> None:
    assert tree("0::/\n", version_2("", str(100 * MB), 400 * MB, 0)) == [0]


def test_groups_of_the_first_version_are_read_where_a_container_sees_only_its_own(tree) -> None:
    files = {
        "memory/memory.limit_in_bytes": str(1000 * MB),
        "memory/memory.usage_in_bytes": str(900 * MB),
        "memory/memory.stat": f"total_inactive_file {50 * MB}\ntotal_active_file {MB}",
    }
    outside = "4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n"
    assert tree(outside, files) == [151 * MB]


def test_a_system_without_control_groups_sets_no_limit(tmp_path: Path) -> None:
    assert list(cgroup_free_bytes(tmp_path, tmp_path)) == []


def test_a_limit_around_the_process_goes_before_what_the_machine_has(monkeypatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(free_memory, "cgroup_free_bytes", lambda *_: iter([7 * MB, 9 * MB]))
    assert free_bytes(cpu) == 7 * MB
    monkeypatch.setattr(free_memory, "cgroup_free_bytes", lambda *_: iter(()))
    assert 7 * MB < free_bytes(cpu) <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_torch_pools_on_a_gpu_counts_as_free(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3 * MB, 80 * MB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 50 * MB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 20 * MB)
    assert free_bytes(torch.device("cuda:0")) == 33 * MB
