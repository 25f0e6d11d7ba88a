"""`recipe`: a recipe by its name."""

from collections.abc import Callable
from typing import Any, Final

from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.recipes.longllava import (
    llava_15,
    longllava_stage1,
    longllava_stage2,
    longllava_stage3,
    longllava_text,
    paper_stages,
)
from longllava_domains.adapters.recipes.own import (
    ct_rate_reports,
    ct_rate_reports_lora,
    own,
    own_lora,
)
from longllava_domains.adapters.recipes.pubmedvision import pubmedvision, pubmedvision_lora
from longllava_domains.adapters.recipes.skysensegpt import skysensegpt, skysensegpt_lora
from longllava_domains.adapters.recipes.vqa_rad import (
    pathvqa,
    pathvqa_lora,
    vqa_rad,
    vqa_rad_lora,
)
from longllava_domains.errors import PolicyError
from longllava_domains.units import did_you_mean

_MAKERS: Final[tuple[Callable[[], Recipe], ...]] = (
    pubmedvision, pubmedvision_lora, skysensegpt, skysensegpt_lora, vqa_rad, vqa_rad_lora,
    pathvqa, pathvqa_lora, ct_rate_reports, ct_rate_reports_lora, own, own_lora,
    longllava_text, longllava_stage1, longllava_stage2, longllava_stage3,
    lambda: paper_stages("1,2&3")[1], lambda: paper_stages("1&2&3")[0],
    lambda: llava_15()[0], lambda: llava_15()[1],
)  # fmt: skip
RECIPES: Final[dict[str, Callable[[], Recipe]]] = {make().name: make for make in _MAKERS}


def recipe(name: str, **changes: Any) -> Recipe:
    """Return a recipe, with other values where some are given.

    Raises:
        PolicyError: There is no such recipe, or no such field in it.
    """
    if name not in RECIPES:
        raise PolicyError(
            f"There is no recipe of that name: {name}.",
            remedy=f"{did_you_mean(name, RECIPES)}Use one of {', '.join(RECIPES)}.",
            code="recipe.name",
        )
    return RECIPES[name]().modified(changes)
