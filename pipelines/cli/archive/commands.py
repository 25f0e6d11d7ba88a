"""Commands over whole archives: `archive scan`, `plan`, `run`, `status`, `retry`, `report`, `where`, `forget`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from longllava_domains.errors import OutputError, PolicyError
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.pipelines.cli.archive.run import (
    DRY_RUN,
    RUNNING,
    SCANNING,
    LedgerFolder,
    run,
)
from longllava_domains.pipelines.cli.console import stdout, written
from longllava_domains.pipelines.cli.options.numbers import above_zero, at_least
from longllava_domains.pipelines.cli.options.shared import LOADING, sharing
from longllava_domains.pipelines.cli.outputs import (
    about,
    require_file_place,
    require_folder,
    require_one_each,
)
from longllava_domains.units import counted, human_bytes

_PARQUET: Final = b"PAR1"
_MANIFEST: Final = ".parquet"

ResultsFolder = Annotated[Path, typer.Argument(help="Folder of the results")]
Linkage = Annotated[Path, typer.Option(help="The linkage file that the scan wrote; patient data")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Score whole archives, resumable.", no_args_is_help=True)
    group.command()(scan)
    group.command()(
        sharing(run, loading=LOADING, running=RUNNING, scanning=SCANNING, trial=DRY_RUN)
    )
    for command in (plan, status, retry, report, where, forget):
        group.command()(command)
    app.add_typer(group, name="archive")


def _require_manifest(output: Path) -> None:
    """Refuse a manifest of another ending, and to replace a file that is no manifest of a scan.

    Raises:
        OutputError: The name does not say what is written, or something else is there.
    """
    if output.suffix.lower() != _MANIFEST:
        raise OutputError(
            "The ending of the name is not that of the file that is written.",
            remedy=f"End it with {_MANIFEST}.",
            code="archive.output",
        )
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


def _require_scan_files(source: str, manifest: Path, linkage: Path, secret: Path | None) -> None:
    """Refuse files of a scan that lie in its source, or that another file's name is taken by.

    Raises:
        OutputError: One of these.
    """
    with about("--output"):
        require_folder(manifest.parent, source)  # it is made, for its owner alone
        _require_manifest(manifest)
    with about("--linkage"):
        if linkage.parent != manifest.parent:
            require_file_place(linkage, source)
        _require_manifest(linkage)
    require_one_each({"--output": manifest, "--linkage": linkage})
    with about("--secret"):
        require_folder(None if secret is None else secret.parent, source)


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
    from longllava_domains.archive import scan_archive
    from longllava_domains.archive.manifest.listings.listing import require_source
    from longllava_domains.archive.manifest.manifest import linkage_beside, scan_files
    from longllava_domains.archive.manifest.secret import default_secret, scanning_with

    require_source(source)
    tied = linkage or linkage_beside(output)
    _require_scan_files(source, output, tied, secret)
    with scanning_with(secret or default_secret()) as own:
        found = scan_archive(source, domain, output, secret=own, linkage=tied)
    stdout.print(
        f"{counted(found.items, 'item')}, {human_bytes(found.bytes)}; "
        f"{counted(found.files, 'file')}, {found.read} read, {found.gone} gone, "
        f"in {found.seconds:.1f} s"
    )
    written(*scan_files(output, tied))
    for title, codes in (("refusals to expect", found.expected), ("set aside", found.set_aside)):
        for code, count in codes.items():
            stdout.print(f"  {title}: {count} {code}", markup=False)


def _public_index(source: str) -> str:
    """Check a source before options that it may not need are asked for.

    Raises:
        PolicyError: It is not the public index.
    """
    from longllava_domains.archive.manifest.listings.idc_series import IDC

    if not source.startswith(IDC):
        raise PolicyError(
            "Only the public index is planned without a manifest.",
            remedy="Name it idc: with its colon, or idc:PATH. A source of your own is scanned, and planned "
            "with longllava archive run --dry-run.",
            code="archive.plan",
        )
    return source


def plan(
    source: Annotated[
        str, typer.Argument(help="idc:, or idc:PATH of an index file", callback=_public_index)
    ],
    domain: Annotated[str, typer.Option(help="ct or pathology")],
    seconds_per_item: Annotated[
        float, typer.Option(help="Of one worker, as a dry run says", callback=above_zero)
    ],
    read_mb: Annotated[
        float, typer.Option(help="Megabytes a second that all workers read", callback=above_zero)
    ],
    workers: Annotated[int, typer.Option(help="Workers", callback=at_least(1))] = 1,
) -> None:
    """Plan a run over the public Imaging Data Commons from its index; nothing is downloaded."""
    from longllava_domains.archive import plan_idc
    from longllava_domains.archive.manifest.idc import READ_FROM
    from longllava_domains.archive.manifest.listings.idc_series import IDC

    place = source.removeprefix(IDC)
    found = plan_idc(
        domain,
        seconds_per_item=seconds_per_item,
        read_bytes_per_second=read_mb * 1e6,
        workers=workers,
        index=Path(place) if place else None,
    )
    lines = [
        f"{found.index_series:,} series in the index, {found.series:,} of this domain, "
        f"{found.studies:,} studies",
        f"{found.items:,} items, {human_bytes(found.bytes)} (median "
        f"{human_bytes(found.median_bytes)}, largest {human_bytes(found.largest_bytes)})",
        f"{found.hours:,.1f} h; bottleneck: {found.bottleneck}",
        f"not chosen: {found.not_chosen:,}; equally good, the loader decides: {found.ambiguous:,}",
        *(
            f"refusals to expect: {count:,} {code} (column {READ_FROM[code]})"
            for code, count in found.refused.items()
        ),
    ]
    for line in lines:
        stdout.print(line, markup=False)


def status(results: ResultsFolder) -> None:
    """Count items by outcome, for each spec."""
    from longllava_domains.archive import counts

    for spec, outcomes in counts(results).items():
        parts = ", ".join(f"{count} {status}" for status, count in sorted(outcomes.items()))
        stdout.print(f"{spec}: {parts or 'nothing yet'}", markup=False)


def retry(
    results: ResultsFolder,
    ledger: LedgerFolder = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Refusals, too, such as after an update")
    ] = False,
) -> None:
    """Drop failed outcomes, so that the next run tries their items again."""
    from longllava_domains.archive import retry as drop_outcomes
    from longllava_domains.archive.outcome import Status

    statuses: list[Status] = ["failed", "refused"] if refused else ["failed"]
    dropped = drop_outcomes(results, statuses=statuses, ledger=ledger)
    stdout.print(f"to be tried again: {counted(dropped, 'item')}")


def report(
    results: ResultsFolder,
    spec: Annotated[
        str | None, typer.Option(help="Key of the spec, where there are several")
    ] = None,
    earlier: Annotated[Path | None, typer.Option(help="Results of an earlier run")] = None,
) -> None:
    """Write report.md and report.html beside the results; one pair for each spec."""
    from longllava_domains.archive import write_reports

    for written_text in write_reports(results, spec, earlier):
        stdout.print(written_text, markup=False)


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
    ledger: LedgerFolder = None,
    documents: Annotated[
        Path | None, typer.Option(help="Folder of SR and FHIR files to look through, too")
    ] = None,
) -> None:
    """Remove a study from results, documents, manifest and linkage; the archive is not touched."""
    from longllava_domains.archive import Manifest
    from longllava_domains.archive import forget as remove
    from longllava_domains.archive.manifest.lookup import require_linkage

    with about("--linkage"):  # both are looked at before the first row goes
        require_linkage(linkage)
    with about("--manifest"):
        next(Manifest(manifest)(), None)
    gone = remove(key, manifest, linkage, results, ledger=ledger, documents=documents)
    removed = f"removed: {counted(gone.rows, 'row')} of results"
    stdout.print(f"{removed}, {counted(gone.documents, 'document')}")
    for name in gone.left:
        stdout.print(f"not where the run wrote it, delete it where it is now: {name}", markup=False)
    if results is None:
        stdout.print(
            "No results were cleaned: repeat the command with --results FOLDER for each folder that a "
            "run wrote."
        )
    if gone.documents or gone.left:
        stdout.print("Copies of documents that were sent on, to a PACS say, are not reached.")
