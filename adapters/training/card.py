"""The model card of a training: what it was made from, on what terms, and what nobody measured."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.adapters.data.check import CheckReport
from longllava_domains.adapters.data.training_data import Terms
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.training.held_out import Measured

# From free to restrictive; a model inherits the last that its data has. "unknown" binds most:
# whoever publishes the model must find out first.
_RESTRICTIVENESS: Final = (
    "CC0-1.0", "MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "unknown",
)  # fmt: skip
# What the Hugging Face hub calls them.
_HUB_LICENCE: Final = {"unknown": "other"}


@dataclass(frozen=True)
class Made:
    """Facts of how a model was made.

    Attributes:
        recipe: The run.
        base: The base model: a hub id, or ``local:`` and a hash.
        base_sha256: Fingerprint of its weights.
        terms: Of each data set.
        checks: What was found in each data set.
        evaluation: Names of the data sets it was held against.
        figures: Rows, tokens, steps and the like, by name.
        versions: Library -> version.
        measured: What was measured on held-out sets.
    """

    recipe: Recipe
    base: str
    base_sha256: str
    terms: tuple[Terms, ...]
    checks: tuple[CheckReport, ...]
    evaluation: tuple[str, ...]
    figures: dict[str, float | int | str]
    versions: dict[str, str]
    measured: tuple[Measured, ...] = ()


def strictest(terms: Sequence[Terms]) -> str:
    """Return the most restrictive licence among some."""
    return max(
        (term.licence for term in terms),
        key=lambda licence: (
            _RESTRICTIVENESS.index(licence)
            if licence in _RESTRICTIVENESS
            else len(_RESTRICTIVENESS)
        ),
    )


def write_card(made: Made) -> str:
    """Write the card as Markdown with the hub's metadata in front."""
    licence = strictest(made.terms)
    metadata: dict[str, Any] = {
        "library_name": "peft" if made.recipe.lora is not None else "longllava-domains",
        "license": _HUB_LICENCE.get(licence, licence.lower()),
        "pipeline_tag": "image-text-to-text",
        "tags": ["longllava", "research-use-only", made.recipe.name],
    }
    if "/" in made.base and not made.base.startswith("local:"):
        metadata["base_model"] = made.base
    if made.measured:
        metadata["model-index"] = [
            {"name": made.recipe.name, "results": [_indexed(one) for one in made.measured]}
        ]
    front = "\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items())
    return "\n".join(
        [
            f"---\n{front}\n---\n",
            f"# {made.recipe.name}\n",
            f"**{made.recipe.notice}**\n",
            *_quality_lines(made.measured),
            "## Base\n",
            f"{made.base}, weights {made.base_sha256[:16]}\n",
            "## Data\n",
            *(_data_lines(made)),
            "## Run\n",
            *(f"- {line}" for line in made.recipe.lines()),
            *(f"- {name}: {value}" for name, value in made.figures.items()),
            *(f"- {name} {version}" for name, version in made.versions.items()),
            "",
        ]
    )


def _indexed(one: Measured) -> dict[str, Any]:
    """Return an entry of the hub's model-index."""
    return {
        "task": {"type": "visual-question-answering"},
        "dataset": {"name": one.data, "type": one.data.lower(), "args": {"rows": one.rows}},
        "metrics": [
            {
                "type": name,
                "name": name if name == "loss" else f"{one.benchmark} {name}",
                "value": round(value, 6),
            }
            for name, value in one.metrics.items()
        ],
    }


def _quality_lines(measured: Sequence[Measured]) -> list[str]:
    if not measured:
        return [
            "No quality was measured: this card holds no result. Score the model with "
            "`longllava evaluate` on data that it was not trained on before you say anything "
            "about it.\n"
        ]
    lines = ["## Measured at the end of training\n"]
    for one in measured:
        said = ", ".join(f"{name} {value:.4g}" for name, value in one.metrics.items())
        lines.append(f"- {one.data}, {one.rows} rows ({one.benchmark or 'loss alone'}): {said}")
        if one.unread:
            lines.append(f"- {one.data}: {one.unread} further rows could not be read")
    return [
        *lines,
        "\nThese are the first rows of each set, greedy answers, one run. They show a trend; score "
        "the whole set with `longllava evaluate` before you compare.\n",
    ]


def _data_lines(made: Made) -> list[str]:
    lines = []
    for terms, check in zip(made.terms, made.checks, strict=True):
        lines.append(f"- {check.name} ({terms.licence}): {terms.conditions}")
        lines += [f"  - file {digest[:16]}" for digest in check.sha256]
        lines += [f"  - {line.strip()}" for line in check.lines()]
    held = ", ".join(made.evaluation)
    overlap = (
        f"Rows that stand in {held} were left out."
        if held
        else "It was held against no evaluation set: overlap is not known."
    )
    return [*lines, f"\n{overlap}\n"]
