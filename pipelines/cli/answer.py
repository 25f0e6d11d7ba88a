"""Commands that ask a model: `report`, `ask`, `find`."""

from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from longllava_domains.errors import PromptError
from longllava_domains.files import require_apart, require_writable
from longllava_domains.pipelines.cli.console import progress, require_model, stderr, stdout, written
from longllava_domains.pipelines.cli.ct_documents import (
    require_document,
    require_evidence_folder,
    require_picture,
    save_report,
)
from longllava_domains.pipelines.cli.options.ct import OPENING_CT
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.raster import OPENING_RASTER
from longllava_domains.pipelines.cli.options.sampling import SAMPLING
from longllava_domains.pipelines.cli.options.shared import (
    LOADING,
    AsJson,
    DomainName,
    EveryMm,
    MaxTokens,
    Model,
    ShowPaths,
    sharing,
)
from longllava_domains.pipelines.cli.options.slide import OPENING_SLIDE
from longllava_domains.pipelines.cli.outputs import require_replaceable
from longllava_domains.vision_language import LoadOptions, Sampling

WITH_FAILURES: Final = 3  # exit code: finished, and some items failed


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sharing(report, loading=LOADING, opening=OPENING_CT, sampling=SAMPLING))
    app.command()(
        sharing(
            ask, loading=LOADING, opening=OPENING_CT, raster=OPENING_RASTER, slide=OPENING_SLIDE,
            sampling=SAMPLING,
        )
    )  # fmt: skip
    app.command()(sharing(find, loading=LOADING, raster=OPENING_RASTER))


def report(
    path: Annotated[Path, typer.Argument(help="A CT folder, file or zip")],
    *,
    model: Model = None,
    loading: LoadOptions,
    opening: dict[str, Any],
    preset: Annotated[str, typer.Option(help="Slices, windows and prompts")] = "ct-default@1",
    every_mm: EveryMm = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest draft", callback=at_least(1))
    ] = None,
    sampling: Sampling | None,
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
    require_picture(sheet)
    for replaced in (out, sheet):
        require_replaceable(replaced, path)
    documents = [record for record in (sr, fhir) if record is not None]
    for record in documents:
        require_writable(record)
    opened = CTOpenOptions(**{"kernel": chosen.kernel, "purpose": PURPOSE, **opening})
    volume = as_volume(path, opened)
    require_evidence_folder(evidence)
    if documents:
        require_document(volume, named)
    with progress() as advance:
        pipeline = CTReport(load(named, loading, advance), preset=chosen)
        policy = pipeline.policy(spacing_mm=every_mm, kernel=opened.kernel)
        result = pipeline(
            volume, policy=policy, max_new_tokens=max_new_tokens, sampling=sampling,
            on_progress=advance,
        )  # fmt: skip
    # Printed first: a file that cannot be written must not take the answer with it.
    if as_json:
        stdout.print_object(result.to_json())
    else:
        stdout.print(result.to_text(), markup=False)
    save_report(result, out=out, sheet=sheet, evidence=evidence, sr=sr, fhir=fhir)


def ask(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... QUESTION",
            help="A CT, a slide or a raster (two for two dates of one place), then the question",
        ),
    ],
    *,
    model: Model = None,
    loading: LoadOptions,
    domain: DomainName = None,
    opening: dict[str, Any],
    every_mm: EveryMm = None,
    raster: dict[str, Any],
    slide: dict[str, Any],
    most: Annotated[
        int | None, typer.Option(help="Slide: largest number of views", callback=at_least(1))
    ] = None,
    max_tokens: MaxTokens = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer", callback=at_least(1))] = 256,
    sampling: Sampling | None,
    as_json: AsJson = False,
    show_paths: ShowPaths = False,
) -> None:
    """Ask one question of a CT, a slide or a raster; the domain is decided by evidence."""
    from longllava_domains.export.report_content import printable
    from longllava_domains.pipelines.ask import ask_input, shown_line
    from longllava_domains.pipelines.domains.registry import decide_domain, settings_for
    from longllava_domains.pipelines.loading import load

    *sources, question = inputs
    if not sources or not question.strip():
        raise PromptError(
            "The question is empty." if sources else "An input or the question is missing.",
            remedy='Write: longllava ask INPUT "QUESTION" --model MODEL.',
            code="cli.question",
        )
    decided = decide_domain(sources[0], domain)
    wished = {
        **opening, **raster, **slide, "spacing_mm": every_mm, "max_tokens": max_tokens,
        "max_views": most,
    }  # fmt: skip
    settings, named = settings_for(decided, wished), require_model(model)
    with decided.open(sources, settings) as opened, progress() as advance:
        answer = ask_input(
            load(named, loading, advance),
            opened,
            question,
            decided,
            settings,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            on_progress=advance,
        )
    if as_json:
        stdout.print_object(answer.to_json())
        return
    for notice in answer.provenance.get("notices", ()):
        stdout.print(f"[{notice}]", markup=False)
    stdout.print(printable(answer.text), markup=False)
    stderr.print(shown_line(answer), markup=False)


def find(
    scene: Annotated[str, typer.Argument(help="A raster: file, URL or STAC item")],
    category: Annotated[str, typer.Argument(help="What to look for, such as ship")],
    *,
    model: Model = None,
    loading: LoadOptions,
    raster: dict[str, Any],
    chip_px: Annotated[
        int | None, typer.Option(help="Side of a chip, raster pixels", callback=at_least(1))
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels that chips share", callback=at_least(0))
    ] = None,
    dialect: Annotated[str, typer.Option(help="Words and boxes: fit-rs or geochat")] = "fit-rs",
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest answer about a chip", callback=at_least(1))
    ] = 768,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write .geojson, .gpkg, .parquet, .json (STAC) or a drawing (.png, .jpg); repeat for several"
        ),
    ] = None,
    keep_in: Annotated[
        Path | None,
        typer.Option(
            help="Keep every answer here as it comes, beside --out by default; a stopped search goes on"
        ),
    ] = None,
    show_paths: ShowPaths = False,
) -> None:
    """Look for a thing chip by chip, and put what is found on the map."""
    from longllava_domains.pipelines.domains.registry import domains, settings_for
    from longllava_domains.pipelines.loading import load
    from longllava_domains.pipelines.remote_sensing.journal import require_journal
    from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA
    from longllava_domains.pipelines.remote_sensing.saving import require_savable, save_all
    from longllava_domains.pipelines.remote_sensing.search import require_searchable
    from longllava_domains.pipelines.remote_sensing.search_preset import SearchPreset

    named, domain = require_model(model), domains()["remote_sensing"]
    journal = keep_in or (out[0].with_name(f"{out[0].name}.answers.jsonl") if out else None)
    with domain.open([scene], settings_for(domain, raster)) as opened:
        for path in out or ():
            require_apart(path, scene)
        require_savable(opened, *(out or ()))
        preset = SearchPreset.named(dialect).with_chips(chip_px, overlap)
        require_searchable(opened, category, preset)
        require_journal(journal)
        with progress() as advance:
            pipeline = RemoteSensingQA(load(named, loading, advance))
            found = pipeline.find(
                opened,
                category,
                dialect=cast(Any, dialect),
                size_px=chip_px,
                overlap_px=overlap,
                max_new_tokens=max_new_tokens,
                keep_in=journal,
                on_plan=lambda plan: stderr.print(str(plan), markup=False),
                on_progress=advance,
            )
        # Printed first: a file that cannot be written must not take the detections with it.
        stdout.print_object(found.to_json())
        if out:
            written(*save_all(found, out, opened))
    if journal is not None and keep_in is None:
        journal.unlink(missing_ok=True)  # everything it kept is saved
    stderr.print(found.summary(), markup=False)
    if found.outcomes["failed"]:
        raise typer.Exit(WITH_FAILURES)
