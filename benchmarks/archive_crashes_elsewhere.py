"""The crash test of archives, run on Ray Data's and Daft's own checkpoints.

    pip install "ray[data]" daft
    python benchmarks/archive_crashes_elsewhere.py [--items 200] [--kills 5] [--engines ray daft ours]

A job of small items writes Parquet with the engine's checkpoint. Its processes are killed together
at a random moment after new output appeared, and it is started again, until a run ends by itself.
A start that fails by itself is tried again and counts as no kill.
Prints the items that are lost and doubled in what was written. A kill of the whole machine's
processes is what a power cut or a preempted node does; nothing outside this job is touched.
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
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))

# Ray gives up 30 s after its start, which a busy machine may need for the agents alone.
_START = """
import sys, time, ray
from ray._private import services
known = services.get_node
def patient(*place):
    deadline = time.monotonic() + 200
    while True:
        try:
            return known(*place)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
services.get_node = patient
source, output, checkpoint, folder = sys.argv[1:5]
ray.init(num_cpus=4, include_dashboard=False, _temp_dir=folder, logging_level="ERROR")
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
_LONGEST_START_S = 400
_FAILED_STARTS = 5


def files(output: Path) -> set[str]:
    """Return the names of the files of results."""
    return {place.name for place in output.rglob("*.parquet")}


def start(engine: str, root: Path, items: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the job, with a temporary folder of its own for each attempt."""
    places = [root / "source", root / "output", root / "checkpoint", folder]
    path = os.pathsep.join([str(Path(__file__).parents[1] / "tests" / "builders"), *sys.path])
    with (root / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", ENGINES[engine], *map(str, places), str(items)],
            start_new_session=True,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"},
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill all processes of the job: those of its session, which no one else shares."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(place.read_text().rpartition(")")[2].split()[3])
        except (OSError, ValueError, IndexError):
            continue
        if session == process.pid:
            os.kill(int(place.parent.name), signal.SIGKILL)
    process.wait()


def campaign(engine: str, items: int, kills: int, seed: int) -> None:
    """Kill and resume one engine, and print what its output then holds."""
    moments = random.Random(seed)  # noqa: S311 - which moment is no secret
    with tempfile.TemporaryDirectory(prefix="crashes") as name:
        root = Path(name)
        (root / "source").mkdir()
        (root / "output").mkdir()
        ids = [f"item-{number:05d}" for number in range(items)]
        for at in range(0, items, 10):
            table = pa.table({"item_id": ids[at : at + 10]})
            pq.write_table(table, root / "source" / f"{at:05d}.parquet")
        begin, hits, failed = time.monotonic(), 0, 0
        while failed < _FAILED_STARTS:
            before, folder = files(root / "output"), Path(tempfile.mkdtemp(prefix="cr", dir="/tmp"))
            process = start(engine, root, items, folder)
            deadline = time.monotonic() + _LONGEST_START_S
            is_killed = False
            while process.poll() is None and time.monotonic() < deadline:
                if hits < kills and files(root / "output") - before:
                    time.sleep(moments.uniform(0.0, 0.1))
                    is_killed = process.poll() is None
                    break
                time.sleep(0.01)
            end(process)
            shutil.rmtree(folder, ignore_errors=True)
            if process.returncode == 0:
                break
            hits += is_killed
            failed += not is_killed  # a slow machine: Ray gives up after 30 s
        report(engine, root, ids, hits, process.returncode, time.monotonic() - begin)


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
