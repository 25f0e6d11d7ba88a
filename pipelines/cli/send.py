"""Command that lets a draft report leave this machine: `send`, only when asked."""

import os
from pathlib import Path
from typing import Annotated

import typer

from longllava_domains.pipelines.cli.console import stdout
from longllava_domains.pipelines.cli.options.numbers import above_zero


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(send)


def send(
    report: Annotated[
        Path,
        typer.Argument(
            help="A DICOM SR file that `report --sr` wrote; its _findings.dcm goes with it"
        ),
    ],
    to: Annotated[str, typer.Option(help="https://host/path (STOW-RS) or dicom://TITLE@host:port")],
    audit: Annotated[Path, typer.Option(help="File that audit lines are appended to")],
    calling_title: Annotated[str, typer.Option(help="Our AE title for C-STORE")] = "LONGLLAVA",
    timeout_s: Annotated[
        float, typer.Option(help="Seconds to wait at each step", callback=above_zero)
    ] = 30.0,
) -> None:
    """Send a draft report to a PACS; a bearer token is read from LONGLLAVA_TOKEN."""
    from longllava_domains.pipelines.pacs import send as sending

    beside = report.with_name(f"{report.stem}_findings.dcm")
    for path in (report, beside) if beside.exists() else (report,):
        receipt = sending.send(
            path,
            destination=to,
            audit=audit,
            token=os.environ.get("LONGLLAVA_TOKEN"),
            calling_title=calling_title,
            timeout_s=timeout_s,
        )
        stdout.print(
            f"{path.name} sent to {receipt.destination}, status {receipt.status}", markup=False
        )
