import inspect
import pickle
import re

import pytest

from longllava_domains import errors
from longllava_domains.errors import LongLlavaError

CLASSES = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, LongLlavaError)
]


def test_the_tree_in_the_docstring_names_every_class_under_its_true_parent() -> None:
    stack: list[tuple[int, str]] = []
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"( {4}[| `\-]*)([A-Z]\w+Error)\b", line)
        if match:
            depth, name = len(match[1]), match[2]
            while stack and stack[-1][0] >= depth:
                stack.pop()
            drawn[name] = stack[-1][1] if stack else "Exception"
            stack.append((depth, name))
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_says_what_failed_and_what_to_do(cls: type[LongLlavaError]) -> None:
    error = cls("It failed.", remedy="Do this.", facts={"count": 3})
    assert str(error) == "It failed. Do this."
    assert error.code == cls.__name__
    assert error.facts == {"count": 3}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_the_way_to_another_process(cls: type[LongLlavaError]) -> None:
    error = cls("It failed.", remedy="Do this.", code="test.code", facts={"count": 3})
    there = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert type(there) is cls
    assert (str(there), there.code, there.facts) == (str(error), error.code, error.facts)
