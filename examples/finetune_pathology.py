"""Teach a model to answer about pathology images, from PathVQA's layout to an adapter with a card.

    python examples/finetune_pathology.py [--data PathVQA/ --base MODEL --output FOLDER]

Without arguments a few drawn fields stand in for PathVQA, and the packaged demonstration model for a
real one. Slides themselves (``.svs`` and others) are named in rows of one's own, as CT volumes are.
"""

import argparse
import pickle
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from longllava_domains import pipelines
from longllava_domains.adapters.data import open_data


def make_path_vqa(folder: Path) -> Path:
    """Write four fields for training and two for testing, as the authors' pickles have them."""
    for split, count in (("train", 4), ("test", 2)):
        rows = []
        for number in range(count):
            name = f"{split}_{number:04d}"
            field = Image.new("RGB", (96, 96), (236, 214, 226))
            colour = (96, 40, 120) if number % 2 else (200, 120, 160)
            ImageDraw.Draw(field).ellipse((20 + number, 24, 70, 60 + 6 * count), fill=colour)
            (folder / "images" / split).mkdir(parents=True, exist_ok=True)
            field.save(folder / "images" / split / f"{name}.jpg")
            answer = {"yes" if number % 2 else "no": 1}
            rows.append({"img_id": name, "sent": "Is the nucleus dark?", "label": answer})
        (folder / "qas").mkdir(exist_ok=True)
        (folder / "qas" / f"{split}_vqa.pkl").write_bytes(pickle.dumps(rows))
    return folder


def main() -> None:
    """Train an adapter, measure the test split while training, and print the card."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--base", default="demo")
    parser.add_argument("--output")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = given.data or make_path_vqa(work / "PathVQA")
        small = {} if given.data else {"tokens_per_row": 512, "rows_per_step": 1, "epochs": 1}
        tune = pipelines.FineTune.from_recipe(
            "pathvqa-lora", base=given.base, lora={"rank": 8, "alpha": 16}, **small
        )
        test = open_data(f"{data}#test", "pathvqa")
        made = tune(data, given.output or work / "adapter", evaluation=[test], say=print)
        print((made.folder / "README.md").read_text())


if __name__ == "__main__":
    main()
