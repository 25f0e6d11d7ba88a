"""The command line: `longllava`. Commands are grouped by what they need; this file joins them.

Exit codes: 0 done, 2 refused or bad input (one line and its remedy on stderr), 3 finished with
failed items, 130 interrupted.
"""

import sys
from collections.abc import Sequence

import typer

from longllava_domains.errors import LongLlavaError
from longllava_domains.pipelines.cli import answer as cli_answer
from longllava_domains.pipelines.cli import calibrate as cli_calibrate
from longllava_domains.pipelines.cli import finetune as cli_finetune
from longllava_domains.pipelines.cli import model as cli_model
from longllava_domains.pipelines.cli import plan as cli_plan
from longllava_domains.pipelines.cli import send as cli_send
from longllava_domains.pipelines.cli import views as cli_look
from longllava_domains.pipelines.cli.console import reveal_paths, stderr, tolerate_any_encoding

DONE, REFUSED = 0, 2

app = typer.Typer(
    help="LongLLaVA for CT, pathology and remote sensing. For research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (cli_answer, cli_look, cli_model, cli_finetune, cli_calibrate, cli_plan, cli_send):
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
        stderr.print(f"Refused: {error.message}", style="bold red", markup=False)
        stderr.print(f"  {error.remedy}", markup=False)
        reveal_paths(arguments, str(error))
        return REFUSED
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else DONE
    return DONE
