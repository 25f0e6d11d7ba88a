"""The command line: `longllava`. Commands are grouped by what they need; this file joins them.

Exit codes: 0 done, 2 refused or bad input (one line and its remedy on stderr), 3 finished with
failed items, 130 interrupted.
"""

import itertools
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Final

import typer

import longllava_domains
from longllava_domains.errors import LongLlavaError, PolicyError
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
    training_data,
    views,
)
from longllava_domains.pipelines.cli.console import (
    SeveralRefusalsError,
    names_argument,
    reveal_paths,
    stderr,
    stdout,
    tolerate_any_encoding,
)
from longllava_domains.pipelines.cli.evaluation import benchmark, harness, measures, own, reproduce
from longllava_domains.pipelines.cli.options.named import blamed, with_option
from longllava_domains.pipelines.cli.options.nearest import with_nearest
from longllava_domains.pipelines.cli.options.remedies import typed
from longllava_domains.pipelines.cli.options.together import require_together
from longllava_domains.pipelines.memory_remedies import out_of_memory

DONE, REFUSED = 0, 2
# Of every command, wherever it stands: what a refusal shows does not change what a command does.
SHOW_PATHS: Final = "--show-paths"
_LONG_DASHES: Final = ("\u2013", "\u2014")

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
    show_paths: Annotated[
        bool, typer.Option(SHOW_PATHS, help="Name files on this terminal in refusals")
    ] = False,
) -> None:
    """LongLLaVA for CT, pathology and remote sensing. For research use only."""


for group in (
    answer, find, views, model, plan, finetune, training_data, calibrate, evaluate, benchmark,
    own, measures, reproduce, harness, archive, send,
):  # fmt: skip
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    tolerate_any_encoding()
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; no error of ours shows a traceback."""
    try:
        _require_no_empty(arguments)
        words = [word for word in arguments if word != SHOW_PATHS]
        _require_plain_dashes(words)
        _require_no_dashed_file(words)
        _require_no_dashed_question(words)
        _require_once(words)
        require_together(running(words)[0], words)
        app(args=words)
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


def _require_no_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument: as a path it would mean the folder that the shell stands in.

    Raises:
        PolicyError: One is empty.
    """
    for before, word in zip(("", *arguments), arguments, strict=False):
        is_glued = word.startswith("--") and word.endswith("=")
        if word and not is_glued:
            continue
        option = word[:-1] if is_glued else before
        raise PolicyError(
            f"The value of {option} is empty."
            if option.startswith("-")
            else "An argument of the command is empty.",
            remedy="Write it out; a shell's variable may be unset. The folder you are in is a dot.",
            code="cli.empty",
        )


def _require_plain_dashes(arguments: Sequence[str]) -> None:
    """Refuse a long dash, which a text program made of two: no option begins with one.

    Raises:
        PolicyError: An argument begins with one.
    """
    for word in arguments:
        if word.startswith(_LONG_DASHES) and word[1:2].isalpha() and " " not in word:
            raise PolicyError(
                f"{word} begins with a long dash.",
                remedy=f"Write --{word[1:]}, with two short ones.",
                code="cli.dash",
            )


def _require_no_dashed_file(arguments: Sequence[str]) -> None:
    """Refuse a file whose name begins with a dash and reads as options.

    Raises:
        PolicyError: One is there.
    """
    before_dashes = itertools.takewhile(lambda word: word != "--", arguments)
    if any(word.startswith("-") and os.path.isfile(word) for word in before_dashes):
        raise PolicyError(
            "The name of a file begins with a dash, and reads as an option.",
            remedy="Write ./ before it.",
            code="cli.dash",
        )


def _require_no_dashed_question(arguments: Sequence[str]) -> None:
    """Refuse a text that begins with a dash, stands where no value does, and reads as an option.

    Raises:
        PolicyError: One does.
    """
    before_dashes = list(itertools.takewhile(lambda word: word != "--", arguments))
    for before, word in itertools.pairwise(before_dashes):
        option, _, text = word.partition(" ")
        if word.startswith("-") and text and "=" not in option and not before.startswith("-"):
            raise PolicyError(
                "A text begins with a dash, and reads as an option.",
                remedy="Write a space before the dash, inside the quotes.",
                code="cli.dash",
            )


def _require_once(arguments: Sequence[str]) -> None:
    """Refuse an option that is given twice and takes one value: the first would count for nothing.

    Raises:
        PolicyError: One is.
    """
    command = _command(arguments)[0]
    for parameter in command.params:
        given = [word for word in arguments if word.partition("=")[0] in parameter.opts]
        if len(given) > 1 and not parameter.multiple and parameter.param_type_name == "option":
            raise PolicyError(
                f"{parameter.opts[0]} is given {len(given)} times.",
                remedy="Give it once.",
                code="cli.once",
            )


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def running(arguments: Sequence[str]) -> tuple[str, frozenset[str]]:
    """Return the name of the command that arguments call, such as "archive scan", and its options."""
    command, names = _command(arguments)
    options = frozenset(name for parameter in command.params for name in parameter.opts)
    return " ".join(names), options | {"--help"}


def _command(arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the command that arguments call, and the words of its name."""
    command, names = _command_line(), []
    for argument in arguments:
        below = getattr(command, "commands", {}).get(argument)
        if below is None:
            break
        command = below
        names.append(argument)
    return command, names


def _refuse(error: LongLlavaError, arguments: list[str]) -> int:
    is_shown = SHOW_PATHS in arguments
    command, options = running([word for word in arguments if word != SHOW_PATHS])
    for one in error.errors if isinstance(error, SeveralRefusalsError) else (error,):
        message, remedy = (typed(text, command, options) for text in (one.message, one.remedy))
        remedy = with_nearest(message, remedy, blamed(one.code, options, arguments)[1])
        message = with_option(message, one.code, options, arguments, with_places=is_shown)
        if not is_shown and names_argument(arguments, message):
            remedy = f"{remedy} {SHOW_PATHS} names it."
        stderr.print(f"Refused: {message}", style="bold red", markup=False)
        stderr.print(f"  {remedy}", markup=False)
    if is_shown:
        reveal_paths(arguments, str(error))
    return REFUSED
