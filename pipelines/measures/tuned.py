"""A model fine-tuned on the pairs that a session is shown, asked the same held-out ones.

Figure 10 of the LongLLaVA paper puts both beside each other. It publishes no recipe for it, so the
numbers of ours are our own.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.recipes.registry import recipe as recipe_named
from longllava_domains.errors import PolicyError
from longllava_domains.files import write_text
from longllava_domains.pipelines.benchmark.generate import OnProgress
from longllava_domains.pipelines.benchmark.outcome import make_folder
from longllava_domains.pipelines.fine_tune import FineTune
from longllava_domains.pipelines.loading import load
from longllava_domains.pipelines.measures.plan import SharedMeasure
from longllava_domains.pipelines.measures.scaling import held_out_trials, write_shot_samples
from longllava_domains.pipelines.measures.trials import Counted, run_trials
from longllava_domains.vision_language import VisionLanguageModel

RECIPE: Final = "own-lora"
_ADAPTER: Final = "adapter"
_DONE: Final = "done.txt"


def tuning_recipe(measure: SharedMeasure, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe of the fine-tuning, and refuse what cannot be tuned beside shots.

    Args:
        measure: What is measured, and of which model.
        changes: Field of the recipe -> value.

    Raises:
        PolicyError: Another curve than shots, a model with an adapter, or no such field.
    """
    if measure.plan.measure != "shots":
        raise PolicyError(
            f"There is no fine-tuning beside {measure.plan.measure}: only shots have samples.",
            remedy="Leave out --fine-tune, or choose the curve shots.",
            code="measure.fine_tune",
        )
    if measure.loading.adapter is not None:
        raise PolicyError(
            "A model with an adapter cannot be tuned beside its shots.",
            remedy="Leave out --adapter, or merge it into a model of its own first.",
            code="measure.fine_tune",
        )
    return recipe_named(RECIPE, **changes)


def add_tuned(
    model: VisionLanguageModel,
    counted: Counted,
    measure: SharedMeasure,
    recipe: Recipe,
    on_progress: OnProgress | None = None,
) -> None:
    """Tune on each number of samples, ask the held-out pairs, and add the points.

    What was tuned before is taken up again from the same folder.

    Args:
        model: The model as it is: its own share, without a shot or a sample, is added first.
        counted: The shots; points are added.
        measure: What is measured, and where.
        recipe: Of `tuning_recipe`.
        on_progress: Called with (stage, done, total) of each point.

    Raises:
        LongLlavaError: As of `FineTune`, or the folder holds points of another recipe.
    """
    plan, view_px = measure.plan, model.view_format.view_px
    for samples in (0, *plan.points):
        point = f"{samples} samples, fine-tuned" if samples else "0 shots"
        place = make_folder(measure.output / f"tuned-{samples}")
        asked = model
        if samples:
            adapter = _adapter(measure, recipe, samples, place, view_px)
            asked = load(measure.model, replace(measure.loading, adapter=adapter))
        key = {**plan.key, "samples": samples, **({"recipe": recipe.to_json()} if samples else {})}
        trials = held_out_trials(point, view_px, plan.seed)
        found = run_trials(asked, trials, place, key, on_progress=on_progress)
        counted.points.update(found.points)
        counted.blind.update(found.blind)
        counted.refused.update(found.refused)


def _adapter(
    measure: SharedMeasure, recipe: Recipe, samples: int, place: Path, view_px: int
) -> Path:
    """Tune on the samples, or return what was tuned on them before."""
    adapter, done = place / _ADAPTER, place / _DONE
    if not done.is_file():
        data = write_shot_samples(place / "samples.jsonl", samples, view_px, measure.plan.seed)
        tune = FineTune(recipe, measure.model, tokenizer=measure.loading.tokenizer)
        tune(data, adapter, resume=any(adapter.glob("checkpoint-*")))
        write_text(done, f"{samples} samples\n", overwrite=True)
    return adapter
