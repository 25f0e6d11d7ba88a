"""Teach a model to answer about aerial scenes, from FIT-RS's layout to an adapter that is asked.

    python examples/finetune_remote_sensing.py [--data FIT-RS/ --base MODEL --output FOLDER]

Without arguments a few drawn chips stand in for FIT-RS, and the packaged demonstration model for a
real one.
"""

import argparse
import json
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from longllava_domains import pipelines

CHIPS = "FIT-RS_Image/imgv2_split_512_100_vaild"  # spelled as it is published


def make_fit_rs(folder: Path) -> Path:
    """Write four chips with up to three white ships on blue, and the sampled file."""
    chips = folder / CHIPS
    chips.mkdir(parents=True)
    rows = []
    for number in range(4):
        chip = Image.new("RGB", (128, 128), (30, 60, 110))
        for ship in range(number):
            ImageDraw.Draw(chip).rectangle((10 + 40 * ship, 50, 30 + 40 * ship, 58), fill="white")
        name = f"0001__512__{412 * number}___0.png"
        chip.save(chips / name)
        turns = [
            {"from": "human", "value": "<image>\nHow many ships are there?"},
            {"from": "gpt", "value": f"There are {number} ships."},
        ]
        rows.append({"id": str(number), "image": name, "conversations": turns})
    (folder / "FIT-RS_Instruction").mkdir()
    file = folder / "FIT-RS_Instruction" / "FIT-RS-train-sampled-381k(subset of 1415k).json"
    file.write_text(json.dumps(rows))
    return folder


def main() -> None:
    """Train an adapter and ask about a chip with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--base", default="demo")
    parser.add_argument("--output")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = Path(given.data) if given.data else make_fit_rs(work / "FIT-RS")
        small = {} if given.data else {"tokens_per_row": 512, "rows_per_step": 1}
        # Adapters on experts, which the demonstration model has, take no dropout.
        lora = {"rank": 8, "alpha": 16, "dropout": 0.0}
        tune = pipelines.FineTune.from_recipe(
            "skysensegpt-lora", base=given.base, lora=lora, **small
        )
        made = tune(data, given.output or work / "adapter", say=print)
        scene = pipelines.RemoteSensingQA.from_pretrained(given.base, adapter=str(made.folder))
        chip = next((data / CHIPS).glob("*.png"))
        print(scene(str(chip), "How many ships are there?", max_new_tokens=8).text)


if __name__ == "__main__":
    main()
