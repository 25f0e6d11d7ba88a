"""Both domains from their published layout to a loaded adapter, by the command line alone.

For each recipe the run is done whole, and again killed by the kernel (SIGKILL) once its second
checkpoint is there, and resumed; the weights must be equal to the bit. The adapters are then loaded
by `longllava report` and `longllava ask`. The data is invented, in the exact layouts.

    python benchmarks/train_end_to_end.py BASE [--tokenizer FOLDER] [--rows 8]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "builders"))

import raster_builder  # noqa: E402
import training_sets  # noqa: E402

SETTINGS = {"rows_per_step": 1, "tokens_per_row": 640, "epochs": 2}
LORA = {**SETTINGS, "lora.rank": 4, "lora.dropout": 0.0}


def command(*words: object) -> list[str]:
    return ["longllava", *map(str, words)]


def finetune(recipe: str, data: Path, output: Path, model: list[str]) -> list[str]:
    changes = LORA if recipe.endswith("-lora") else SETTINGS
    given = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    return command(
        "finetune", recipe, "--data", data, "--output", output, "--save-every-steps", 1,
        *model, *given,
    )  # fmt: skip


def killed(words: list[str], output: Path) -> str:
    """Start a run and kill it as soon as it has a second checkpoint; return its newest."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(output.glob("checkpoint-2")):
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    return max(path.name for path in output.glob("checkpoint-*"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("--tokenizer")
    parser.add_argument("--rows", type=int, default=8)
    given = parser.parse_args()
    named = ["--tokenizer", given.tokenizer] if given.tokenizer else []
    model = ["--base", given.base, *named]
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        medical = training_sets.write_pubmedvision(work / "PubMedVision", rows=given.rows)
        chips = training_sets.write_fit_rs(work / "FIT-RS", rows=2 * given.rows)
        runs = {"pubmedvision": medical, "pubmedvision-lora": medical,
                "skysensegpt": chips, "skysensegpt-lora": chips}  # fmt: skip
        for recipe, data in runs.items():
            whole, again = work / recipe, work / f"{recipe}-killed"
            subprocess.run(finetune(recipe, data, whole, model), check=True, stdout=sys.stderr)
            newest = killed(finetune(recipe, data, again, model), again)
            resumed = [*finetune(recipe, data, again, model), "--resume"]
            subprocess.run(resumed, check=True, stdout=sys.stderr)
            (path,) = whole.glob("*model.safetensors")
            one, other = load_file(path), load_file(again / path.name)
            equal = one.keys() == other.keys() and all(one[k].equal(other[k]) for k in one)
            steps = len(json.loads((whole / "log.json").read_text())) - 1
            found[recipe] = {"steps": steps, "killed_after": newest, "equal_to_the_bit": equal}
        scene = raster_builder.smaller_than_a_tile(work / "scene.tif")
        scan = ROOT / "examples" / "chest_phantom"
        uses = {
            "CTReport": command("report", scan, "--adapter", work / "pubmedvision-lora", "--json"),
            "RemoteSensingQA": command(
                "ask", scene, "What is this?", "--adapter", work / "skysensegpt-lora", "--json"
            ),
        }
        for name, words in uses.items():
            done = subprocess.run(
                [*words, "--model", given.base, *named, "--max-new-tokens", "4"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-2000:]
            found[name] = json.loads(done.stdout)["provenance"]["adapter_sha256"]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
