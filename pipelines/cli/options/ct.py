"""The options that commands share which open a CT: series, repairs, the rule for Hounsfield units."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from longllava_domains.ct.hounsfield.rescale import HuRule
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.cli.options.shared import OptionGroup

WantedKernel = Annotated[
    ReconstructionKernel | None, typer.Option(help="CT: reconstruction preferred")
]
_WORDS: Final[dict[str, HuRule]] = {"prove": "prove", "trust": "trust"}


def given(
    series: str | None,
    kernel: ReconstructionKernel | None,
    purpose: str | None,
    repair: list[str] | None,
    hu: str | None,
) -> dict[str, Any]:
    """Return what was given, as settings of a CT; what was not given is left out.

    Args:
        series: A row number or key of ``longllava series``.
        kernel: Reconstruction preferred where no series is named.
        purpose: What the series is for, see `ct.open_volume`.
        repair: Names of repairs.
        hu: The rule for Hounsfield units.

    Raises:
        PolicyError: An unknown rule for Hounsfield units.
    """
    said = {
        "series": series,
        "kernel": kernel,
        "purpose": purpose,
        "repair": tuple(repair) if repair else None,
        "hu": None if hu is None else _rule(hu),
    }
    return {name: value for name, value in said.items() if value is not None}


OPENING_CT: Final = OptionGroup(
    given,
    {
        "series": (
            Annotated[str | None, typer.Option(help="CT: row or key of longllava series")],
            None,
        ),
        "kernel": (WantedKernel, None),
        "purpose": (
            Annotated[
                str | None,
                typer.Option(help="CT: what the series is for, such as chest or abdomen contrast"),
            ],
            None,
        ),
        "repair": (
            Annotated[
                list[str] | None,
                typer.Option(
                    help="CT: tilt, gaps, gaps:K, duplicates, single; NIfTI: sform, qform, assume_affine, "
                    "ct_rate_spacing; repeat for several"
                ),
            ],
            None,
        ),
        "hu": (
            Annotated[
                str | None, typer.Option(help="CT: prove (the default), trust, or SLOPE,INTERCEPT")
            ],
            None,
        ),
    },
)


@dataclass(frozen=True)
class DraftOptions:
    """The options of a draft report.

    Attributes:
        preset: Slices, windows and prompts, by name.
        calibration: File of `longllava calibrate`.
        mode: ``"direct"`` or ``"findings-first"``.
    """

    preset: str
    calibration: Path | None
    mode: str


DRAFTING: Final = OptionGroup(
    DraftOptions,
    {
        "preset": (
            Annotated[str, typer.Option(help="Slices, windows and prompts")],
            "ct-default@1",
        ),
        "calibration": (
            Annotated[
                Path | None, typer.Option(help="File of longllava calibrate, for probabilities")
            ],
            None,
        ),
        "mode": (
            Annotated[str, typer.Option(help="direct, or findings-first with a calibration")],
            "direct",
        ),
    },
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
