"""Commands about a model: `inspect`, `doctor`."""

from dataclasses import asdict

import typer
from rich.markup import escape
from rich.table import Table

from longllava_domains.pipelines.cli.console import stdout
from longllava_domains.pipelines.cli.options.shared import AsJson, Checkpoint
from longllava_domains.units import human_bytes

# How a checkpoint's tensors are named.
_LAYOUTS = {
    "released": "names of the original code",
    "stock": "names of LLaVA in transformers",
    "own": "names of this package",
}


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
    stdout.print(f"layout: {found.layout} ({_LAYOUTS[found.layout]})")
    for title, names in (("missing", found.missing), ("left over", found.unexpected)):
        stdout.print(f"{title}: {len(names)}")
        for name in names[:20]:
            stdout.print(f"  {name}", markup=False)
    _leave(failed=not found.complete)


def doctor(as_json: AsJson = False) -> None:
    """Versions, devices, what was proved to work, and how to install what is missing."""
    from longllava_domains.pipelines.doctor import examine

    found = examine()
    failed = any(one.status == "failed" for one in found)
    if as_json:
        stdout.print_object({"checks": [asdict(one) for one in found], "failed": failed})
        _leave(failed=failed)
        return
    table = Table("what", "status", "detail")
    colours = {"ok": "green", "absent": "yellow", "failed": "red"}
    for one in found:
        table.add_row(one.name, f"[{colours[one.status]}]{one.status}[/]", escape(one.detail))
    stdout.print(table)
    _leave(failed=failed)


def _leave(*, failed: bool) -> None:
    """End with exit code 2 where what was looked at is not whole."""
    if failed:
        raise typer.Exit(2)
