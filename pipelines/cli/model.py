"""Commands about a model: `inspect`, `doctor`."""

import typer
from rich.markup import escape
from rich.table import Table

from longllava_domains.pipelines.cli.console import stdout
from longllava_domains.pipelines.cli.options import AsJson, Checkpoint
from longllava_domains.units import human_bytes


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="inspect")(inspect)
    app.command()(doctor)


def inspect(
    model: Checkpoint,
    as_json: AsJson = False,
) -> None:
    """Read configuration and tensor headers only: mapping, missing, left over, sizes by part."""
    from longllava_domains.model import inspect_checkpoint

    found = inspect_checkpoint(model)
    if as_json:
        stdout.print_object(found.to_json())
        _leave(failed=not found.complete)
        return
    table = Table("part", "tensors", "parameters", "size")
    for part in found.parts:
        table.add_row(part.name, str(part.tensors), f"{part.parameters:,}", human_bytes(part.bytes))
    stdout.print(table)
    stdout.print(f"layout: {found.layout}")
    for title, names in (("missing", found.missing), ("left over", found.unexpected)):
        stdout.print(f"{title}: {len(names)}")
        for name in names[:20]:
            stdout.print(f"  {name}", markup=False)
    _leave(failed=not found.complete)


def doctor() -> None:
    """Versions, devices, what was proved to work, and how to install what is missing."""
    from longllava_domains.pipelines.doctor import examine

    table = Table("what", "status", "detail")
    colours = {"ok": "green", "absent": "yellow", "failed": "red"}
    findings = examine()
    for finding in findings:
        status = f"[{colours[finding.status]}]{finding.status}[/]"
        table.add_row(finding.name, status, escape(finding.detail))
    stdout.print(table)
    _leave(failed=any(finding.status == "failed" for finding in findings))


def _leave(*, failed: bool) -> None:
    """End with exit code 2 where what was looked at is not whole."""
    if failed:
        raise typer.Exit(2)
