"""Docstrings say what a thing is or does: none is absent, and none opens with a question word."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("longllava_domains", "adapters", "pipelines")
QUESTION_WORDS = {"What", "Which", "How", "Where", "When", "Whether", "Who", "Why", "Tell"}
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(tree: ast.AST) -> Iterator[Definition]:
    """Yield classes, functions and methods; not the functions inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from definitions(node)


def complaints(source: str) -> list[str]:
    """Return the name of each thing whose docstring is absent or opens with a question word."""
    tree = ast.parse(source)
    found = []
    for node in definitions(tree):
        if not node.name.startswith("_") and not ast.get_docstring(node):
            found.append(f"{node.name} has no docstring")
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | Definition):
            first = (ast.get_docstring(node) or "").split()[:1]
            if set(first) & QUESTION_WORDS:
                found.append(f"{getattr(node, 'name', 'the module')} opens with {first[0]}")
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""How it runs."""', ["the module opens with How"]),
        ('def f():\n    """Which one it is."""', ["f opens with Which"]),
        ('class C:\n    """C."""\n    def f(self): ...', ["f has no docstring"]),
        ('def _f():\n    def g(): ...\n    """Return g."""', []),
        ('class C:\n    """Size of a view, pixels."""', []),
    ],
)
def test_bad_docstrings_are_found_where_there_are_some(source: str, found: list[str]) -> None:
    assert complaints(source) == found


def test_docstrings_state_what_a_thing_is_or_does() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): complaints(path.read_text()) for path in paths}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_text_says_so_many_instead_of_a_number() -> None:
    """English that a translator would have to guess at: "every so many millimetres"."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    paths = [*pages, *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    found = [str(path.relative_to(ROOT)) for path in paths if "so many " in path.read_text()]
    assert found == []
