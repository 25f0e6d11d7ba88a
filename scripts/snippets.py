#!/usr/bin/env python3
"""Write the Python blocks of the README and each page of the docs as one file a page, for mypy.

Call it with the folder to write to.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def write(folder: Path) -> None:
    """Write the blocks of every page, in order, with as many lines between as the page has."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        lines: list[str] = []
        for block in BLOCK.finditer(text):
            # Blank lines keep the numbers of the page's own lines.
            lines += [""] * (text.count("\n", 0, block.start(1)) - len(lines))
            lines += block[1].splitlines()
        if lines:
            (folder / f"{page.stem.lower()}_page.py").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
