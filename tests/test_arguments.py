"""Arguments of another kind than the annotation says are refused, and everything that may be meant passes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from longllava_domains.arguments import checked, checked_fields, require_questions
from longllava_domains.errors import PolicyError


class Model(Protocol):
    """Interface with one method."""

    def answer(self) -> str:
        """Answer."""


class Answers:
    """What has that method."""

    def answer(self) -> str:
        """Answer."""
        return "yes"


def taking(annotation: Any) -> Callable[..., object]:
    """A function of one argument of a kind."""

    def echo(value: object) -> object:
        return value

    echo.__annotations__["value"] = annotation
    return checked(echo)


MEANT = [
    (int, 3), (int, np.int64(3)), (int | None, None), (float, 3), (float, 0.5), (float, Decimal(2)), (float, float("nan")), (float, np.float32(0.5)),
    (str, ""), (str | Path, "x"), (str | Path, Path("x")), (tuple[int, int], (1, 2)),
    (tuple[int, int], [1, 2]), (tuple[int, int], np.array([1, 2])), (tuple[str, ...], ()),
    (Sequence[str], ("a",)), (Sequence[str] | str, "a"), (Iterable[str], (x for x in "ab")),
    (Mapping[str, int], {"a": 1}), (Callable[[int], None] | None, print), (Literal["a", "b"], "c"),
    (Model, Answers()), (Any, object()), ("NotKnownHere", 3), (np.ndarray, np.zeros(2)),
]  # fmt: skip
SLIPS = [
    (int, "3"), (int, None), (int, 0.5), (float, "0.5"), (float, True), (int, True), (float | None, b""),
    (str, None), (str, 3), (str | Path, None), (str | Path, 3), (tuple[int, int], (1,)),
    (tuple[int, int], (1, "2")), (tuple[int, int], "12"), (tuple[str, ...], "ab"), (Sequence[str], "ab"),
    (Sequence[str], [1]), (Iterable[str], 3), (Mapping[str, int], [1]), (Callable[[int], None], "print"),
    (Literal["a", "b"], 3), (Model, "demo"), (Model, None), (np.ndarray, [1]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), MEANT)
def test_what_may_be_meant_passes(annotation: Any, value: object) -> None:
    assert taking(annotation)(value) is value


@pytest.mark.parametrize(("annotation", "value"), SLIPS)
def test_another_kind_is_refused_and_what_is_meant_is_told(annotation: Any, value: object) -> None:
    with pytest.raises(PolicyError, match="The argument value ") as refusal:
        taking(annotation)(value)
    assert refusal.value.remedy.startswith("Pass ")


@given(st.text(min_size=4, alphabet=st.characters(categories=["Lu"])))
def test_a_value_is_never_told(secret: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        taking(int)(f"PATIENT{secret}")
    assert "PATIENT" not in str(refusal.value)


def test_the_remedy_shows_what_to_type() -> None:
    @dataclass
    class SlicePolicy:
        count: int = 1

    with pytest.raises(PolicyError) as refusal:
        taking(SlicePolicy | None)("lung")
    assert refusal.value.remedy == (
        'Pass a SlicePolicy or None, such as ct.SlicePolicy(windows=("lung",)).'
    )
    with pytest.raises(PolicyError) as refusal:
        taking(Sequence[str])("What?")
    assert refusal.value.remedy == "Pass a list, each item a str."


def test_fields_are_checked_as_arguments_are() -> None:
    @checked_fields
    @dataclass(frozen=True)
    class Budget:
        views: int
        spacing_mm: float | None = None

    assert Budget(3, spacing_mm=2) == Budget(3, 2.0)
    with pytest.raises(PolicyError, match="The argument spacing_mm is a str"):
        Budget(3, spacing_mm="2")


def test_an_argument_that_is_unknown_is_named_by_python() -> None:
    with pytest.raises(TypeError, match="colour"):
        taking(int)(3, colour="red")


def test_a_question_of_spaces_is_empty() -> None:
    assert require_questions(iter([" a"])) == [" a"]
    with pytest.raises(PolicyError, match="The question is empty"):
        require_questions(["a", " \n"])
    with pytest.raises(PolicyError, match="The argument question is None"):
        require_questions([None])


def test_an_array_stands_for_a_sequence_of_its_numbers() -> None:
    @checked
    def take(shares: float | Sequence[float]) -> object:
        return shares

    assert list(take(np.array([0.1, 0.2]))) == [0.1, 0.2]  # type: ignore[arg-type, call-overload]
    for wrong in (np.array(["a"]), np.array([[0.1]])):
        with pytest.raises(PolicyError):
            take(wrong)  # type: ignore[arg-type]


def test_an_array_is_called_an_array() -> None:
    @checked
    def take(pixels: NDArray[np.uint8]) -> None: ...

    take(np.zeros(3, np.uint8))
    for wrong in (None, [[0]]):
        with pytest.raises(PolicyError) as refusal:
            take(wrong)  # type: ignore[arg-type]
        assert refusal.value.remedy == "Pass a NumPy array."
