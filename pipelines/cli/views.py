"""Commands that look at an input without a model: `views`, `series`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.export.files import new_file, require_writable
from longllava_domains.pipelines.cli.console import stdout
from longllava_domains.pipelines.cli.ct_options import OPENING_CT, WantedKernel
from longllava_domains.pipelines.cli.options import DomainName, EveryMm, ShowPaths, sharing

_MOST_VIEWS: Final = 60
_PICTURES: Final = (".png", ".jpg", ".jpeg")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sharing(views, opening=OPENING_CT))
    app.command()(series)


def views(
    path: Annotated[str, typer.Argument(help="A CT folder or file, or a raster")],
    out: Annotated[Path, typer.Option(help="The contact sheet to write, PNG or JPEG")],
    *,
    domain: DomainName = None,
    opening: dict[str, Any],
    window: Annotated[
        list[str] | None, typer.Option(help="CT: window preset; repeat for several")
    ] = None,
    every_mm: EveryMm = None,
    most: Annotated[
        int | None, typer.Option(help="CT: largest number of views on the sheet, 60 by default")
    ] = None,
    show_paths: ShowPaths = False,
) -> None:
    """Write a contact sheet of exactly what a model would see."""
    from longllava_domains.pipelines.domains.registry import decide_domain
    from longllava_domains.pipelines.views import views_of
    from longllava_domains.visual.contact_sheet import contact_sheet

    _require_picture(out)
    decided = decide_domain(path, domain)
    wished = {
        **opening, "windows": tuple(window) if window else None, "spacing_mm": every_mm,
        "max_views": most,
    }  # fmt: skip
    if most is None and hasattr(decided.settings, "max_views"):
        wished["max_views"] = _MOST_VIEWS
    sequence = views_of(path, domain=decided.name, **wished)
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
    show_paths: ShowPaths = False,
) -> None:
    """List the CT series of a folder, which one would be chosen, and why."""
    from longllava_domains import ct

    stdout.print(str(ct.list_series(path, kernel=kernel)), markup=False)
