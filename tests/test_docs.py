"""Every code block of the README and the docs is run: Python in order, console line by line."""

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longllava_domains.pipelines.cli.main import run

ROOT = Path(__file__).parents[1]
EXIT_CODE = re.compile(r"# exit code (\d)")
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(page.read_text()) if found == language]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the repository's examples, where the docs' commands run."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_order(page: Path, workplace: Path, capfd) -> None:
    ran = 0
    names: dict[str, object] = {}
    for language, body in BLOCK.findall(page.read_text()):
        if language == "python":
            exec(compile(body, page.name, "exec"), names)
            ran += 1
        if language == "console":
            for line in body.splitlines():
                if line.startswith("$ longllava "):
                    told = EXIT_CODE.search(line)
                    command = shlex.split(line.removeprefix("$ longllava "), comments=True)
                    assert run(command) == (int(told[1]) if told else 0), line
                    ran += 1
    every = BLOCK.findall(page.read_text())
    assert ran or not every or page.name in {"performance.md", "architecture.md"}, (
        f"nothing of {page.name} was run"
    )
    assert {language for language, _ in every} <= {
        "python",
        "console",
        "sh",
        "text",
        "json",
        "mermaid",
    }


PICTURES = sorted(path.name for path in (ROOT / "docs/images").iterdir())


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_readme_and_docs_are_what_their_script_draws(
    name: str, tmp_path: Path
) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    shown = re.findall(r"!\[[^]]+\]\([\w/]*images/([^)]+)\)", "".join(map(Path.read_text, pages)))
    script = runpy.run_path(str(ROOT / "scripts/readme_picture.py"))
    assert sorted(shown) == sorted(script["DRAWN"]) == PICTURES
    script["DRAWN"][name](tmp_path / "drawn.png")
    drawn, kept = (
        np.asarray(Image.open(path).convert("RGB"), np.int16)
        for path in (tmp_path / "drawn.png", ROOT / "docs/images" / name)
    )
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < 1  # the quantiser of another Pillow may differ a little


def test_the_readme_has_exactly_two_set_up_commands_of_one_line() -> None:
    (body,) = blocks(ROOT / "README.md", "sh")
    commands = [line for line in body.splitlines() if line and not line.startswith("#")]
    assert len(commands) == 2
    assert "longllava report examples/chest_phantom --model demo" in commands[0]
    assert commands[1].endswith("pytest")


def test_every_file_that_the_architecture_page_names_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text().partition("## Five trips")[2]
    named = {name for name in re.findall(r"`([\w/@.*-]+)`", text) if "/" in name or ".py" in name}
    assert len(named) > 50
    for name in named:
        folders = (ROOT, ROOT / "longllava_domains")
        endings = ("", ".py")
        found = [
            match for folder in folders for end in endings for match in folder.glob(name + end)
        ]
        assert found, name
