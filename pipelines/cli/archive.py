"""Commands over whole archives: `archive scan`, `run`, `status`, `retry`, `report`, `where`, `forget`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from longllava_domains.errors import OutputError, PolicyError
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.pipelines.cli.console import require_model, stderr, stdout
from longllava_domains.pipelines.cli.options.shared import LOADING, EveryMm, Model, sharing
from longllava_domains.units import counted, human_bytes
from longllava_domains.vision_language import LoadOptions

if TYPE_CHECKING:
    from longllava_domains.archive import Shard

FINISHED_WITH_FAILURES: Final = 3
_PARQUET: Final = b"PAR1"

ManifestFile = Annotated[Path, typer.Argument(help="The manifest that a scan wrote")]
Results = Annotated[Path, typer.Option("--output", help="Folder of the results")]
ResultsFolder = Annotated[Path, typer.Argument(help="Folder of the results")]
Linkage = Annotated[Path, typer.Option(help="The linkage file that the scan wrote; patient data")]
LedgerFolder = Annotated[
    Path | None, typer.Option(help="Folder of the ledger on a local disk; below the results")
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Score whole archives, resumable.", no_args_is_help=True)
    group.command()(scan)
    group.command()(sharing(run, loading=LOADING))
    for command in (status, retry, report, where, forget):
        group.command()(command)
    app.add_typer(group, name="archive")


def _require_manifest(output: Path) -> None:
    """Refuse to replace a file that is no manifest of an earlier scan: it may be a study.

    Raises:
        OutputError: Something else is there.
    """
    if not output.exists():
        return
    if output.is_file():
        with open_regular(output) as opened:
            if opened.read(len(_PARQUET)) == _PARQUET:
                return
    raise OutputError(
        "The output is there already and is no manifest of an earlier scan.",
        remedy="Choose another name for --output.",
        code="archive.output",
    )


def scan(
    source: Annotated[str, typer.Argument(help="A folder, file or URL")],
    domain: Annotated[str, typer.Option(help="ct, pathology or remote_sensing")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write")],
    secret: Annotated[
        Path | None, typer.Option(help="File of the site secret; made if need be")
    ] = None,
    linkage: Annotated[
        Path | None, typer.Option(help="The linkage file; beside the manifest by default")
    ] = None,
) -> None:
    """List what an archive holds. The manifest holds paths: keep it apart from results."""
    from longllava_domains.archive import SiteSecret, scan_archive
    from longllava_domains.archive.manifest.secret import default_secret

    _require_manifest(output)
    own = SiteSecret.load(secret or default_secret())
    found = scan_archive(source, domain, output, secret=own, linkage=linkage)
    stdout.print(
        f"{counted(found.items, 'item')}, {human_bytes(found.bytes)}; "
        f"{counted(found.files, 'file')}, {found.read} read, {found.gone} gone, "
        f"in {found.seconds:.1f} s"
    )
    for title, codes in (("refusals to expect", found.expected), ("set aside", found.set_aside)):
        for code, count in codes.items():
            stdout.print(f"  {title}: {count} {code}", markup=False)


def run(
    manifest: ManifestFile,
    *,
    task: Annotated[str, typer.Option(help="ct-findings or ct-report")],
    output: Results,
    model: Model = None,
    loading: LoadOptions,
    preset: Annotated[str, typer.Option(help="Slices, windows and prompts")] = "ct-default@1",
    every_mm: EveryMm = None,
    engine: Annotated[str, typer.Option(help="local or ray")] = "local",
    workers: Annotated[int, typer.Option(help="Processes; 0 scores in this one")] = 0,
    devices: Annotated[str, typer.Option(help="GPUs of the workers in turn, such as 0,1")] = "",
    decoders: Annotated[int, typer.Option(help="Processes of a worker that decode ahead")] = 1,
    shard: Annotated[str, typer.Option(help="This machine's share, such as 3/8")] = "1/1",
    ledger: LedgerFolder = None,
    item_seconds: Annotated[float, typer.Option(help="Longest time for an item")] = 3600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Predict only")] = False,
    sample: Annotated[int, typer.Option(help="Items that a dry run tries")] = 50,
) -> None:
    """Score what is missing. Stop it with Ctrl-C or SIGTERM; run it again to go on."""
    from longllava_domains import archive
    from longllava_domains.pipelines.archive import CTTask, archive_job

    items = archive.Manifest(manifest)
    items.count()
    items.require_outside(output)
    asked = CTTask(task, require_model(model), loading, preset, every_mm)  # type: ignore[arg-type]
    job = archive_job(asked)
    if dry_run:
        found = archive.predict(
            job, items, sample=sample, workers=max(1, workers), decoders=decoders
        )
        stdout.print(
            f"{counted(found.items, 'item')}, {found.hours:.2f} h ({found.items_per_hour:.0f} an hour, "
            f"{found.bytes_per_second / 1e6:.1f} MB/s); bottleneck: {found.bottleneck}"
        )
        return
    settings = archive.Settings(
        output, ledger=ledger, shard=_shard(shard), decoders=decoders, item_seconds=item_seconds
    )

    def tell(progress: archive.Progress) -> None:
        archive.write_metrics(output / "metrics.prom", progress, job.spec.task)
        stderr.print(str(progress), markup=False)

    if engine == "ray":
        done = archive.run_ray(job, items, settings, actors=max(1, workers), on_progress=tell)
    elif engine == "local":
        gpus = [device for device in devices.split(",") if device]
        done = archive.run_local(
            job, items, settings, workers=workers, devices=gpus, on_progress=tell
        )
    else:
        raise PolicyError(
            "There is no such engine.", remedy="Use local or ray.", code="archive.engine"
        )
    stdout.print(str(done), markup=False)
    if done.counts.get("failed", 0):
        raise typer.Exit(FINISHED_WITH_FAILURES)


def _shard(text: str) -> "Shard":
    from longllava_domains.archive import Shard

    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit()):
        raise PolicyError(
            "A share is spelled as two numbers.", remedy="Use --shard 3/8.", code="archive.shard"
        )
    return Shard(int(index), int(count))


def status(results: ResultsFolder) -> None:
    """Count items by outcome, for each spec."""
    from longllava_domains.archive import counts

    for spec, outcomes in counts(results).items():
        parts = ", ".join(f"{count} {status}" for status, count in sorted(outcomes.items()))
        stdout.print(f"{spec}: {parts or 'nothing yet'}", markup=False)


def retry(results: ResultsFolder, ledger: LedgerFolder = None) -> None:
    """Drop failed outcomes, so that the next run tries their items again."""
    from longllava_domains.archive import retry as drop_failures

    dropped = drop_failures(results, ledger=ledger)
    stdout.print(f"to be tried again: {counted(dropped, 'item')}")


def report(
    results: ResultsFolder,
    spec: Annotated[
        str | None, typer.Option(help="Key of the spec, where there are several")
    ] = None,
    earlier: Annotated[Path | None, typer.Option(help="Results of an earlier run")] = None,
) -> None:
    """Write report.md beside the results."""
    from longllava_domains.archive import drift, report_markdown, summarize
    from longllava_domains.archive.results.parts import place_whole, writing

    summary = summarize(results, spec)
    changes = drift(summary, summarize(earlier)) if earlier else None
    text = report_markdown(summary, changes)
    with writing():
        place_whole(results / "report.md", memoryview(text.encode()))
    stdout.print(text, markup=False)


def where(
    key: Annotated[str, typer.Argument(help="A study_key or item_id of the results")],
    linkage: Linkage,
) -> None:
    """Print where a study lies: patient data, for this terminal only."""
    from longllava_domains.archive import where as resolve

    for origin in resolve(key, linkage):
        stdout.print(f"{origin.item_id}  {origin.study_uid or '-'}  {origin.uri}", markup=False)


def forget(
    key: Annotated[str, typer.Argument(help="A study_key or item_id of the results")],
    manifest: Annotated[Path, typer.Option(help="The manifest")],
    linkage: Linkage,
    results: Annotated[Path | None, typer.Option(help="Folder of results to clean, too")] = None,
) -> None:
    """Remove a study from results, manifest and linkage; the archive itself is not touched."""
    from longllava_domains.archive import forget as remove

    removed = remove(key, manifest, linkage, results)
    stdout.print(f"removed: {counted(removed, 'row')} of results")
