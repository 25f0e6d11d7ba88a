"""Does loading keep ahead of a GPU? Rows of 40,960 tokens against a step that sleeps.

A step sleeps as long as the plan says a row of the 9B takes on one GPU at a given speed; the share
of time in which the trainer would have waited for pictures is printed (the first row is left out:
nothing was being trained on while it was loaded).

    python benchmarks/train_loading.py [--rows 4] [--tflops 120] [--threads 2] [--side 512]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "builders"))

import training_sets  # noqa: E402

from longllava_domains.adapters.data.check import check_data  # noqa: E402
from longllava_domains.adapters.data.encode import Encoder  # noqa: E402
from longllava_domains.adapters.data.loader import RowLoader  # noqa: E402
from longllava_domains.adapters.data.mixture import MixturePart, mixture_of  # noqa: E402
from longllava_domains.adapters.data.open import open_data  # noqa: E402
from longllava_domains.adapters.data.packing import PackingPolicy  # noqa: E402
from longllava_domains.model.budget.known_models import network_of  # noqa: E402
from longllava_domains.model.budget.training import TrainingRun, plan_training  # noqa: E402
from longllava_domains.model.checkpoint.load import open_checkpoint  # noqa: E402
from longllava_domains.model.checkpoint.source import locate  # noqa: E402
from longllava_domains.prompt import PromptTokenizer  # noqa: E402

TOKENS = 40_960


def write(folder: Path, samples: int, side: int) -> Path:
    """Photographs of a size, each with a question about it."""
    rows = []
    for number in range(samples):
        training_sets.picture(number, (side, side)).save(folder / f"{number}.jpg", quality=90)
        spoken = training_sets.turns("<image>\nWhat is this?", f"This is picture {number}.")
        rows.append({"id": number, "image": f"{number}.jpg", "conversations": spoken})
    path = folder / "rows.json"
    path.write_text(json.dumps(rows))
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tflops", type=float, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=512)
    given = parser.parse_args()
    folder = locate("demo").folder
    encoder = Encoder(PromptTokenizer.from_folder(folder), open_checkpoint(folder).config)
    with tempfile.TemporaryDirectory() as place:
        data = open_data(write(Path(place), 220 * given.rows, given.side))
        mixture = mixture_of([MixturePart(check_data(data, encoder, max_tokens=TOKENS), encoder)])
        loader = RowLoader(mixture, PackingPolicy("isolated", TOKENS), threads=given.threads)
        views = int(mixture.views.sum()) // len(loader)
        run = TrainingRun(1, TOKENS, gpus=1, views_per_row=views)
        step_s = plan_training(network_of("9b", "bfloat16"), run).flops / (given.tflops * 1e12)
        waited, first, rows = 0.0, 0.0, 0
        start = time.perf_counter()
        for row in loader:
            here = time.perf_counter() - start
            waited += here if rows else 0.0
            first = first if rows else here
            rows += 1
            time.sleep(step_s)
            start = time.perf_counter()
            assert len(row["pixel_values"])
    total = waited + step_s * rows
    found = {"rows": rows, "views_per_row": views, "step_s": round(step_s, 2),
             "first_row_s": round(first, 2), "waited_s": round(waited, 3),
             "idle": round(waited / total, 4), "threads": given.threads}  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
