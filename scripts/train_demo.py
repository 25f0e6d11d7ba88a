"""Train the demonstration model from nothing, on two CPU cores: draw, teach, look, converse, adapt.

Every stage goes on where it stopped, from files in the folder of work (about 2 GB). Seeds are fixed:
the same versions of torch and NumPy draw the same phantoms and take the same steps. The tower's
stage is ours, since the paper's stages begin with a trained CLIP; conversations then train projector
and language model together, and an adapter for each domain ends it. The tokenizer must be in the package already (train_demo_tokenizer.py).

    python scripts/train_demo.py WORK [PACKAGE]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "demo"))

import adapter_stage
import chest_stage
import chip_stage
import feature_stage
import language_stage
import package_stage
import picture_stage
import place_stage
import tower_stage
from pair import run_pair, shared
from torch import distributed

PACKAGE = Path(__file__).parents[1] / "longllava_domains/model/demo"
PART_SEEDS = 10_000  # between the first seeds of two parts


@dataclass(frozen=True)
class Lengths:
    """How much is drawn and learned.

    Attributes:
        tower_parts: Parts of chests that the tower learns from.
        language_parts: Other parts, which conversations are about.
        picture_parts: Parts of scenes and slides for each of the two.
        chests: Of a part.
        scenes: Of a part.
        slides: Of a part.
        tower_chip_parts: Parts of scenes that are cut into chips for the tower.
        tower_steps: Of the tower, 64 views each.
        place_steps: Of the tower again, which also learns where things are.
        language_steps: Of projector and language model, about everything.
        scene_steps: Of both, mostly about scenes.
        adapters_from: Number of the first part that adapters learn from, behind all others.
        adapter_parts: Parts of chests, scenes and slides that adapters learn from.
        chip_parts: Parts of scenes that are cut into chips for them.
        chip_scenes: Of a part of chips.
        adapter_steps: Of the adapters for chests, slides and scenes.
    """

    tower_parts: int = 24
    language_parts: int = 10
    picture_parts: int = 14
    chests: int = 100
    scenes: int = 120
    slides: int = 50
    tower_chip_parts: int = 8
    tower_steps: int = 6_000
    place_steps: int = 3_500
    language_steps: int = 4_500
    scene_steps: int = 1_300
    adapters_from: int = 40
    adapter_parts: int = 10
    chip_parts: int = 14
    chip_scenes: int = 250
    adapter_steps: tuple[int, int, int] = (500, 400, 2_500)


def draw(rank: int, work: Path, lengths: Lengths) -> None:
    """Draw every second part.

    Conversations are about phantoms that the tower never saw: of those it learned from, it tells more
    than it will ever tell of others.
    """
    for_tower = work / tower_stage.DRAWINGS, range(lengths.tower_parts)
    behind = range(lengths.tower_parts, lengths.tower_parts + lengths.language_parts)
    for_tower[0].mkdir(exist_ok=True)
    for part in shared(range(lengths.tower_chip_parts), rank):
        chip_stage.draw(for_tower[0], part * PART_SEEDS, lengths.chip_scenes)
    for folder, parts in (for_tower, (work / language_stage.DRAWINGS, behind)):
        folder.mkdir(exist_ok=True)
        for part in shared(parts, rank):
            chest_stage.draw(folder, part * PART_SEEDS, lengths.chests)
        for part in shared(range(parts[0], parts[0] + lengths.picture_parts), rank):
            picture_stage.draw(folder, "scene", part * PART_SEEDS, lengths.scenes)
            picture_stage.draw(folder, "slide", part * PART_SEEDS, lengths.slides)


def draw_for_adapters(rank: int, folder: Path, lengths: Lengths) -> None:
    """Draw every second part of what neither tower nor language model saw."""
    folder.mkdir(exist_ok=True)
    first = lengths.adapters_from
    for part in shared(range(first, first + lengths.chip_parts), rank):
        chip_stage.draw(folder, part * PART_SEEDS, lengths.chip_scenes)
    for part in shared(range(first, first + lengths.adapter_parts), rank):
        chest_stage.draw(folder, part * PART_SEEDS, lengths.chests)
        picture_stage.draw(folder, "scene", part * PART_SEEDS, lengths.scenes)
        picture_stage.draw(folder, "slide", part * PART_SEEDS, lengths.slides)


def adapt(rank: int, work: Path, package: Path, lengths: Lengths) -> None:
    """Teach an adapter for each domain, on the packaged model."""
    drawings = work / adapter_stage.DRAWINGS
    draw_for_adapters(rank, drawings, lengths)
    distributed.barrier()  # each looks at what both drew, and learns from what both saw
    feature_stage.look_when_packaged(rank, drawings, package)
    distributed.barrier()
    for adaptation in adapter_stage.adaptations(*lengths.adapter_steps):
        adapter_stage.train(rank, work, package, adaptation)


def teach(work: Path, lengths: Lengths) -> None:
    """Draw, and teach tower, projector and language model."""
    work.mkdir(parents=True, exist_ok=True)
    run_pair(draw, work, work, lengths)
    run_pair(tower_stage.train, work, work, lengths.tower_steps)
    run_pair(place_stage.train, work, work, lengths.place_steps)
    for_language = work / language_stage.DRAWINGS
    run_pair(feature_stage.look_when_taught, work, for_language, work)
    for course in language_stage.courses(lengths.language_steps, lengths.scene_steps):
        run_pair(language_stage.train, work, work, course)


def main(work: Path, package: Path, lengths: Lengths) -> None:
    """Run every stage that is not done."""
    teach(work, lengths)
    package_stage.write(work, package)
    run_pair(adapt, work, work, package, lengths)
    for adaptation in adapter_stage.adaptations(*lengths.adapter_steps):
        adapter_stage.write(work, package, adaptation)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else PACKAGE, Lengths())
