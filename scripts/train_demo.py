"""Train the demonstration model from nothing, on two CPU cores: draw, teach, look, converse, package.

Every stage goes on where it stopped, from files in the folder of work (about 2 GB). Seeds are fixed:
the same versions of torch and NumPy draw the same phantoms and take the same steps. The tower's
stage is ours, since the paper's stages begin with a trained CLIP; conversations then train projector
and language model together. The tokenizer must be in the package already (train_demo_tokenizer.py).

    python scripts/train_demo.py WORK [PACKAGE]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "demo"))

import chest_stage
import feature_stage
import language_stage
import package_stage
import picture_stage
import tower_stage
from pair import RANKS, run_pair

PACKAGE = Path(__file__).parents[1] / "longllava_domains/model/demo"
PARTS, PART_SEEDS = 14, 10_000
CHESTS, SCENES, SLIDES = 100, 120, 50  # of a part
TOWER_STEPS, CHEST_PARTS_SEEN, LANGUAGE_STEPS = 7_000, 10, 4_500


def draw(rank: int, work: Path) -> None:
    """Draw every second part."""
    for part in range(PARTS)[rank::RANKS]:
        chest_stage.draw(work, part * PART_SEEDS, CHESTS)
        picture_stage.draw(work, "scene", part * PART_SEEDS, SCENES)
        picture_stage.draw(work, "slide", part * PART_SEEDS, SLIDES)


def main(work: Path, package: Path) -> None:
    """Run every stage that is not done."""
    work.mkdir(parents=True, exist_ok=True)
    run_pair(draw, work, work)
    run_pair(tower_stage.train, work, work, TOWER_STEPS)
    run_pair(feature_stage.look, work, work, CHEST_PARTS_SEEN)
    run_pair(language_stage.train, work, work, LANGUAGE_STEPS)
    package_stage.write(work, package)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else PACKAGE)
