"""The stages of LongLLaVA by name and count, their ablations, and a mixture that trains."""

import json
from pathlib import Path

import pytest
import training_sets
from write_tiny import write_tiny

from longllava_domains import load_model
from longllava_domains.adapters.recipes.longllava import llava_15, longllava_stage3, paper_stages
from longllava_domains.adapters.recipes.mix import MixPart
from longllava_domains.adapters.recipes.registry import recipe
from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.pipelines.fine_tune import FineTune


def test_the_third_stage_is_the_paper_s_mixture() -> None:
    counts = {part.name: part.count for part in recipe("longllava-stage3").mix}
    assert counts == {
        "mantis": 200_000, "videochat2": 200_000, "sharegpt4video": 50_000,
        "replay-single-image": 200_000, "replay-text": 50_000, "sub-image": 50_000,
    }  # fmt: skip
    assert sum(count or 0 for count in counts.values()) == 750_000
    less = longllava_stage3(0, 0, sub_images=False)
    assert less.name == "longllava-stage3-modified"
    assert len(less.mix) == 3


def test_ablations_join_what_they_say() -> None:
    runs = {stages: paper_stages(stages) for stages in ("1,2,3", "1,2&3", "1&2&3")}
    assert [len(made) for made in runs.values()] == [3, 2, 1]
    names = [{part.name for made in each for part in made.mix} for each in runs.values()]
    assert names[0] == names[1] == names[2]
    assert all(run.pooling == "1d" for run in paper_stages("1,2&3", pooling="1d"))
    assert [run.trained for run in llava_15()] == ["projector", "language_model"]
    with pytest.raises(PolicyError):
        paper_stages("2,1")  # type: ignore[arg-type]


def test_a_mixture_is_trained_from_folders_of_its_names(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base")
    training_sets.write_llava(tmp_path / "data" / "one", rows=2)
    mix = [{"name": "one", "count": 2}, {"name": "two", "count": 5}]
    changes = {"tokens_per_row": 200, "rows_per_step": 1, "recompute_layers": False, "mix": mix}
    tune = FineTune.from_recipe("longllava-stage1", base=base, **changes)
    assert tune.recipe.mix == (MixPart("one", 2), MixPart("two", 5))
    with pytest.raises(NotFoundError, match="not there: two"):
        tune(tmp_path / "data", tmp_path / "run")
    training_sets.write_llava(tmp_path / "two", rows=1).rename(tmp_path / "data" / "two.jsonl")
    (tmp_path / "two" / "pictures").rename(tmp_path / "data" / "pictures")
    said: list[str] = []
    made = tune(tmp_path / "data", tmp_path / "run", say=said.append)
    assert "  The recipe takes 2 rows of one: 2." in said
    assert "  The recipe takes 5 rows of two: all 3 that are there." in said
    assert made.steps == 5  # two rows and three, each in a row of its own
    config = json.loads((made.folder / "config.json").read_text())
    assert config["pooling"] == "1d"
    assert load_model(made.folder).network.config.pooling == "1d"
    checks = json.loads((made.folder / "data_check.json").read_text())
    assert [check["name"] for check in checks] == ["one", "two"]
