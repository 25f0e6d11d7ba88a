"""Write docs/api.md: every public name with the first line of its docstring.

Run from the repository root: python scripts/api_page.py
The names are those of tests/public_names.txt, which a test compares with the packages.
"""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "tests/public_names.txt"
PAGE = ROOT / "docs/api.md"

HEAD = """# Public names

Made by `scripts/api_page.py` from `tests/public_names.txt`; a test keeps the two and the packages
in step. All of them stand below `longllava_domains`. What is not listed here may change without a
word in the changelog. `help(...)` in Python shows arguments, units and errors.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(NAMES.read_text().split()))


def page(names: list[str]) -> str:
    """Return the page for these names."""
    lines = [HEAD]
    package = ""
    for name in sorted(names, key=lambda name: (name.rpartition(".")[0], name)):
        parent = name.rpartition(".")[0]
        if parent != package or not lines[1:]:
            package = parent
            lines.append(f"\n## `longllava_domains{'.' + parent if parent else ''}`\n")
        lines.append(f"- `{name.rpartition('.')[2]}`: {first_line(find(name))}")
    return "\n".join(lines) + "\n"


def find(name: str) -> Any:
    """Return the object of a public name."""
    package, _, last = f"longllava_domains.{name}".rpartition(".")
    return getattr(import_module(package), last)


def first_line(target: Any) -> str:
    """Return the first line of a docstring; for a value, what it is."""
    if inspect.ismodule(target) or inspect.isclass(target) or callable(target):
        return (inspect.getdoc(target) or "").partition("\n")[0]
    return f"`{target!r}`"


if __name__ == "__main__":
    main()
