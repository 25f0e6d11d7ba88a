import dataclasses
import json

import pytest

from longllava_domains.adapters.data.open import LAYOUTS
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.recipes.lora_settings import TARGETS
from longllava_domains.adapters.recipes.registry import RECIPES, recipe
from longllava_domains.errors import PolicyError


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_the_source_of_every_number_that_its_field_sets(name: str) -> None:
    made = recipe(name)
    assert made.name == name
    assert made.layout in LAYOUTS
    chosen = {"learning_rate", "epochs", "rows_per_step", "tokens_per_row", "packing"}
    assert chosen <= made.sources.keys()
    assert (made.lora is None) or "lora" in made.sources
    assert made.sources.keys() <= {entry.name for entry in dataclasses.fields(Recipe)}
    assert json.loads(json.dumps(made.to_json())) == made.to_json()
    assert made.modified({}) is made


def test_a_changed_recipe_no_longer_bears_the_name() -> None:
    made = recipe("pubmedvision", learning_rate=2e-5)
    assert made.name == "pubmedvision-modified"
    assert made.modified({"epochs": 2}).name == "pubmedvision-modified"
    assert made.sources["learning_rate"] == "given by the user"
    assert recipe("pubmedvision", learning_rate=1e-5).name == "pubmedvision"
    assert "learning_rate: 2e-05  (given by the user)" in made.lines()


def test_text_of_the_command_line_becomes_the_field_s_kind() -> None:
    made = recipe("own-lora").modified(
        {"epochs": "3", "learning_rate": "1e-3", "lora.rank": "8", "lora.targets": ["attention"],
         "recompute_layers": "false"}
    )  # fmt: skip
    assert (made.epochs, made.learning_rate, made.recompute_layers) == (3, 1e-3, False)
    assert made.lora is not None
    assert (made.lora.rank, made.lora.targets) == (8, ("attention",))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"no_such": 1}, "recipe.field"),
        ({"name": "x"}, "recipe.field"),
        ({"sources": {}}, "recipe.field"),
        ({"lora.no_such": 1}, "recipe.field"),
        ({"epochs": "many"}, "recipe.value"),
        ({"packing": "tight"}, "recipe.value"),
        ({"epochs": 0}, "recipe.range"),
        ({"warmup_ratio": 1.5}, "recipe.range"),
        ({"trained": "projector"}, "recipe.adapter"),
    ],
)
def test_a_change_that_cannot_be_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        recipe("own-lora").modified(changes)
    assert caught.value.code == code


def test_a_recipe_without_an_adapter_has_no_rank() -> None:
    with pytest.raises(PolicyError, match=r"no lora, so lora\.rank"):
        recipe("own", **{"lora.rank": 4})
    with pytest.raises(PolicyError, match="no recipe of that name"):
        recipe("everything")


def test_adapters_name_known_targets() -> None:
    for name in RECIPES:
        settings = recipe(name).lora
        assert settings is None or set(settings.targets) <= TARGETS.keys()
