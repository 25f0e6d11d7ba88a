"""Teach a model to answer about CT volumes, from rows of your own to an adapter that reports.

    python examples/finetune_ct.py [--data rows.jsonl --base MODEL --output FOLDER]

Without arguments three small phantoms and the packaged demonstration model are used; what it learns
from them is worth nothing, and the steps are those of a real run.
"""

import argparse
import json
import tempfile
from pathlib import Path

from longllava_domains import ct, pipelines
from longllava_domains.adapters.phantoms import chest_phantom, write_nifti


def make_rows(folder: Path) -> Path:
    """Write three volumes of six slices, with and without an effusion, and a row for each."""
    rows = []
    for number, findings in enumerate([("effusion",), (), ("nodule",)]):
        phantom = chest_phantom(
            shape=(6, 64, 64), spacing_mm=(50.0, 6.0, 6.0), findings=findings, seed=number
        )
        write_nifti(phantom, folder / f"{number}.nii.gz")
        answer = "Yes." if "effusion" in findings else "No."
        turns = [
            {"from": "human", "value": "<image>\nIs there a pleural effusion?"},
            {"from": "gpt", "value": answer},
        ]
        rows.append({"id": number, "image": f"{number}.nii.gz", "conversations": turns})
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def main() -> None:
    """Train an adapter with small changes of the volumes, and draft a report with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--base", default="demo")
    parser.add_argument("--output")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = given.data or make_rows(work)
        small = {} if given.data else {"tokens_per_row": 1024, "rows_per_step": 1}
        tune = pipelines.FineTune.from_recipe(
            "own-lora",
            base=given.base,
            lora={"rank": 8, "alpha": 16},
            augmentation={"rotation_degrees": 5.0, "shift_mm": 5.0, "noise_hu": 10.0},
            **small,
        )
        made = tune(data, given.output or work / "adapter", say=print)
        report = pipelines.CTReport.from_pretrained(given.base, adapter=str(made.folder))
        policy = ct.SlicePolicy(count=2, windows=(ct.MEDIASTINUM,), view_px=336)
        phantom = Path(__file__).parent / "chest_phantom"
        print(report(phantom, policy=policy, max_new_tokens=8).to_text())


if __name__ == "__main__":
    main()
