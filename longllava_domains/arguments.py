"""Arguments of public functions: another kind than the annotation says is refused before anything is done.

Most notebooks run without a type checker, and Python itself fails late, in a line that the caller never wrote.
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import is_dataclass
from decimal import Decimal
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Final, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np

from longllava_domains.errors import PolicyError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=type[Any])

# What to type where an object of ours is meant.
_EXAMPLES: Final = {
    "AnsweringModel": 'what load_model("demo") returns; from_pretrained("demo") makes a whole pipeline',
    "CTPreset": "pipeline.preset of a CTReport",
    "ChestPhantom": "chest_phantom(), or labelled_chest(7).phantom",
    "Calibration": 'Calibration.from_file("calibration.json")',
    "GridPolicy": "remote_sensing.GridPolicy(max_tokens=8192)",
    "Sampling": "Sampling(temperature=0.7, seed=1)",
    "SlicePolicy": 'ct.SlicePolicy(windows=("lung",))',
    "TilePolicy": "pathology.TilePolicy(max_views=20)",
    "VisionLanguageModel": 'what load_model("demo") returns; from_pretrained("demo") makes a whole pipeline',
    "VisualSequence": "volume.to_sequence()",
    "ZoomPolicy": "pathology.ZoomPolicy(fields=4)",
}
_NUMBERS: Final[dict[Any, Any]] = {int: Integral, float: (Real, Decimal)}


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function refuse arguments that its annotations do not allow.

    Loosely: any whole number is an int, any real one a float, a list stands for a tuple, an array for a
    sequence, and a value of a `Literal` is left to the function, which knows the nearest. What cannot be judged is let through.

    Raises:
        PolicyError: By the function: an argument is of another kind.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # of Python, which names the argument that is missing or unknown
            return function(*args, **kwargs)
        for name, value in given.items():
            parameter = signature.parameters[name]
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                _require(name, value, parameter.annotation)
        return function(*args, **kwargs)

    return call


def checked_fields(cls: _C) -> _C:
    """Let a dataclass refuse fields that its annotations do not allow, as `checked` does."""
    assert is_dataclass(cls)
    cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]
    return cls


def require_questions(questions: Iterable[str]) -> list[str]:
    """Return questions as a list; refuse one that holds nothing but spaces.

    Raises:
        PolicyError: One does, or is no text.
    """
    asked = list(questions)
    for question in asked:
        _require("question", question, str)
        if not question.strip():
            raise PolicyError(
                "The question is empty.",
                remedy="Write it out; a variable may be unset.",
                code="argument.empty",
            )
    return asked


def _require(name: str, value: object, annotation: Any) -> None:
    if isinstance(value, str) and not value and any(map(_is_path, _choices(annotation))):
        raise PolicyError(
            f"The argument {name} is an empty path.",
            remedy='Write it out; a variable may be unset. The folder you are in is ".".',
            code="argument.empty",
        )
    if _fits(value, annotation):
        return
    raise PolicyError(
        f"The argument {name} {_found(value, annotation)}.",
        remedy=f"Pass {_meant(annotation)}.",
        code="argument.kind",
    )


def _fits(value: object, annotation: Any) -> bool:
    """Say whether a value may be meant by an annotation."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(annotation))
    if origin is Literal:
        return isinstance(value, tuple(type(each) for each in get_args(annotation)))
    if annotation is None or annotation is NoneType:
        return value is None
    if origin is not None and isinstance(origin, type):
        return _holds(value, origin, get_args(annotation))
    if annotation in _NUMBERS:
        return isinstance(value, _NUMBERS[annotation]) and not isinstance(value, bool)
    if annotation in (Any, inspect.Parameter.empty) or not isinstance(annotation, type):
        return True
    if getattr(annotation, "_is_protocol", False):
        public = [name for name in vars(annotation) if not name.startswith("_")]
        return any(hasattr(value, name) for name in public)
    if issubclass(annotation, os.PathLike):
        return isinstance(value, os.PathLike)
    return isinstance(value, annotation)


def _holds(value: object, origin: type, inside: tuple[Any, ...]) -> bool:
    """Say whether a value is a container of a kind, and its items what may stand there."""
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    if origin is tuple:
        if isinstance(value, (str, bytes)) or not (
            isinstance(value, Sized) and isinstance(value, Iterable)
        ):
            return False
        items = tuple(value)
        if inside[-1] is Ellipsis:
            return all(_fits(item, inside[0]) for item in items)
        return len(items) == len(inside) and all(map(_fits, items, inside))
    if isinstance(value, np.ndarray) and origin is Sequence and value.ndim:
        return all(_fits(item, inside[0]) for item in value)
    if not isinstance(value, origin) or isinstance(value, (str, bytes)):
        return False
    if isinstance(value, (tuple, list)) and len(inside) == 1:
        return all(_fits(item, inside[0]) for item in value)
    return True


def _found(value: object, annotation: Any) -> str:
    """Say what was given: its kind alone, since a value may be a patient's name."""
    if isinstance(value, (tuple, list)) and any(map(_is_container, _choices(annotation))):
        return f"is a {type(value).__name__} that holds something else, too few or too many"
    return "is None" if value is None else f"is {_a(type(value).__name__)}"


def _meant(annotation: Any) -> str:
    """Say what an annotation allows, in words that can be typed."""
    told = list(dict.fromkeys(_kind(each) for each in _choices(annotation)))
    *first, last = told
    text = f"{', '.join(first)} or {last}" if first else last
    names = [getattr(each, "__name__", "") for each in _choices(annotation)]
    example = next((_EXAMPLES[name] for name in names if name in _EXAMPLES), None)
    return text if example is None else f"{text}, such as {example}"


def _choices(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _is_container(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Iterable)


def _is_path(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, os.PathLike)


def _kind(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is NoneType:
        return "None"
    if origin is Literal:
        return " or ".join(repr(each) for each in inside)
    if isinstance(origin, type) and issubclass(origin, Callable):  # type: ignore[arg-type]
        return "a function"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a dict"
    if origin is np.ndarray:
        return "a NumPy array"
    if origin is tuple and inside and inside[-1] is not Ellipsis:
        return f"a tuple of {len(inside)}"
    if _is_container(annotation):
        (item,) = inside[:1] or (object,)
        return "a list" if item is Any else f"a list, each item {_meant(item)}"
    return _a(getattr(annotation, "__name__", str(annotation)))


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"
