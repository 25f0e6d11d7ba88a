"""Commands that look at an input without a model: `views`, `series`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.export.files import new_file, require_writable
from longllava_domains.pipelines.cli.console import refuse_given, stdout
from longllava_domains.pipelines.cli.ct_options import (
    EveryMm,
    Hu,
    Repair,
    Series,
    WantedKernel,
    open_ct,
)

_SHOW_PATHS = typer.Option("--show-paths", help="Name files on this terminal in refusals")

_MOST_VIEWS: Final = 60
_PICTURES: Final = (".png", ".jpg", ".jpeg")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(views)
    app.command()(series)


def views(
    path: Annotated[str, typer.Argument(help="A CT folder or file, or a raster")],
    out: Annotated[Path, typer.Option(help="The contact sheet to write, PNG or JPEG")],
    domain: Annotated[str | None, typer.Option(help="ct or remote_sensing")] = None,
    window: Annotated[
        list[str] | None, typer.Option(help="CT window preset; repeat for several")
    ] = None,
    every_mm: EveryMm = None,
    series: Series = None,
    kernel: WantedKernel = None,
    repair: Repair = None,
    hu: Hu = "prove",
    most: Annotated[
        int | None, typer.Option(help="CT: largest number of views on the sheet, 60 by default")
    ] = None,
    show_paths: Annotated[bool, _SHOW_PATHS] = False,
) -> None:
    """Write a contact sheet of exactly what a model would see."""
    from longllava_domains.pipelines.domains import decide_domain
    from longllava_domains.pipelines.views import views_of, views_of_ct
    from longllava_domains.visual.contact_sheet import contact_sheet

    _require_picture(out)
    if decide_domain(path, domain) == "ct":
        volume = open_ct(path, series=series, kernel=kernel, repair=repair, hu=hu)
        sequence = views_of_ct(
            volume,
            windows=window,
            spacing_mm=every_mm,
            max_views=_MOST_VIEWS if most is None else most,
            kernel=kernel,
        )
    else:
        only_for_ct = {
            "--window": window, "--every-mm": every_mm, "--series": series, "--kernel": kernel,
            "--repair": repair, "--hu": None if hu == "prove" else hu, "--most": most,
        }  # fmt: skip
        refuse_given(only_for_ct, "a raster")
        sequence = views_of(path, domain=domain)
    with new_file(out, overwrite=True) as temporary:
        contact_sheet(sequence).save(temporary)
    left_out = sum(sequence.left_out.values())
    stdout.print(f"{len(sequence)} views, {left_out} left out: {out}", markup=False)


def _require_picture(out: Path) -> None:
    if out.suffix.lower() not in _PICTURES:
        raise UnsupportedInputError(
            "The ending of the output names no kind of picture that is written here.",
            remedy=f"End it with one of {', '.join(_PICTURES)}.",
            code="cli.out",
        )
    require_writable(out, overwrite=True)


def series(
    path: Annotated[str, typer.Argument(help="A CT folder, file or zip")],
    kernel: WantedKernel = None,
    show_paths: Annotated[bool, _SHOW_PATHS] = False,
) -> None:
    """List the CT series of a folder, which one would be chosen, and why."""
    from longllava_domains import ct

    stdout.print(str(ct.list_series(path, kernel=kernel)), markup=False)
