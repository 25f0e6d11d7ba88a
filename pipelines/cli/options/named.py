"""The option that an error is about: an error raised far below knows its cause, and no option.

One table from the code of an error to options. The one that was typed is put before a message that
names no option, with the value as it was typed, so that a long command shows what to change.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

# Code of an error -> options that can be its cause.
OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "adapter.absent": ("--adapter",),
    "adapter.domain": ("--adapter",),
    "archive.deadline": ("--deadline",),
    "archive.domain": ("--domain",),
    "archive.files": ("--files",),
    "archive.task": ("--task",),
    "calibration.file": ("--calibration",),
    "cli.hu": ("--hu",),
    "checkpoint.absent": ("--model", "--base"),
    "checkpoint.no_config": ("--model", "--base"),
    "ct.repair": ("--repair",),
    "device.absent": ("--device",),
    "domain.unknown": ("--domain",),
    "evaluate.protocol": ("--protocol",),
    "find.dialect": ("--dialect",),
    "hu.rule": ("--hu",),
    "measure.curve": ("--points",),
    "measure.efficiency": ("--kind",),
    "model.hub": ("--model", "--base", "--adapter"),
    "model.dtype": ("--dtype", "--precision"),
    "nifti.repair": ("--repair",),
    "plan.device": ("--device",),
    "plan.tokens_per_view": ("--tokens-per-image",),
    "preset.unknown": ("--preset",),
    "quantization.unknown": ("--quantization", "--precision"),
    "raster.aoi": ("--aoi",),
    "raster.aoi_outside": ("--aoi",),
    "raster.chips": ("--overlap", "--chip-px"),
    "raster.no_band": ("--bands",),
    "raster.stretch": ("--stretch",),
    "raster.unreadable_crs": ("--crs",),
    "report.mode": ("--mode",),
    "reproduce.table": ("--table",),
    "send.destination": ("--to",),
    "series.purpose": ("--purpose",),
    "series.unknown": ("--series",),
    "slide.geojson": ("--region", "--tissue", "--zoom-at"),
    "slide.outside": ("--region", "--zoom-at"),
    "tokenizer.missing": ("--tokenizer",),
    "training.layout": ("--layout",),
    "training.report_to": ("--report-to",),
    "window.unknown": ("--window",),
}
# Their values are places on the disk, or can be: repeated only where paths may be shown.
_PLACES: Final = frozenset(
    {"--adapter", "--aoi", "--base", "--calibration", "--model", "--region", "--tissue",
     "--tokenizer", "--zoom-at"}
)  # fmt: skip


def with_option(
    message: str,
    code: str,
    options: Collection[str],
    arguments: Sequence[str],
    *,
    with_places: bool = False,
) -> str:
    """Return a message that begins with the option that was typed; as it is where it names one.

    Args:
        message: Of an error.
        code: Of it.
        options: Options of the command that runs.
        arguments: As they were typed.
        with_places: Repeat places on the disk, too: this terminal was allowed to show them.
    """
    name, value = blamed(code, options, arguments)
    if name is None or name in message or message.startswith("--"):
        return message
    is_shown = (with_places or name not in _PLACES) and value is not None
    return f"{name} {value}: {message}" if is_shown else f"{name}: {message}"


def blamed(
    code: str, options: Collection[str], arguments: Sequence[str]
) -> tuple[str | None, str | None]:
    """Return the option that is the cause of an error, and its value if it was given once.

    Args:
        code: Of the error.
        options: Options of the command that runs.
        arguments: As they were typed.
    """
    typed = {name: _values(name, arguments) for name in OPTIONS.get(code, ()) if name in options}
    given = [name for name, values in typed.items() if values]
    if len(given) != 1:
        return None, None
    values = typed[given[0]]
    return given[0], values[0] if len(values) == 1 else None


def _values(name: str, arguments: Sequence[str]) -> list[str]:
    """Return what was given to an option, in either spelling."""
    after = [value for word, value in pairwise(arguments) if word == name]
    return after + [word[len(name) + 1 :] for word in arguments if word.startswith(f"{name}=")]
