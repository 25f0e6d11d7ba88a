"""`longllava evaluate own`: a site's own labels against a model's scores, by subgroup."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from longllava_domains.evaluate.own.score import SMALLEST, score_own
from longllava_domains.evaluate.own.show import own_head, own_lines, save_own_card
from longllava_domains.files import require_apart, require_writable
from longllava_domains.pipelines.cli.console import stdout, written
from longllava_domains.pipelines.cli.evaluate import evaluating, print_table
from longllava_domains.pipelines.cli.options.shared import AsJson


def register(app: typer.Typer) -> None:
    """Add the command to ``longllava evaluate``."""
    evaluating.command()(own)


def own(
    labels: Annotated[Path, typer.Argument(help="Table: scan, findings as 0 and 1, sex, age ...")],
    results: Annotated[
        Path, typer.Option(help="Archive results, a folder of report JSONs, or a table of scores")
    ],
    linkage: Annotated[
        Path | None, typer.Option(help="The archive's linkage file, for study UIDs")
    ] = None,
    spec: Annotated[
        str | None, typer.Option(help="Archive results: key of the spec, where there are several")
    ] = None,
    finding: Annotated[
        list[str] | None, typer.Option(help="A column that is a finding; repeat for several")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Probability from which one is present")] = 0.5,
    smallest: Annotated[int, typer.Option(help="Least patients behind a figure")] = SMALLEST,
    draws: Annotated[int, typer.Option(help="Of patients, for the intervals")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draws")] = 0,
    out: Annotated[Path | None, typer.Option(help="The card: .html, .md or .json")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model on your own labels, by sex, age, scanner and protocol. No model is loaded."""
    if out is not None:
        require_apart(out, labels, results, linkage)
        require_writable(out, overwrite=True)
    found = score_own(
        labels, results, linkage=linkage, spec=spec, findings=finding, threshold=threshold,
        smallest=smallest, draws=draws, seed=seed,
    )  # fmt: skip
    if out is not None:
        save_own_card(found, out, overwrite=True)
    if as_json:
        stdout.print_object(found.to_json())
    else:
        for label in found.cells:
            table = Table(*own_head(found), title=label, title_justify="left")
            for line in own_lines(found, label):
                table.add_row(*line)
            print_table(table)
        for name, count in found.counts.items():
            stdout.print(f"{name}: {count:,}", markup=False)
        for note in found.notes:
            stdout.print(f"note: {note}", markup=False)
    if out is not None:
        written(out)
