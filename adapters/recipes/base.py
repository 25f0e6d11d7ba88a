"""`Recipe`: one complete training run, frozen, and where each of its numbers comes from.

A recipe is shown before it starts and saved with every checkpoint. Changing anything renames it
to ``...-modified``, so that a result never bears the name of a run that it was not.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from longllava_domains.adapters.data.many_views.augmentation import UNCHANGED, VolumeAugmentation
from longllava_domains.adapters.data.packing import SCRIPT_TOKENS, Packing
from longllava_domains.adapters.data.training_data import LossOn
from longllava_domains.adapters.recipes.lora_settings import LoraSettings
from longllava_domains.adapters.recipes.mix import MixPart
from longllava_domains.errors import PolicyError
from longllava_domains.provenance import RESEARCH_NOTICE, SCENE_NOTICE
from longllava_domains.units import did_you_mean
from longllava_domains.vision_language import PromptProtocol

Trained = Literal["adapter", "projector", "language_model"]

# Where numbers come from.
OURS: Final = "ours: nothing is published"
SCRIPTS: Final = "LongLLaVA's training scripts (SingleImageSFT, MultiImageSFT)"
_MODIFIED: Final = "-modified"
# Field -> the least and the most that it can be. With AdamW a step is about as long as the rate:
# beyond 1 nothing that was learned is left.
_RANGES: Final = {
    "learning_rate": (1e-12, 1.0),
    "epochs": (1, math.inf),
    "rows_per_step": (1, math.inf),
    "tokens_per_row": (1, math.inf),
    "warmup_ratio": (0, 1),
    "weight_decay": (0, math.inf),
    "max_grad_norm": (0, math.inf),
    "seed": (0, math.inf),
    "recompute_tokens": (0, math.inf),
}
# Beginning of pydantic's name for what is wrong -> what belongs there.
_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a word",
    "tuple": "a list",
}
# Of fields that a recipe says nothing else about.
_USUALLY: Final = {
    "max_grad_norm": "the default of transformers' Trainer, which the scripts leave",
    "loss_on": "None: as the data set's own trainer",
    "protocol": "the original code",
    "dtype": SCRIPTS,
    "recompute_layers": SCRIPTS,
    "recompute_tokens": OURS,
    "offload_activations": OURS,
    "seed": OURS,
    "augmentation": OURS,
    "pooling": "None: that of the base",
}


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        name: What results call it.
        layout: Layout of its data, see `open_data`.
        trained: ``"adapter"`` (and the projector), ``"projector"`` alone, or
            ``"language_model"`` (all of it and the projector). The tower is never trained.
        lora: The adapter; None unless an adapter is trained.
        learning_rate: Its peak; it falls along a cosine to 0.
        warmup_ratio: Share of the steps in which it rises from 0.
        weight_decay: Of AdamW.
        max_grad_norm: The whole gradient is scaled down to this; 0 leaves it.
        epochs: Passes over the data.
        rows_per_step: Packed rows of one step, over all processes.
        packing: See `PackingPolicy`.
        tokens_per_row: The most tokens of a row, and of a sample.
        loss_on: Which answers are learned; None as the data set's own code does.
        protocol: How views are spelled, see `prompt.compose`.
        dtype: Precision of the products on a GPU; a processor computes in float32.
        recompute_layers: Form each layer's activations again on the way back instead of keeping
            them (gradient checkpointing).
        recompute_tokens: Tokens of a row whose activations in a layer exist together; 0 for the
            whole row. Exact, because what a chunk hands on is the state of the scan.
        offload_activations: Let what is kept between layers wait in the processor's memory.
        seed: Of everything random.
        augmentation: How CT volumes are changed at random; other images are not.
        mix: Data sets by name and count, where the run trains on several; then `layout` counts
            for none of them.
        pooling: Pooling that the network is trained with; None leaves that of the base.
        sources: Field -> where its value comes from.
    """

    name: str
    layout: str
    trained: Trained
    lora: LoraSettings | None
    learning_rate: float
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    epochs: int = 1
    rows_per_step: int = 24
    packing: Packing = "isolated"
    tokens_per_row: int = SCRIPT_TOKENS
    loss_on: LossOn | None = None
    protocol: PromptProtocol = "reference"
    dtype: str = "bfloat16"
    recompute_layers: bool = True
    recompute_tokens: int = 8192
    offload_activations: bool = False
    seed: int = 0
    augmentation: VolumeAugmentation = UNCHANGED
    mix: tuple[MixPart, ...] = ()
    pooling: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                upward = "" if most == math.inf else f" and at most {most:g}"
                raise PolicyError(
                    f"{name} cannot be {value:g}.",
                    remedy=f"Give a number of at least {least:g}{upward}.",
                    code="recipe.range",
                )
        if (self.lora is not None) != (self.trained == "adapter"):
            raise PolicyError(
                "A recipe has settings of an adapter where an adapter is trained, and only there.",
                remedy="Choose the recipe with or without -lora at the end of its name.",
                code="recipe.adapter",
            )

    def modified(self, changes: Mapping[str, Any]) -> "Recipe":
        """Return the recipe with other values, renamed unless nothing changes.

        Args:
            changes: Field -> value, or its text; ``lora.rank`` and its like reach into the
                adapter.

        Raises:
            PolicyError: There is no such field, or a value is not of its kind.
        """
        from pydantic import TypeAdapter, ValidationError

        entries = self.to_json()
        for key, value in changes.items():
            _put(entries, key, value)
        try:
            changed = TypeAdapter(Recipe).validate_python(entries)
        except ValidationError as error:
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, PolicyError):  # pydantic wraps every ValueError
                raise cause from None
            wrong = ".".join(str(part) for part in first["loc"][:2])
            expected = first.get("ctx", {}).get("expected") or _KINDS.get(
                first["type"].partition("_")[0], "of another kind"
            )
            raise PolicyError(
                f"{wrong} must be {expected}, and is {first['input']!r}.",
                remedy=f"Look at the recipe: longllava finetune {self.name.removesuffix(_MODIFIED)} --show.",
                code="recipe.value",
            ) from None
        if changed == self:
            return self
        given = {key.partition(".")[0]: "given by the user" for key in changes}
        return dataclasses.replace(
            changed,
            name=self.name.removesuffix(_MODIFIED) + _MODIFIED,
            sources={**self.sources, **given},
        )

    @property
    def notice(self) -> str:
        """The notice of research use; what learned from scenes speaks of no medical device."""
        return SCENE_NOTICE if self.layout == "fit-rs" else RESEARCH_NOTICE

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON."""
        entries: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=dict))
        return entries

    def lines(self) -> list[str]:
        """Show every value with its source."""
        sources = {**_USUALLY, **self.sources}
        return [
            f"{key}: {value}" + (f"  ({sources[key]})" if key in sources else "")
            for key, value in self.to_json().items()
            if key != "sources"
        ]


def _fields(entries: Mapping[str, Any]) -> list[str]:
    """Return the names of what can be changed, those inside of a part with a dot."""
    names = [name for name in entries if name not in ("name", "sources")]
    inner = [
        f"{name}.{key}"
        for name in names
        if isinstance(entries[name], dict)
        for key in entries[name]
    ]
    return names + inner


def _put(entries: dict[str, Any], key: str, value: Any) -> None:
    """Set one value of a recipe's JSON, wherever it stands."""
    outer, _, inner = key.partition(".")
    place = entries.get(outer) if inner else entries
    name = inner or key
    if inner and outer in entries and place is None:
        raise PolicyError(
            f"The recipe has no {outer}, so {key} cannot be changed.",
            remedy="Use a recipe that teaches an adapter, such as own-lora.",
            code="recipe.field",
        )
    if key in ("name", "sources") or not isinstance(place, dict) or name not in place:
        known = _fields(entries)
        near = [field for field in known if field.rpartition(".")[2] == key]
        meant = f"Did you mean {near[0]}? " if near else did_you_mean(key, known)
        raise PolicyError(
            f"The recipe has no field {key} that could be changed.",
            remedy=f"{meant}Change one of {', '.join(field for field in known if '.' not in field)}; "
            "a part of one is spelled with a dot, such as lora.rank.",
            code="recipe.field",
        )
    place[name] = value
