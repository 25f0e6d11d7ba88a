"""Commands that ask a model: `report`, `ask`, `find`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from longllava_domains.errors import PromptError, UnsupportedInputError
from longllava_domains.files import require_writable
from longllava_domains.pipelines.cli.console import progress, require_model, stderr, stdout
from longllava_domains.pipelines.cli.ct_documents import (
    require_document,
    require_picture,
    save_report,
)
from longllava_domains.pipelines.cli.ct_options import OPENING_CT
from longllava_domains.pipelines.cli.options import (
    LOADING,
    AsJson,
    DomainName,
    EveryMm,
    Model,
    ShowPaths,
    sharing,
)
from longllava_domains.vision_language import LoadOptions

# Ending -> the method that saves findings so, and whether footprints get a file of their own.
_MAP_FILES: Final = {
    ".geojson": ("save_geojson", True),
    ".gpkg": ("save_geopackage", False),
    ".parquet": ("save_geoparquet", True),
    ".json": ("save_stac", False),
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sharing(report, loading=LOADING, opening=OPENING_CT))
    app.command()(sharing(ask, loading=LOADING, opening=OPENING_CT))
    app.command()(sharing(find, loading=LOADING))


def report(
    path: Annotated[Path, typer.Argument(help="A CT folder, file or zip")],
    *,
    model: Model = None,
    loading: LoadOptions,
    opening: dict[str, Any],
    preset: Annotated[str, typer.Option(help="Slices, windows and prompts")] = "ct-default@1",
    every_mm: EveryMm = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest draft")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write JSON here")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also write the views shown as one picture, PNG or JPEG")
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Also write, for each finding, the slices looked at, into this folder"),
    ] = None,
    sr: Annotated[Path | None, typer.Option(help="Also write a draft DICOM SR here")] = None,
    fhir: Annotated[Path | None, typer.Option(help="Also write a FHIR report here")] = None,
    as_json: AsJson = False,
    show_paths: ShowPaths = False,
) -> None:
    """Draft a report and 18 findings from one CT. For research use only."""
    from longllava_domains.pipelines.ct.as_volume import CTOpenOptions, as_volume
    from longllava_domains.pipelines.ct.preset import CTPreset
    from longllava_domains.pipelines.ct.report import PURPOSE, CTReport
    from longllava_domains.pipelines.loading import load

    chosen, named = CTPreset.named(preset), require_model(model)
    for replaced in (out, sheet):
        if replaced is not None:
            require_writable(replaced, overwrite=True)
    require_picture(sheet)
    documents = [record for record in (sr, fhir) if record is not None]
    for record in documents:
        require_writable(record)
    opened = CTOpenOptions(**{"kernel": chosen.kernel, "purpose": PURPOSE, **opening})
    volume = as_volume(path, opened)
    if documents:
        require_document(volume, named)
    pipeline = CTReport(load(named, loading), preset=chosen)
    policy = pipeline.policy(spacing_mm=every_mm, kernel=opened.kernel)
    with progress() as advance:
        result = pipeline(volume, policy=policy, max_new_tokens=max_new_tokens, on_progress=advance)
    # Printed first: a file that cannot be written must not take the answer with it.
    if as_json:
        stdout.print_object(result.to_json())
    else:
        stdout.print(result.to_text(), markup=False)
    save_report(result, out=out, sheet=sheet, evidence=evidence, sr=sr, fhir=fhir)


def ask(
    path: Annotated[str, typer.Argument(help="A CT, or a raster (file, URL or STAC item)")],
    question: Annotated[str, typer.Argument(help="The question")],
    *,
    model: Model = None,
    loading: LoadOptions,
    opening: dict[str, Any],
    domain: DomainName = None,
    every_mm: EveryMm = None,
    max_tokens: Annotated[int | None, typer.Option(help="Raster: tokens of the prompt")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer")] = 256,
    as_json: AsJson = False,
    show_paths: ShowPaths = False,
) -> None:
    """Ask one question of a CT or a raster; the domain is decided by evidence."""
    from longllava_domains.export.report_content import printable
    from longllava_domains.pipelines.ask import ask_input
    from longllava_domains.pipelines.domains.registry import decide_domain, settings_for
    from longllava_domains.pipelines.loading import load

    if not question.strip():
        raise PromptError("The question is empty.", remedy="Ask something.", code="cli.question")
    decided = decide_domain(path, domain)
    wished = {**opening, "spacing_mm": every_mm, "max_tokens": max_tokens}
    settings, named = settings_for(decided, wished), require_model(model)
    with decided.open(path, settings) as opened, progress() as advance:
        answer = ask_input(
            load(named, loading),
            opened,
            question,
            decided,
            settings,
            max_new_tokens=max_new_tokens,
            on_progress=advance,
        )
    if as_json:
        stdout.print_object(answer.to_json())
        return
    for notice in answer.provenance.get("notices", ()):
        stdout.print(f"[{notice}]", markup=False)
    stdout.print(printable(answer.text), markup=False)


def find(
    scene: Annotated[str, typer.Argument(help="A raster: file, URL or STAC item")],
    thing: Annotated[str, typer.Argument(help="What to look for, such as ship")],
    *,
    model: Model = None,
    loading: LoadOptions,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer about a chip")] = 768,
    out: Annotated[
        Path | None, typer.Option(help="Write .geojson, .gpkg, .parquet or .json (STAC)")
    ] = None,
) -> None:
    """Look for a thing chip by chip, and put what is found on the map."""
    from longllava_domains.pipelines.loading import load
    from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA

    save = None if out is None else _require_map_file(out)
    pipeline = RemoteSensingQA(load(require_model(model), loading))
    with progress() as advance:
        found = pipeline.find(
            scene,
            thing,
            max_new_tokens=max_new_tokens,
            on_plan=lambda plan: stderr.print(str(plan), markup=False),
            on_progress=advance,
        )
    if out is not None and save is not None:
        getattr(found, save)(out)
    stdout.print_object(found.to_json())


def _require_map_file(out: Path) -> str:
    """Return the name of the method that saves findings there; the search may take hours."""
    from longllava_domains.export.maps.features import FOOTPRINTS
    from longllava_domains.export.maps.geojson import beside

    if out.suffix not in _MAP_FILES:
        raise UnsupportedInputError(
            "The ending of the output names no format.",
            remedy=f"End it with one of {', '.join(_MAP_FILES)}.",
            code="cli.out",
        )
    method, has_second_file = _MAP_FILES[out.suffix]
    require_writable(out)
    if has_second_file:
        require_writable(beside(out, FOOTPRINTS))
    return method
