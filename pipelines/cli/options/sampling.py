"""The options of commands that write text: how its tokens are drawn. The most likely one by default."""

from typing import Annotated, Any, Final

import typer

from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.cli.options.shared import OptionGroup
from longllava_domains.vision_language import Sampling


def given(
    temperature: float | None,
    top_p: float | None,
    repetition_penalty: float | None,
    seed: int | None,
) -> Sampling | None:
    """Return how tokens are drawn; None, the most likely one each time, where nothing was given.

    A penalty alone draws nothing: it only makes repetition less likely.

    Args:
        temperature: Divides the logits; 0 takes the most likely token.
        top_p: Share of probability that is drawn among.
        repetition_penalty: Above 1, what was written becomes less likely.
        seed: Of the draws.

    Raises:
        PolicyError: A number out of range, or a seed where nothing is drawn.
    """
    said = {"temperature": temperature, "top_p": top_p, "seed": seed}
    draws = {name: value for name, value in said.items() if value is not None}
    if not draws and repetition_penalty is None:
        return None
    idle = [name for name in ("top_p", "seed") if name in draws]
    if idle and (temperature == 0 or draws.keys() == {"seed"}):
        raise PolicyError(
            f"--{idle[0].replace('_', '-')} would change nothing: the most likely token is taken each time.",
            remedy="Leave it out, or use --temperature 1 to draw tokens.",
            code="cli.alone",
        )
    wished: dict[str, Any] = draws or {"temperature": 0.0}
    if repetition_penalty is not None:
        wished["repetition_penalty"] = repetition_penalty
    return Sampling(**wished)


def _option(kind: Any, text: str) -> tuple[Any, None]:
    return Annotated[kind | None, typer.Option(help=f"Text: {text}")], None


SAMPLING: Final = OptionGroup(
    given,
    {
        "temperature": _option(float, "draw tokens, bolder above 1; 0 takes the most likely one"),
        "top_p": _option(
            float,
            "draw among the tokens that together have this probability (at temperature 1, if none is given)",
        ),
        "repetition_penalty": _option(float, "above 1, repetition is less likely"),
        "seed": _option(int, "of the draws; the same one gives the same text"),
    },
)
