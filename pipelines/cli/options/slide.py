"""The options that commands share which open a slide: its resolution, and how its fields are chosen."""

from typing import Annotated, Any, Final

import typer

from longllava_domains.pipelines.cli.options.numbers import above_zero
from longllava_domains.pipelines.cli.options.shared import OptionGroup


def given(mpp: float | None, protocol: str | None) -> dict[str, Any]:
    """Return what was given, as settings of a slide; what was not given is left out.

    Args:
        mpp: Microns per pixel of level 0.
        protocol: How fields are chosen.
    """
    said = {"mpp": mpp, "protocol": protocol}
    return {name: value for name, value in said.items() if value is not None}


OPENING_SLIDE: Final = OptionGroup(
    given,
    {
        "mpp": (
            Annotated[
                float | None,
                typer.Option(help="Slide: microns per pixel of level 0", callback=above_zero),
            ],
            None,
        ),
        "protocol": (
            Annotated[str | None, typer.Option(help="Slide: joint-lowmag@1, native-tiles@1, ...")],
            None,
        ),
    },
)
