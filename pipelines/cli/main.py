"""The command line: `longllava`. Commands are grouped by what they need; this file joins them.

Exit codes: 0 done, 2 refused or bad input (one line and its remedy on stderr), 3 finished with
failed items, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import longllava_domains
from longllava_domains.errors import LongLlavaError
from longllava_domains.pipelines.cli import (
    answer,
    archive,
    calibrate,
    evaluate,
    find,
    finetune,
    model,
    plan,
    send,
    views,
)
from longllava_domains.pipelines.cli.console import (
    reveal_paths,
    stderr,
    stdout,
    tolerate_any_encoding,
)
from longllava_domains.pipelines.cli.evaluation import benchmark, harness, measures, own, reproduce
from longllava_domains.pipelines.memory_remedies import out_of_memory

DONE, REFUSED = 0, 2

app = typer.Typer(
    help="LongLLaVA for CT, pathology and remote sensing. For research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        stdout.print(f"longllava-domains {longllava_domains.__version__}", markup=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version")
    ] = False,
) -> None:
    """LongLLaVA for CT, pathology and remote sensing. For research use only."""


for group in (
    answer, find, views, model, plan, finetune, calibrate, evaluate, benchmark, own, measures, reproduce,
    harness, archive, send,
):  # fmt: skip
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    tolerate_any_encoding()
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; no error of ours shows a traceback."""
    try:
        app(args=arguments)
    except LongLlavaError as error:
        return _refuse(error, arguments)
    except (MemoryError, RuntimeError) as error:
        found = out_of_memory(error)
        if found is None:
            raise
        return _refuse(found, arguments)
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else DONE
    return DONE


def _refuse(error: LongLlavaError, arguments: list[str]) -> int:
    stderr.print(f"Refused: {error.message}", style="bold red", markup=False)
    stderr.print(f"  {error.remedy}", markup=False)
    reveal_paths(arguments, str(error))
    return REFUSED
