"""What the commands share that open a CT: repairs and the rule for Hounsfield units."""

from pathlib import Path
from typing import Annotated

import typer

from longllava_domains.ct import CTVolume
from longllava_domains.ct.hounsfield.rescale import HuRule
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.errors import PolicyError

Repair = Annotated[
    list[str] | None,
    typer.Option(help="CT: tilt, gaps, gaps:K, duplicates, single; repeat for several"),
]
Series = Annotated[str | None, typer.Option(help="Which series: row or key of longllava series")]
WantedKernel = Annotated[
    ReconstructionKernel | None, typer.Option(help="CT: reconstruction preferred")
]
EveryMm = Annotated[float | None, typer.Option(help="CT: millimetres between slices")]
_WORDS: dict[str, HuRule] = {"prove": "prove", "trust": "trust"}
Hu = Annotated[str, typer.Option(help="CT: prove, trust, or SLOPE,INTERCEPT")]


def open_ct(
    path: str | Path,
    *,
    series: str | None,
    kernel: ReconstructionKernel | None,
    repair: list[str] | None,
    hu: str,
    purpose: str | None = None,
) -> CTVolume:
    """Open a CT as the command line's words say; a series named goes before a kernel.

    Args:
        path: The input.
        series: A row number or key of ``longllava series``.
        kernel: Reconstruction preferred where no series is named.
        repair: Names of repairs.
        hu: The rule for Hounsfield units.
        purpose: What the series is for, see `ct.open_volume`.

    Raises:
        InputError: The input cannot be proved to be a CT.
        PolicyError: An unknown repair or rule.
    """
    from longllava_domains import ct

    return ct.open_volume(
        path,
        series=series or kernel,
        purpose=purpose,
        repair=tuple(repair or ()),
        hu=_rule(hu),
    )


def _rule(text: str) -> HuRule:
    if text in _WORDS:
        return _WORDS[text]
    try:
        slope, intercept = map(float, text.split(","))
    except ValueError:
        raise PolicyError(
            "The rule for Hounsfield units is not understood.",
            remedy="Use --hu prove, --hu trust, or --hu SLOPE,INTERCEPT such as 1,-1024.",
            code="cli.hu",
        ) from None
    return slope, intercept
