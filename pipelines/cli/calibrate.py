"""The command `calibrate`: from saved reports and labels to a file that --calibration takes."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from longllava_domains.errors import PolicyError
from longllava_domains.files import write_text
from longllava_domains.pipelines.cli.console import stdout
from longllava_domains.pipelines.cli.outputs import require_json, require_new
from longllava_domains.units import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    reports: Annotated[Path, typer.Argument(help="Folder of report JSONs named by scan")],
    labels: Annotated[Path, typer.Argument(help="CSV as CT-RATE's labels: VolumeName, 0 or 1")],
    output: Annotated[Path, typer.Option(help="New JSON file")],
    population: Annotated[str, typer.Option(help="Whom it holds for, in words")],
) -> None:
    """Fit probabilities to margins on held-out patients, and measure what they are worth."""
    from longllava_domains.adapters.training.calibrate import fit_calibration
    from longllava_domains.adapters.training.calibration_files import read_held_out

    require_json(output)
    require_new(output, reports, labels)
    if not population.strip():
        raise PolicyError(
            "--population says nothing.",
            remedy='Say whom the probabilities hold for, such as --population "adults, chest CT".',
            code="cli.population",
        )
    held_out, fingerprint, limits = read_held_out(reports, labels)
    made = fit_calibration(held_out, fingerprint, population, limits=limits)
    write_text(output, json.dumps(made, indent=2) + "\n")
    table = Table(
        "label", "error before", "after (95 %)", "threshold", "sensitivity", "specificity"
    )
    for label, fit in made["labels"].items():
        low, high = fit["error_interval"]
        table.add_row(
            label, f"{fit['error'][0]:.3f}", f"{fit['error'][1]:.3f} ({low:.3f} to {high:.3f})",
            f"{fit['threshold']:.3f}", f"{fit['sensitivity']:.3f}", f"{fit['specificity']:.3f}",
        )  # fmt: skip
    stdout.print(table)
    for label, why in made["not_fitted"].items():
        stdout.print(f"{label}: not fitted, {why}", markup=False)
    for name, values in made["limits"].items():
        stdout.print(f"fitted on {name}: {limit_text(values)}", markup=False)
    stdout.print(f"{counted(made['scans'], 'scan')} of {counted(made['patients'], 'patient')}")


def limit_text(values: list[str] | list[float]) -> str:
    """Return a limit as a person reads it: words, or a range of numbers."""
    if isinstance(values[0], str):
        return ", ".join(map(str, values))
    return f"{values[0]:g} to {values[-1]:g}"
