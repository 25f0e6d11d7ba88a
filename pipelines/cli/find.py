"""The command that looks for a thing part by part: `find`, in a raster or on a slide."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from longllava_domains.errors import (
    AmbiguousInputError,
    LongLlavaError,
    PolicyError,
    PromptError,
    UnsupportedInputError,
)
from longllava_domains.extras import absent_extras
from longllava_domains.pipelines.cli.console import (
    is_input,
    progress,
    require_model,
    stderr,
    stdout,
    written,
)
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.raster import OPENING_RASTER
from longllava_domains.pipelines.cli.options.shared import (
    LOADING,
    DomainName,
    Model,
    ShowPaths,
    sharing,
)
from longllava_domains.pipelines.cli.options.slide import SEARCHING_SLIDE
from longllava_domains.pipelines.cli.outputs import about, require_file_place
from longllava_domains.vision_language import LoadOptions

# A picture without a place can be a scene, too.
_SEARCHED: Final = ("pathology", "remote_sensing", "image")
_NEVER_A_SCENE: Final = ("input.empty_folder", "input.missing", "input.not_as_named")
WITH_FAILURES: Final = 3  # exit code: finished, and some items failed


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sharing(find, loading=LOADING, raster=OPENING_RASTER, slide=SEARCHING_SLIDE))


def find(
    scene: Annotated[str, typer.Argument(help="A raster (file, URL or STAC item) or a slide")],
    category: Annotated[str, typer.Argument(help="What to look for, such as ship or gland")],
    *,
    model: Model = None,
    loading: LoadOptions,
    domain: DomainName = None,
    raster: dict[str, Any],
    slide: dict[str, Any],
    chip_px: Annotated[
        int | None, typer.Option(help="Raster: side of a chip, raster pixels", callback=at_least(1))
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels that neighbours share", callback=at_least(0))
    ] = None,
    dialect: Annotated[str, typer.Option(help="Words and boxes: fit-rs or geochat")] = "fit-rs",
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest answer about a chip", callback=at_least(1))
    ] = 768,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write, instead of printing JSON: .geojson, .gpkg, .parquet, .json (STAC) or a drawing (.png, .jpg); of a slide .geojson (QuPath), .dcm "
            "(DICOM annotations), .json or a picture; repeat for several"
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
    """Look for a thing part by part, and put what is found on the map or on the slide."""
    from longllava_domains.pipelines.loading import require_adapter

    files = tuple(out or ())
    _require_order(scene, category)
    _require_search(scene, category, dialect, files, keep_in)
    how = {
        "dialect": cast(Any, dialect), "overlap_px": overlap, "max_new_tokens": max_new_tokens,
        "keep_in": keep_in or (files[0].with_name(f"{files[0].name}.answers.jsonl") if files else None),
        "on_plan": lambda plan: stderr.print(str(plan), markup=False),
    }  # fmt: skip
    searched = _searched(scene, domain)
    named = require_model(model)
    require_adapter(named, loading, searched)
    if searched == "pathology":
        wished = {**raster, **slide, "chip_px": chip_px}
        found = _on_slide(scene, category, named, loading, wished, files, how)
    else:
        wished = {**raster, **slide}
        how |= {"size_px": chip_px}
        found = _in_raster(scene, category, named, loading, wished, files, how)
    if how["keep_in"] is not None and keep_in is None:
        how["keep_in"].unlink(missing_ok=True)  # everything it kept is saved
    _tell(found, dialect, max_new_tokens)
    if found.outcomes["failed"] or found.cut_short:
        raise typer.Exit(WITH_FAILURES)


def _require_order(scene: str, category: str) -> None:
    """Refuse the thing before the scene.

    Raises:
        PromptError: The second word is a file, and the first is none.
    """
    if not is_input(scene) and is_input(category):
        raise PromptError(
            "The thing to look for stands before the scene: the second word is a file or a folder.",
            remedy='Write the scene first: longllava find SCENE "THING" --model MODEL.',
            code="cli.question",
        )


def _require_search(
    scene: str, category: str, dialect: str, files: tuple[Path, ...], keep_in: Path | None
) -> None:
    """Refuse what can be refused of a search before its scene is opened.

    Raises:
        LongLlavaError: The words of the search, or the ending or the place of a file.
    """
    from longllava_domains.pipelines.pathology.saving import FOUND_FILES
    from longllava_domains.pipelines.remote_sensing.saving import MAP_FILES, PICTURES
    from longllava_domains.pipelines.search.preset import SearchPreset

    for option, path in (*(("--out", file) for file in files), ("--keep-in", keep_in)):
        if path is not None:
            with about(option):
                require_file_place(path, scene)
    SearchPreset.named(dialect).ask(category)
    endings = dict.fromkeys((*MAP_FILES, *PICTURES, *FOUND_FILES))
    if any(path.suffix.lower() not in endings for path in files):
        raise UnsupportedInputError(
            "--out: The ending of the output names no format.",
            remedy=f"A raster's can be {', '.join((*MAP_FILES, *PICTURES))}; a slide's {', '.join(FOUND_FILES)}.",
            code="find.out",
        )


def _searched(scene: str, domain: str | None) -> str:
    """Return the domain that the input is searched in; but for a TIFF, what nothing decides is a raster.

    Raises:
        PolicyError: The input is of a domain that is not searched, or pictures are named as theirs.
        AmbiguousInputError: Nothing says whether a TIFF is a slide or a scene.
    """
    from longllava_domains.pipelines.domains.evidence import evidence_of
    from longllava_domains.pipelines.domains.registry import decide_domain

    try:
        decided = decide_domain(scene, domain).name
    except LongLlavaError as error:
        if domain is not None or error.code in _NEVER_A_SCENE:
            raise
        is_tiff = any(evidence.kind == "tiff" for evidence in evidence_of(scene))
        if is_tiff and "remote-sensing" not in absent_extras():
            raise AmbiguousInputError(
                "Nothing in this TIFF says whether it is a slide or a scene.",
                remedy="Name it: --domain pathology or --domain remote_sensing.",
                code="domain.undecided",
            ) from None
        return "remote_sensing"
    if decided not in _SEARCHED or (domain is not None and decided == "image"):
        scene = ", or search it as a scene: --domain remote_sensing" if decided == "image" else ""
        raise PolicyError(
            f"Nothing is searched in the domain {decided}: only slides and scenes are.",
            remedy=f"Ask a question of it with longllava ask{scene}.",
            code="find.domain",
        )
    return "pathology" if decided == "pathology" else "remote_sensing"


def _in_raster(
    scene: str, category: str, named: str, loading: LoadOptions, wished: dict[str, Any],
    files: tuple[Path, ...], how: dict[str, Any],
) -> Any:  # fmt: skip
    from longllava_domains.pipelines.domains.registry import domains, settings_for
    from longllava_domains.pipelines.loading import load
    from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA
    from longllava_domains.pipelines.remote_sensing.saving import require_savable, save_all
    from longllava_domains.pipelines.remote_sensing.search import require_searchable
    from longllava_domains.pipelines.search.journal import require_journal
    from longllava_domains.pipelines.search.preset import SearchPreset

    decided = domains()["remote_sensing"]
    with decided.open([scene], settings_for(decided, wished)) as opened:
        require_savable(opened, *files)
        preset = SearchPreset.named(how["dialect"])
        preset = preset.with_chips(how["size_px"], how["overlap_px"])
        require_searchable(opened, category, preset)
        require_journal(how["keep_in"])
        with progress() as advance:
            pipeline = RemoteSensingQA(load(named, loading, advance, domain=decided.name))
            found = pipeline.find(opened, category, **how, on_progress=advance)
        _deliver(found, files, lambda: written(*save_all(found, files, opened)))
    return found


def _on_slide(
    scene: str, category: str, named: str, loading: LoadOptions, wished: dict[str, Any],
    files: tuple[Path, ...], how: dict[str, Any],
) -> Any:  # fmt: skip
    from longllava_domains.pipelines.domains.registry import domains, settings_for
    from longllava_domains.pipelines.loading import load
    from longllava_domains.pipelines.pathology.qa import PathologyQA
    from longllava_domains.pipelines.pathology.saving import require_found_file

    decided = domains()["pathology"]
    settings = settings_for(decided, wished)
    with decided.open([scene], settings) as opened:
        for path in files:
            require_found_file(opened, path, named)
        wish = decided.policy(settings, None)
        regions = wish.regions(opened)
        if len(regions) > 1:
            raise PolicyError(
                "A search looks at one region at a time.",
                remedy="Draw both in one GeoJSON file, or search twice.",
                code="slide.region",
            )
        with progress() as advance:
            pipeline = PathologyQA(load(named, loading, advance, domain=decided.name))
            found = pipeline.find(
                opened,
                category,
                view_mpp=settings.view_mpp,
                region=regions[0] if regions else None,
                tissue=wish.tissue(opened),
                **how,
                on_progress=advance,
            )
        _deliver(found, files, lambda: _save_on_slide(found, files))
    return found


def _save_on_slide(found: Any, files: tuple[Path, ...]) -> None:
    from longllava_domains.pipelines.pathology.saving import save_found

    for path in files:
        save_found(found, path)
        written(path)


def _tell(found: Any, dialect: str, max_new_tokens: int) -> None:
    """Say what came of a search, and what could be done about views without an answer."""
    from longllava_domains.pipelines.search.unread import unread_lines

    views = found.chips if hasattr(found, "chips") else found.fields
    for line in (found.summary(), *unread_lines(views, found.provenance, dialect)):
        stderr.print(line, markup=False)
    if found.cut_short:
        stderr.print(
            f"Answers end after {max_new_tokens:,} tokens: raise --max-new-tokens.", markup=False
        )


def _deliver(found: Any, files: tuple[Path, ...], save: Callable[[], None]) -> None:
    """Save what was found, or print it where no file is wanted, or none can be written.

    Raises:
        LongLlavaError: A file cannot be written; what was found is printed, so that it is not lost.
    """
    if not files:
        stdout.print_object(found.to_json())
        return
    try:
        save()
    except LongLlavaError:
        stdout.print_object(found.to_json())
        raise
