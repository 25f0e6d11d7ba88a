"""`LoraSettings`: how large an adapter is, and on what it sits."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from longllava_domains.errors import PolicyError

# Groups by name; each pattern is matched whole, below a layer of the language model.
TARGETS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "attention": r"self_attn\.[qkvo]_proj",
        "in_proj": r"mamba\.in_proj",
        "x_proj": r"mamba\.x_proj",
        "out_proj": r"mamba\.out_proj",
        "dense_mlp": r"feed_forward\.(gate|up|down)_proj",
        "experts": r"feed_forward\.experts\.(gate_up|down)_proj",
    }
)

# Width of the released models: a larger rank says nothing that one of this size does not.
_WIDEST: Final = 4096


@dataclass(frozen=True)
class LoraSettings:
    """An adapter.

    Attributes:
        rank: Rank of every pair of matrices, up to the width of the released models.
        alpha: Scale; what is added is alpha / rank times the product.
        dropout: On the input of every pair, from 0 to 1; 0 where experts have adapters.
        targets: Names of `TARGETS`, or regular expressions that are matched whole against the
            names of modules below a layer, such as ``"mamba.in_proj"``.
        projector: Train the projector whole.
        head: Train the output head whole, for tokens that the model never wrote.

    Raises:
        PolicyError: A number out of range.
    """

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.0
    targets: tuple[str, ...] = tuple(TARGETS)
    projector: bool = True
    head: bool = False

    def __post_init__(self) -> None:
        ranges = {
            "rank": (1 <= self.rank <= _WIDEST, f"from 1 to {_WIDEST}"),
            "alpha": (self.alpha >= 1, "of at least 1"),
            "dropout": (0 <= self.dropout < 1, "from 0 to below 1"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                value = getattr(self, name)
                raise PolicyError(
                    f"lora.{name} cannot be {value if isinstance(value, int) else f'{value:g}'}.",
                    remedy=f"Give a number {wanted}.",
                    code="recipe.range",
                )
