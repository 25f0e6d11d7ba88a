"""Commands that look at an input without a model: `views`, `series`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from longllava_domains.pipelines.cli.console import stderr, stdout, written
from longllava_domains.pipelines.cli.ct_documents import require_picture
from longllava_domains.pipelines.cli.options.ct import OPENING_CT, WantedKernel
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.raster import OPENING_RASTER
from longllava_domains.pipelines.cli.options.shared import (
    DomainName,
    EveryMm,
    MaxTokens,
    ShowPaths,
    sharing,
)
from longllava_domains.pipelines.cli.options.slide import OPENING_SLIDE
from longllava_domains.pipelines.cli.outputs import (
    about,
    require_geojson,
    require_new,
    require_one_each,
    require_replaceable,
    save_picture,
)
from longllava_domains.pipelines.left_out import left_out_text
from longllava_domains.units import counted

_MOST_VIEWS: Final = 60


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sharing(views, opening=OPENING_CT, raster=OPENING_RASTER, slide=OPENING_SLIDE))
    app.command()(series)


def views(
    path: Annotated[str, typer.Argument(help="A CT folder or file, a slide, or a raster")],
    out: Annotated[Path, typer.Option(help="The contact sheet to write, PNG or JPEG")],
    *,
    domain: DomainName = None,
    opening: dict[str, Any],
    raster: dict[str, Any],
    slide: dict[str, Any],
    window: Annotated[
        list[str] | None, typer.Option(help="CT: window preset; repeat for several")
    ] = None,
    every_mm: EveryMm = None,
    most: Annotated[
        int | None,
        typer.Option(
            help="CT, slide: largest number of views on the sheet, 60 by default",
            callback=at_least(1),
        ),
    ] = None,
    max_tokens: MaxTokens = None,
    geojson: Annotated[
        Path | None, typer.Option(help="Slide: also write the views as QuPath annotations")
    ] = None,
    show_paths: ShowPaths = False,
) -> None:
    """Write a contact sheet of exactly what a model would see."""
    from longllava_domains.pipelines.domains.registry import decide_domain
    from longllava_domains.pipelines.views import views_of
    from longllava_domains.visual.contact_sheet import contact_sheet

    with about("--out"):
        require_picture(out)
        require_replaceable(out, path)
    with about("--geojson"):
        require_geojson(geojson)
        require_new(geojson, path)
    require_one_each({"--out": out, "--geojson": geojson})
    decided = decide_domain(path, domain)
    wished = {
        **opening, **raster, **slide, "windows": tuple(window) if window else None,
        "spacing_mm": every_mm, "max_views": most, "max_tokens": max_tokens,
    }  # fmt: skip
    if decided.name != "pathology":
        wished["geojson"] = geojson
    if most is None and hasattr(decided.settings, "max_views"):
        wished["max_views"] = _MOST_VIEWS
    sequence = views_of(path, domain=decided.name, **wished)
    save_picture(contact_sheet(sequence), out)
    if geojson is not None:
        from longllava_domains.export.slides.qupath import write_views

        # QuPath counts from the corner of what was scanned.
        origin = sequence.provenance["policy"]["bounds"][:2]
        write_views(geojson, sequence, origin=(origin[0], origin[1]))
        written(geojson)
    for notice in sequence.provenance.get("notices", ()):
        stderr.print(f"[{notice}]", markup=False)
    left_out = left_out_text(sequence.left_out)
    stdout.print(f"{counted(len(sequence), 'view')} in {out}; left out: {left_out}.", markup=False)


def series(
    path: Annotated[str, typer.Argument(help="A CT folder, file or zip")],
    kernel: WantedKernel = None,
    show_paths: ShowPaths = False,
) -> None:
    """List the CT series of a folder, which one would be chosen, and why."""
    from longllava_domains import ct
    from longllava_domains.pipelines.domains.names import require_as_named

    require_as_named(path)
    found = ct.list_series(path, kernel=kernel)
    stdout.print(str(found), markup=False)
    if any(row.chosen and row.images == 1 for row in found):
        stdout.print(
            "The chosen series has one slice, which is no volume: report, ask and views refuse it without "
            "--repair single.",
            markup=False,
        )
    if found.none_chosen:
        stdout.print(
            "Choose by its row: longllava views, ask or report with --series ROW.", markup=False
        )
