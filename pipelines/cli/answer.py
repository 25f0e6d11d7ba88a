"""Commands that ask a model a question of a whole input: `report`, `ask`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longllava_domains.errors import PolicyError, PromptError
from longllava_domains.files import require_apart
from longllava_domains.pipelines.cli.console import (
    is_input,
    progress,
    require_model,
    stderr,
    stdout,
    written,
)
from longllava_domains.pipelines.cli.ct_documents import (
    require_document,
    require_evidence_folder,
    require_picture,
    save_report,
)
from longllava_domains.pipelines.cli.options.ct import DRAFTING, OPENING_CT, DraftOptions
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
from longllava_domains.pipelines.cli.options.slide import ASKING_SLIDE
from longllava_domains.pipelines.cli.outputs import (
    about,
    require_json,
    require_new,
    require_one_each,
    require_replaceable,
)
from longllava_domains.units import counted
from longllava_domains.vision_language import LoadOptions, Sampling

if TYPE_CHECKING:
    from longllava_domains.pipelines.domains.domain import Told


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(
        sharing(report, loading=LOADING, opening=OPENING_CT, drafting=DRAFTING, sampling=SAMPLING)
    )
    app.command()(
        sharing(
            ask, loading=LOADING, opening=OPENING_CT, raster=OPENING_RASTER, slide=ASKING_SLIDE,
            sampling=SAMPLING,
        )
    )  # fmt: skip


def report(
    path: Annotated[Path, typer.Argument(help="A CT folder, file or zip")],
    *,
    model: Model = None,
    loading: LoadOptions,
    opening: dict[str, Any],
    drafting: DraftOptions,
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
    from longllava_domains.pipelines.ct.calibration import Calibration
    from longllava_domains.pipelines.ct.findings_first import require_mode
    from longllava_domains.pipelines.ct.preset import CTPreset
    from longllava_domains.pipelines.ct.report import PURPOSE, CTReport
    from longllava_domains.pipelines.domains.names import require_as_named
    from longllava_domains.pipelines.loading import load, require_adapter

    chosen, named = CTPreset.named(drafting.preset), require_model(model)
    fitted = Calibration.from_file(drafting.calibration) if drafting.calibration else None
    require_mode(drafting.mode, fitted)
    _require_outputs(path, out=out, sheet=sheet, evidence=evidence, sr=sr, fhir=fhir)
    require_as_named(path)
    require_adapter(named, loading, "ct")
    opened = CTOpenOptions(**{"kernel": chosen.kernel, "purpose": PURPOSE, **opening})
    volume = as_volume(path, opened)
    if sr or fhir:
        require_document(volume, named)
    with progress() as advance:
        loaded = load(named, loading, advance, domain="ct")
        pipeline = CTReport(loaded, preset=chosen, calibration=fitted, mode=drafting.mode)
        result = pipeline(
            volume, policy=pipeline.policy(spacing_mm=every_mm, kernel=opened.kernel),
            max_new_tokens=max_new_tokens, sampling=sampling, on_progress=advance,
        )  # fmt: skip
    # Printed first: a file that cannot be written must not take the answer with it.
    if as_json:
        stdout.print_object(result.to_json())
    else:
        stdout.print(result.to_text(), markup=False)
    save_report(result, out=out, sheet=sheet, evidence=evidence, sr=sr, fhir=fhir)


def _require_outputs(
    source: Path,
    *,
    out: Path | None,
    sheet: Path | None,
    evidence: Path | None,
    sr: Path | None,
    fhir: Path | None,
) -> None:
    """Refuse what a report could not be saved as, all of it before anything is opened.

    Raises:
        LongLlavaError: One of the files or the folder of pictures cannot be written there.
    """
    with about("--sheet"):
        require_picture(sheet)
    for option, replaced in (("--out", out), ("--sheet", sheet)):
        with about(option):
            require_replaceable(replaced, source)
    require_one_each({"--out": out, "--sheet": sheet, "--sr": sr, "--fhir": fhir})
    with about("--out"):
        require_json(out)
    for option, record in (("--sr", sr), ("--fhir", fhir)):
        with about(option):
            require_new(record, source)
    with about("--evidence"):
        require_evidence_folder(evidence, source)


def ask(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... QUESTION",
            help="A CT, a slide, a raster (two for two dates of one place) or pictures, then the question",
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
        int | None, typer.Option(help="CT, slide: largest number of views", callback=at_least(1))
    ] = None,
    max_tokens: MaxTokens = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer", callback=at_least(1))] = 256,
    sampling: Sampling | None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Slide: also write .json, .geojson (views for QuPath) or a sheet of them as .png"
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Slide: also write where the answer looked, beside random fields"),
    ] = None,
    as_json: AsJson = False,
    show_paths: ShowPaths = False,
) -> None:
    """Ask one question of a CT, a slide, a raster or pictures; the domain is decided by evidence."""
    from longllava_domains.pipelines.ask import ask_input
    from longllava_domains.pipelines.domains.registry import decide_domain, settings_for
    from longllava_domains.pipelines.loading import load, require_adapter

    sources, question = _split(inputs)
    _require_slide(sources[0], domain, out=out, evidence=evidence)
    _require_files(out or (), evidence, sources)
    decided = decide_domain(sources[0], domain, *sources[1:])
    wished = {
        **opening, **raster, **slide, "spacing_mm": every_mm, "max_tokens": max_tokens,
        "max_views": most,
    }  # fmt: skip
    settings, named = settings_for(decided, wished), require_model(model)
    require_adapter(named, loading, decided.name)
    with decided.open(sources, settings) as opened, progress() as advance:
        answer = ask_input(
            load(named, loading, advance, domain=decided.name), opened, question, decided, settings,
            max_new_tokens=max_new_tokens, sampling=sampling, on_progress=advance,
        )  # fmt: skip
        if as_json:
            stdout.print_object(answer.to_json())
        else:
            _print_answer(answer)
        _save_files(answer, out or (), evidence)


def _split(inputs: list[str]) -> tuple[list[str], str]:
    """Return the inputs and the question, which is the last word on the line."""
    *sources, question = inputs
    if not sources or not question.strip():
        raise PromptError(
            "The question is empty." if sources else "An input or the question is missing.",
            remedy='Write: longllava ask INPUT "QUESTION" --model MODEL.',
            code="cli.question",
        )
    if not any(map(is_input, sources)) and is_input(question):
        raise PromptError(
            "The question stands before the input: the last word is a file or a folder.",
            remedy='Write the question last: longllava ask INPUT "QUESTION" --model MODEL.',
            code="cli.question",
        )
    if any(word.startswith("--") for word in sources):
        raise PromptError(
            "Behind -- every word is an input or the question, options too.",
            remedy="Write the options before it.",
            code="cli.question",
        )
    strays = [
        str(place)
        for place, word in enumerate(sources, 1)
        if not (is_input(word) or set(word) & set("/:\\"))
    ]
    if strays and len(sources) > 1:
        raise PromptError(
            f"{counted(len(strays), 'word')} before the last {'names' if len(strays) == 1 else 'name'} "
            f"no file and no folder: word {', '.join(strays)}.",
            remedy="A question of several words stands in quotes; if they are files, check the path.",
            code="cli.question",
        )
    return sources, question


def _require_slide(source: str, domain: str | None, **files: object) -> None:
    """Refuse files that are written of an answer about a slide alone.

    Raises:
        PolicyError: One was asked for of what is no slide.
    """
    from longllava_domains.pipelines.domains.registry import claimed, decide_domain, nouns

    if not any(files.values()):
        return
    found = {decide_domain(source, domain).name} if domain is not None else claimed(source)
    for name, given in files.items():
        if given and found and "pathology" not in found:
            raise PolicyError(
                f"--{name} is for a slide, and this is {nouns(found)}: its answer is printed.",
                remedy=f"Leave --{name} out; to keep the answer, add --json > answer.json.",
                code="cli.domain_option",
            )


def _require_files(out: Sequence[Path], evidence: Path | None, sources: list[str]) -> None:
    from longllava_domains.pipelines.pathology.saving import require_answer_file

    outputs = [("--out", path) for path in out]
    for option, path in [*outputs, *([] if evidence is None else [("--evidence", evidence)])]:
        with about(option):
            require_apart(path, *sources)
            require_answer_file(path, picture=option == "--evidence")


def _save_files(answer: "Told", out: Sequence[Path], evidence: Path | None) -> None:
    from longllava_domains.pipelines.pathology.saving import save_answer, save_evidence

    for path in out:
        save_answer(answer, path)
        written(path)
    if evidence is not None:
        save_evidence(answer, evidence)
        written(evidence)


def _print_answer(answer: "Told") -> None:
    from longllava_domains.export.report_content import printable
    from longllava_domains.pipelines.ask import shown_line
    from longllava_domains.pipelines.pathology.result import SlideAnswer

    for notice in answer.provenance.get("notices", ()):
        stdout.print(f"[{notice}]", markup=False)
    stdout.print(printable(answer.text), markup=False)
    stderr.print(shown_line(answer), markup=False)
    for line in answer.shown() if isinstance(answer, SlideAnswer) else ():
        stderr.print(f"  {line}", markup=False)
