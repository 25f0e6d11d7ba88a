"""Output of every command: two consoles, progress, and paths on request."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longllava_domains.errors import LongLlavaError, OutputError, PolicyError
from longllava_domains.units import short_hash

_HASH: Final = re.compile(r"\b[0-9a-f]{8}\b")
_MOST_NAMES: Final = 10_000  # names of a folder that are compared with a message unasked


class ResultConsole(Console):
    """Prints results, in any encoding, or says in one sentence why it cannot."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does.

        Raises:
            OutputError: Nothing more can be written there.
        """
        try:
            super().print(*objects, **options)
        except OSError as error:
            # What is left in the buffer would fail once more when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputError(
                f"The result cannot be printed ({os.strerror(error.errno or 0)}).",
                remedy="Send it to a file on a disk with space, or to a terminal.",
                code="cli.stdout",
            ) from None

    def print_object(self, value: Mapping[str, Any]) -> None:
        """Print JSON that stays JSON where the output cannot hold all of Unicode."""
        is_unicode = self.encoding.replace("-", "").startswith("utf")
        self.print_json(json.dumps(value), ensure_ascii=not is_unicode)


def tolerate_any_encoding() -> None:
    """Spell what the terminal's encoding lacks as escapes instead of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


stdout = ResultConsole(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

OnProgress = Callable[[str, int, int], None]


@contextmanager
def progress() -> Iterator[OnProgress]:
    """Yield a callback ``(stage, done, total)`` that draws bars on stderr, quiet off a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bars:
        tasks = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


def written(*things: Path | str) -> None:
    """Name files that were written, on stderr: what is printed may be JSON."""
    stderr.print(f"written: {', '.join(map(str, things))}", markup=False)


def is_input(word: str) -> bool:
    """Return whether a word names what is there, or a link."""
    return "://" in word or os.path.exists(word)


def require_model(model: str | None, option: str = "--model") -> str:
    """Return the model named, or refuse with the choices: a model is never guessed.

    Args:
        model: What was typed.
        option: That names it in this command.

    Raises:
        PolicyError: No model was named.
    """
    if model:
        return model
    raise PolicyError(
        "No model is named.",
        remedy=f"Add {option} demo (packaged, for trying things out), {option} FOLDER, or {option} "
        "ORG/NAME such as FreedomIntelligence/LongLLaVAMed-9B.",
        code="cli.model",
    )


class SeveralRefusalsError(PolicyError):
    """More than one thing is wrong with what was typed.

    Args:
        errors: Each with its own remedy.

    Attributes:
        errors: As given.
    """

    def __init__(self, errors: Sequence[LongLlavaError]) -> None:
        super().__init__(
            " ".join(error.message for error in errors),
            remedy=" ".join(error.remedy for error in errors),
            code="cli.several",
        )
        self.errors = tuple(errors)


def refuse_together(*checks: Callable[[], object]) -> None:
    """Run checks that cost little, and refuse all that is wrong at once, not one thing a run.

    Raises:
        LongLlavaError: One thing is wrong.
        SeveralRefusalsError: Several are.
    """
    found: list[LongLlavaError] = []
    for check in checks:
        try:
            check()
        except LongLlavaError as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        raise SeveralRefusalsError(found)


def names_argument(arguments: Sequence[str], message: str) -> bool:
    """Return whether a message names a word of the command, or a file in a folder of it, by its hash."""
    if _HASH.search(message) is None:
        return False
    named = (name for argument in arguments for name, _ in _names(argument))
    return any(short_hash(name) in message for name in islice(named, _MOST_NAMES))


def reveal_paths(arguments: Sequence[str], message: str) -> None:
    """Print the paths behind the hashes of a message, on this terminal only.

    Args:
        arguments: As they were typed; whatever is no path is passed over.
        message: Of a refusal.
    """
    told = set()
    for argument in arguments:
        if argument.startswith("-"):
            continue
        for name, path in _names(argument):
            if short_hash(name) in message and (name, path) not in told:
                told.add((name, path))
                stderr.print(f"  {short_hash(name)} is {path}", markup=False)


def _names(argument: str) -> Iterator[tuple[str, str]]:
    """Yield the names under which an argument, or what lies in it, may be hashed, each with its path."""
    place = argument.partition("#")[0]  # FOLDER#PART, and LAYOUT:PLACE
    words = dict.fromkeys((argument, place, place.partition(":")[2]))
    for word in filter(None, words):
        yield word, word
        if not os.path.exists(word):
            continue
        root = Path(word)
        yield root.name, word
        yield str(root), word
        for path in root.rglob("*") if root.is_dir() else ():
            for name in dict.fromkeys((path.name, str(path), str(path.relative_to(root)))):
                yield name, str(path)
