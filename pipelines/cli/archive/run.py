"""`archive run`: score what is missing of an archive, or say what that would take."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.cli.archive.predict import predict
from longllava_domains.pipelines.cli.console import stderr, stdout, written
from longllava_domains.pipelines.cli.options.devices import gpus_of
from longllava_domains.pipelines.cli.options.numbers import Check, above_zero, at_least
from longllava_domains.pipelines.cli.options.shared import (
    EveryMm,
    MaxTokens,
    Model,
    OptionGroup,
)
from longllava_domains.pipelines.cli.outputs import about, require_folder, require_outside_results
from longllava_domains.units import counted
from longllava_domains.vision_language import LoadOptions

if TYPE_CHECKING:
    from longllava_domains.archive import Manifest, Progress, Settings, Shard
    from longllava_domains.pipelines.archive import ArchiveTask

FINISHED_WITH_FAILURES: Final = 3
_GIB: Final = 1 << 30
_ENGINES: Final = ("local", "ray")

LedgerFolder = Annotated[
    Path | None, typer.Option(help="Folder of the ledger on a local disk; below the results")
]

_Most = Annotated[
    int | None, typer.Option(help="Slide: largest number of views", callback=at_least(1))
]
_Documents = Annotated[
    Path | None, typer.Option(help="Folder of SR and FHIR files, which name patients")
]
_MaxNewTokens = Annotated[int, typer.Option(help="ask: longest answer", callback=at_least(1))]


@dataclass(frozen=True)
class Running:
    """Options of a run that change no result."""

    engine: str
    workers: int
    devices: str
    gpus_each: float
    address: str | None
    decoders: int
    shard: str
    ledger: Path | None
    item_seconds: float
    worker_memory_gb: float | None
    batch_items: int


@dataclass(frozen=True)
class Scanning:
    """Options of the scan where no manifest is given."""

    domain: str | None
    manifest: Path | None
    secret: Path | None


@dataclass(frozen=True)
class DryRun:
    """Options of a dry run."""

    dry_run: bool
    sample: int
    deadline: str | None


def _option(
    kind: Any, help_text: str, default: Any, *names: str, refuse: Check | None = None
) -> tuple[Any, Any]:
    return Annotated[kind, typer.Option(*names, help=help_text, callback=refuse)], default


RUNNING: Final = OptionGroup(
    Running,
    {
        "engine": _option(str, "local or ray", "local"),
        "workers": _option(int, "Processes with a scorer; 0 scores in this one", 0,
                           refuse=at_least(0)),
        "devices": _option(str, "GPUs of the workers in turn: all, or such as 0,1", ""),
        "gpus_each": _option(float, "Ray: GPUs of each worker; fractions share one", 0.0),
        "address": _option(str | None, "Ray: of a running cluster", None),
        "decoders": _option(int, "Processes of a worker that decode ahead", 1, refuse=at_least(0)),
        "shard": _option(str, "This machine's share, such as 3/8", "1/1"),
        "ledger": _option(Path | None, "Folder of the ledger, on a local disk", None),
        "item_seconds": _option(float, "Longest time for an item", 3600.0, refuse=above_zero),
        "worker_memory_gb": _option(
            float | None, "A worker that grows beyond is ended; its item is tried alone", None,
            refuse=above_zero,
        ),
        "batch_items": _option(int, "Items whose questions and drafts share their steps on a GPU", 1,
                               refuse=at_least(1)),
    },
)  # fmt: skip
SCANNING: Final = OptionGroup(
    Scanning,
    {
        "domain": _option(str | None, "Source: ct, pathology or remote_sensing", None),
        "manifest": _option(
            Path | None, "Source: the manifest to write; OUTPUT.private/ by default", None
        ),
        "secret": _option(Path | None, "Source: file of the site secret", None),
    },
)
DRY_RUN: Final = OptionGroup(
    DryRun,
    {
        "dry_run": _option(bool, "Predict only", False, "--dry-run"),
        "sample": _option(int, "Items that a dry run tries", 50, refuse=at_least(1)),
        "deadline": _option(str | None, "Dry run: 12h, 90m or 2d; name what meets it", None),
    },
)


def run(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE_OR_MANIFEST", help="A manifest, or what to scan")
    ],
    *,
    task: Annotated[str, typer.Option(help="ct-findings, ct-report, ask, find or views")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the results")],
    model: Model = None,
    loading: LoadOptions,
    question: Annotated[
        str, typer.Option(help="ask: the question; find: what to look for, such as ship")
    ] = "",
    preset: Annotated[
        str, typer.Option("--preset", "--policy", help="CT: slices, windows and prompts")
    ] = "ct-default@1",
    every_mm: EveryMm = None,
    most: _Most = None,
    max_tokens: MaxTokens = None,
    max_new_tokens: _MaxNewTokens = 256,
    files: Annotated[
        list[str] | None,
        typer.Option(help="Write for each item: json, sr, fhir, geojson, gpkg; repeat for several"),
    ] = None,
    documents: _Documents = None,
    running: Running,
    scanning: Scanning,
    trial: DryRun,
) -> None:
    """Score what is missing. Stop it with Ctrl-C or SIGTERM; run it again to go on."""
    from longllava_domains.pipelines.archive import ArchiveTask
    from longllava_domains.pipelines.archive.planning import hours_of
    from longllava_domains.pipelines.loading import require_adapter

    settings = {"spacing_mm": every_mm, "max_views": most, "max_tokens": max_tokens}
    asked = ArchiveTask(
        task=task,
        model=model,
        loading=loading,
        question=question,
        preset=preset,
        settings={name: value for name, value in settings.items() if value is not None},
        max_new_tokens=max_new_tokens,
        files=tuple(files or ()),
        output=output,
        documents=documents,
    )
    # Refused before a scan leaves its manifest behind.
    _require_places(source, output, documents, running.ledger, scanning)
    require_adapter(model, loading, scanning.domain)
    chosen = _settings(output, running, task)
    deadline_hours = None if trial.deadline is None else hours_of(trial.deadline)
    items, domain = _manifest(source, output, scanning)
    if trial.dry_run:
        predict(
            asked, items, domain, sample=trial.sample, workers=max(1, running.workers),
            decoders=running.decoders, deadline_hours=deadline_hours,
        )  # fmt: skip
        return
    _tell(_run(_job(asked, domain), items, chosen, running), chosen)


def _tell(done: "Progress", settings: "Settings") -> None:
    """Print how a run ended; the exit code says whether items failed."""
    from longllava_domains.pipelines.archive.notices import ending_notes

    stdout.print(str(done), markup=False)
    for note in ending_notes(done, settings):
        stderr.print(note, markup=False)
    if done.counts.get("failed", 0):
        raise typer.Exit(FINISHED_WITH_FAILURES)


def _job(asked: "ArchiveTask", domain: str) -> Any:
    """Return the job, and print what a reader of its answers must know."""
    from longllava_domains.pipelines.archive import archive_job
    from longllava_domains.pipelines.archive.notices import notices_of

    job = archive_job(asked, domain)
    for notice in notices_of(asked, domain):
        stderr.print(f"[{notice}]", markup=False)
    return job


def _require_places(
    source: str, output: Path, documents: Path | None, ledger: Path | None, scanning: Scanning
) -> None:
    """Refuse outputs of a run that lie in its source, or whose folder is not there.

    Raises:
        OutputError: One of them.
    """
    for option, folder in (("--output", output), ("--documents", documents), ("--ledger", ledger)):
        with about(option):
            require_folder(folder, source)
    with about("--output"):
        require_outside_results(output)
    for option, file in (("--manifest", scanning.manifest), ("--secret", scanning.secret)):
        with about(option):  # their folders are made, for their owner alone
            require_folder(None if file is None else file.parent, source)


def _manifest(source: str, output: Path, scanning: Scanning) -> tuple["Manifest", str]:
    """Return the manifest, scanned first where a source was given, and its domain."""
    from longllava_domains.archive import Manifest, scan_archive
    from longllava_domains.archive.manifest.listings.listing import require_source
    from longllava_domains.archive.manifest.manifest import is_manifest, linkage_beside, scan_files
    from longllava_domains.archive.manifest.secret import default_secret, scanning_with

    items = Manifest(Path(source))
    if not is_manifest(items.path):
        require_source(source)
        if scanning.domain is None:
            raise PolicyError(
                "This is no manifest (the .parquet that longllava archive scan writes), and of a source "
                "that shall be scanned the domain is not named.",
                remedy="Name the manifest, or add --domain ct, --domain pathology or --domain "
                "remote_sensing.",
                code="archive.domain",
            )
        beside = output.with_name(f"{output.name}.private") / "manifest.parquet"
        items = Manifest(scanning.manifest or beside)
        items.require_outside(output)
        with scanning_with(scanning.secret or default_secret()) as secret:
            found = scan_archive(source, scanning.domain, items.path, secret=secret)
        told = f"{counted(found.items, 'item')} of {counted(found.files, 'file')}"
        stderr.print(told, markup=False)
        written(*scan_files(items.path, linkage_beside(items.path)))
    elif scanning != Scanning(None, None, None):
        raise PolicyError(
            "--domain, --manifest and --secret are of a scan, and the source is a manifest already.",
            remedy="Leave them out: the manifest has its domain.",
            code="archive.scanned",
        )
    items.require_outside(output)
    return items, items.domain()


def _settings(output: Path, running: Running, task: str) -> "Settings":
    """Return the settings of a run.

    Raises:
        PolicyError: There is no such engine or share, or the task or engine has no batches.
    """
    from longllava_domains.archive import Settings
    from longllava_domains.pipelines.archive.task import TOGETHER

    if running.batch_items > 1 and (task not in TOGETHER or running.engine != "local"):
        raise PolicyError(
            "Items are scored together by the local engine, and in these tasks: "
            f"{', '.join(TOGETHER)}.",
            remedy="Leave out --batch-items.",
            code="archive.batch",
        )
    if running.engine not in _ENGINES:
        raise PolicyError(
            f"There is no engine {running.engine!r}.",
            remedy=f"Use --engine {' or --engine '.join(_ENGINES)}.",
            code="archive.engine",
        )
    most = running.worker_memory_gb
    return Settings(
        output,
        ledger=running.ledger,
        shard=_shard(running.shard),
        decoders=running.decoders,
        item_seconds=running.item_seconds,
        memory_bytes=None if most is None else int(most * _GIB),
        batch_items=running.batch_items,
    )


def _run(job: Any, items: "Manifest", settings: "Settings", running: Running) -> "Progress":
    from longllava_domains import archive

    def tell(progress: archive.Progress) -> None:
        archive.write_metrics(settings.output / "metrics.prom", progress, job.spec.task)
        if progress.finished < progress.total:  # the end is told once, by the caller
            stderr.print(str(progress), markup=False)

    if running.engine == "ray":
        return archive.run_ray(
            job, items, settings, actors=max(1, running.workers), gpus_each=running.gpus_each,
            address=running.address, on_progress=tell,
        )  # fmt: skip
    gpus = gpus_of(running.devices)
    # A limit on memory, and a GPU of its own, need a process that can be ended.
    least = len(gpus) or int(settings.memory_bytes is not None)
    workers = running.workers or least
    return archive.run_local(job, items, settings, workers=workers, devices=gpus, on_progress=tell)


def _shard(text: str) -> "Shard":
    from longllava_domains.archive import Shard

    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit()):
        raise PolicyError(
            "A share is spelled as two numbers.", remedy="Use --shard 3/8.", code="archive.shard"
        )
    return Shard(int(index), int(count))
