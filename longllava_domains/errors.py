"""Every error a user can meet.

    LongLlavaError
    |- InputError                 a file, folder or array is not what its loader takes
    |  |- NotFoundError           nothing at that place, or nothing usable in it
    |  |- UnsupportedInputError   a format, object or feature we do not read
    |  |- DamagedInputError       truncated, inconsistent or undecodable bytes
    |  |- GeometryError           positions, spacing or orientation cannot be proved
    |  |- IntensityError          Hounsfield units or pixel values cannot be proved
    |  |- AmbiguousInputError     more than one reading is possible: choose
    |  |- GeoreferenceError       a raster's place on Earth cannot be proved
    |  |- BurnedInError           pixels may show a patient's name
    |  `- NetworkError            a server refused, or could not be reached; also an OutputError
    |- PolicyError                also a ValueError: an argument, policy or preset that cannot be followed
    |- PromptError                text and views do not make a prompt
    |- AnswerError                a model's text cannot be read as the answer asked for
    |- ModelError
    |  |- CheckpointError         tensors missing, left over or wrongly shaped
    |  |- TokenizerError          no usable tokenizer, or ids outside the vocabulary
    |  |- DeviceError             a device or kernel that is absent or fails its proof
    |  |- QuantizationError       an unknown precision, or one that does not match
    |  |- SessionError            a session that is closed, cancelled or cannot go on
    |  |- MemoryBudgetError       would not fit, with the largest setting that does
    |  `- TrainingError           a training that cannot begin or go on
    `- OutputError                a result cannot be written as asked

A message says what failed and what was found; `remedy` says what to do; `facts`
carries the numbers. None of the three ever holds a value read from a header, a
file name or a path: name a file by its position and `units.short_hash`.
"""

from collections.abc import Callable, Mapping
from functools import partial

Fact = str | int | float | bool | None | tuple[float, ...] | tuple[int, ...] | tuple[str, ...]


class LongLlavaError(Exception):
    """Base of every error of this package.

    Args:
        message: What failed and what was found, one sentence.
        remedy: What the reader can do about it, one sentence.
        code: Stable machine-readable name such as ``"ct.tilt"``; defaults to the class name.
        facts: The numbers behind the message, free of patient data.

    Example:
        >>> try:
        ...     raise GeometryError("The gantry is tilted by 18.5 degrees.",
        ...                         remedy='Pass repair=("tilt",).', code="ct.tilt",
        ...                         facts={"tilt_deg": 18.5})
        ... except LongLlavaError as error:
        ...     print(error.code, error.facts["tilt_deg"])
        ct.tilt 18.5
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str,
        code: str | None = None,
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code or type(self).__name__
        self.facts: dict[str, Fact] = dict(facts or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"

    def __reduce__(self) -> "tuple[Callable[..., LongLlavaError], tuple[object, ...]]":
        # Errors travel between processes; by itself, pickle knows only positional arguments.
        rebuild = partial(type(self), remedy=self.remedy, code=self.code, facts=self.facts)
        return rebuild, (self.message,)


class InputError(LongLlavaError):
    """A file, folder or array is not what its loader takes."""


class NotFoundError(InputError):
    """Nothing is at that place, or nothing usable is in it."""


class UnsupportedInputError(InputError):
    """A format, object or feature that this package does not read."""


class DamagedInputError(InputError):
    """Bytes that are truncated, inconsistent or cannot be decoded."""


class GeometryError(InputError):
    """Positions, spacing or orientation cannot be proved."""


class IntensityError(InputError):
    """Hounsfield units or pixel values cannot be proved."""


class AmbiguousInputError(InputError):
    """More than one reading is possible and the user must choose."""


class GeoreferenceError(InputError):
    """A raster's place on Earth cannot be proved."""


class BurnedInError(InputError):
    """Pixels may show a patient's name."""


class PolicyError(LongLlavaError, ValueError):
    """An argument, policy or preset that cannot be followed."""


class PromptError(LongLlavaError):
    """Text and views do not make a prompt."""


class AnswerError(LongLlavaError):
    """A model's text cannot be read as the answer that was asked for."""


class ModelError(LongLlavaError):
    """The model cannot be loaded or run as asked."""


class CheckpointError(ModelError):
    """Tensors are missing, left over or wrongly shaped, or a file of the model is damaged."""


class TokenizerError(ModelError):
    """There is no usable tokenizer, or ids lie outside the vocabulary."""


class DeviceError(ModelError):
    """A device or kernel is absent or fails its proof."""


class QuantizationError(ModelError):
    """An unknown precision, or one that does not match the checkpoint."""


class SessionError(ModelError):
    """A session is closed, was cancelled or cannot go on."""


class MemoryBudgetError(ModelError):
    """The work would not fit in memory; the facts name the largest setting that does."""


class TrainingError(ModelError):
    """A training cannot begin, or cannot go on; its last checkpoint is kept."""


class OutputError(LongLlavaError):
    """A result cannot be written as asked."""


class NetworkError(InputError, OutputError):
    """A server refused the request or could not be reached, while reading or while writing."""
