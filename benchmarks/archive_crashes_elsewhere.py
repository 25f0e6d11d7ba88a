"""The crash test of archives, run on Ray Data's and Daft's own checkpoints.

    pip install "ray[data]" daft
    python benchmarks/archive_crashes_elsewhere.py [--items 200] [--kills 5] [--engines ray daft ours]

A job of small items writes Parquet with the engine's checkpoint. Its driver and all of its workers are
killed together at a random moment after new output appeared, and it is started again, until a run
ends by itself. A start that fails by itself is tried again and counts as no kill. Prints the items
that are lost and doubled in what was written. Ray itself is started once, on this machine alone, and
goes on: to start it takes minutes on a busy machine. Nothing outside this job is touched.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))

_CLUSTER = """
import sys, time, ray
ray._private.utils.get_dashboard_dependency_error = lambda: ImportError("agents without their services")
ray.init(num_cpus=4, include_dashboard=False, _temp_dir=sys.argv[1], logging_level="ERROR")
print(ray.get_runtime_context().gcs_address, flush=True)
time.sleep(1e6)
"""
_START = """
import sys, time, ray
source, output, checkpoint, address = sys.argv[1:5]
ray.init(address=address, logging_level="ERROR")
"""
_RAY = """
from ray.data.checkpoint import CheckpointConfig
ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
    id_column="item_id", checkpoint_path=checkpoint, delete_checkpoint_on_success=False)
def score(batch):
    time.sleep(0.1 * len(batch["item_id"]))
    batch["margin"] = [float(len(each)) for each in batch["item_id"]]
    return batch
found = ray.data.read_parquet(source, override_num_blocks=20)
found.map_batches(score, batch_size=5).write_parquet(output)
"""
_DAFT = """
import daft
daft.set_runner_ray(noop_if_initialized=True)
@daft.func
def score(item: str) -> float:
    time.sleep(0.1)
    return float(len(item))
store = daft.CheckpointStore("file://" + checkpoint)
config = daft.CheckpointConfig(store=store, on="item_id")
found = daft.read_parquet(source + "/*.parquet", checkpoint=config)
found.with_column("margin", score(found["item_id"])).write_parquet(output)
"""
_OURS = """
import sys
from pathlib import Path
import archive_crashes as crashes, archive_stub as stub
from longllava_domains.archive import Settings, run_local
settings = Settings(Path(sys.argv[2]), part_rows=10, max_kills=crashes.MANY)
run_local(stub.job(score_seconds=0.1), stub.Items(int(sys.argv[5])), settings)
"""
ENGINES = {"ray": _START + _RAY, "daft": _START + _DAFT, "ours": _OURS}
_LONGEST_RUN_S = 400
_FAILED_STARTS = 3
_STARTS = 12


def files(output: Path) -> set[str]:
    """Return the names of the files of results."""
    return {place.name for place in output.rglob("*.parquet")}


@contextmanager
def cluster(engine: str) -> Iterator[tuple[str, int]]:
    """Start Ray, for engines that run on it; yield its address and the session of its processes."""
    if engine == "ours":
        yield "", 0
        return
    # Ray's raylet gives its agents 15 s to start, which a busy machine may not: they start without
    # their services (of dashboard and metrics), which takes less, and are tried again.
    for _ in range(_STARTS):
        folder = tempfile.mkdtemp(prefix="cr", dir="/tmp")
        process = popen(_CLUSTER, [folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert process.stdout is not None
            address = process.stdout.readline().decode().strip()
            if address:
                print(f"  Ray is up at {address}", flush=True)
                yield address, process.pid
                return
            print("  Ray did not start", flush=True)
        finally:
            kill(session_of(process.pid))
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(1)


def popen(code: str, arguments: list[str], **streams: Any) -> "subprocess.Popen[bytes]":
    """Start a Python process in a session of its own."""
    path = os.pathsep.join([str(Path(__file__).parents[1] / "tests" / "builders"), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"},
        **streams,
    )


def session_of(leader: int) -> list[tuple[int, str]]:
    """Return id and name of the processes of a session, which no one else shares."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            session = int((place / "stat").read_text().rpartition(")")[2].split()[3])
            if session == leader:
                name = (place / "cmdline").read_bytes().decode(errors="replace")
                found.append((int(place.name), name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def kill(processes: list[tuple[int, str]]) -> None:
    """Kill processes at once."""
    for process, _ in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def end(job: "subprocess.Popen[bytes]", ray: int) -> None:
    """Kill all processes of the job: its driver's, and Ray's workers but for its agents."""
    workers = [
        (process, name)
        for process, name in (session_of(ray) if ray else [])
        if name.startswith("ray::") and "Agent" not in name
    ]
    kill([*session_of(job.pid), *workers])
    job.wait()


def campaign(engine: str, items: int, kills: int, seed: int) -> None:
    """Kill and resume one engine, and print what its output then holds."""
    with tempfile.TemporaryDirectory(prefix="crashes") as name, cluster(engine) as (address, ray):
        root = Path(name)
        (root / "source").mkdir()
        (root / "output").mkdir()
        ids = [f"item-{number:05d}" for number in range(items)]
        for at in range(0, items, 10):
            table = pa.table({"item_id": ids[at : at + 10]})
            pq.write_table(table, root / "source" / f"{at:05d}.parquet")
        begin = time.monotonic()
        places = [*(str(root / each) for each in ("source", "output", "checkpoint")), address]
        with (root / "log").open("ab") as log:
            run = partial(popen, ENGINES[engine], [*places, str(items)], stdout=log, stderr=log)
            hits, code = run_and_kill(run, root / "output", ray, kills, seed)
        report(engine, root, ids, hits, code, time.monotonic() - begin)


def run_and_kill(
    run: "Callable[[], subprocess.Popen[bytes]]", output: Path, ray: int, kills: int, seed: int
) -> tuple[int, int]:
    """Run a job until it ends by itself, killed up to `kills` times; return kills and exit code."""
    moments = random.Random(seed)  # noqa: S311 - which moment is no secret
    hits = failed = 0
    while True:
        before, process = files(output), run()
        deadline = time.monotonic() + _LONGEST_RUN_S
        is_killed = False
        while process.poll() is None and time.monotonic() < deadline:
            if hits < kills and files(output) - before:
                time.sleep(moments.uniform(0.0, 0.3))
                is_killed = process.poll() is None
                break
            time.sleep(0.01)
        end(process, ray)
        hits += is_killed
        failed += not is_killed
        if process.returncode == 0 or failed == _FAILED_STARTS:
            return hits, process.returncode


def report(engine: str, root: Path, ids: list[str], kills: int, code: int, seconds: float) -> None:
    """Print what is lost and doubled."""
    wanted = set(ids)
    if engine == "ours":
        import archive_stub as stub

        wanted = {item.item_id for item in stub.Items(len(ids))()}
    found: Counter[str] = Counter()
    for place in (root / "output").rglob("*.parquet"):
        try:
            found.update(pq.read_table(place, columns=["item_id"])["item_id"].to_pylist())
        except (OSError, pa.ArrowException):
            print(f"  {engine}: a file cannot be read")
    lost, doubled = len(wanted - found.keys()), sum(count - 1 for count in found.values())
    last = "ended by itself" if code == 0 else f"last exit {code}"
    print(
        f"{engine}: {kills} kills, {last}; {lost} lost, {doubled} doubled of {len(ids)} ({seconds:.0f} s)",
        flush=True,
    )
    if code:
        print("  " + "\n  ".join((root / "log").read_text(errors="replace").splitlines()[-6:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engines", nargs="+", choices=tuple(ENGINES), default=list(ENGINES))
    options = parser.parse_args()
    for engine in options.engines:
        campaign(engine, options.items, options.kills, options.seed)


if __name__ == "__main__":
    main()
