"""What a user installs is what stands in the tree, and importing it is light."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import longllava_domains

ROOT = Path(__file__).parents[1]
ROOMS = ("longllava_domains", "adapters", "pipelines")


@pytest.fixture(scope="module")
def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packaged(relative: Path) -> str:
    parts = relative.parts if relative.parts[0] == ROOMS[0] else (ROOMS[0], *relative.parts)
    return "/".join(parts)


def test_every_folder_of_code_is_packaged(settings: dict) -> None:
    folders = {
        packaged(path.parent.relative_to(ROOT)).replace("/", ".")
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert folders == set(settings["tool"]["setuptools"]["packages"])


def test_the_wheel_holds_every_tracked_file_of_the_code_and_nothing_else(tmp_path: Path) -> None:
    import zipfile

    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path)]
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", *ROOMS], cwd=source, check=True, capture_output=True, text=True
    ).stdout.split()
    assert names == {packaged(Path(name)) for name in tracked}


def test_importing_the_package_and_its_loaders_is_quick_and_never_loads_torch() -> None:
    script = (
        "import sys, time; start = time.process_time(); import longllava_domains\n"
        "from longllava_domains import ct, errors, pathology, prompt, remote_sensing, visual\n"
        "print(time.process_time() - start); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd="/"
    ).stdout.splitlines()
    assert out[1] == "False False"
    assert float(out[0]) < 1.0


def test_the_public_names_are_few_and_pinned() -> None:
    names = (ROOT / "tests/public_names.txt").read_text().split()
    found = [*longllava_domains.__all__]
    for room in ("ct", "pathology", "remote_sensing", "pipelines"):
        found += [f"{room}.{name}" for name in getattr(longllava_domains, room).__all__]
    assert sorted(found) == sorted(names)
    assert len(names) <= 36
    for name in found:
        target = longllava_domains
        for part in name.split("."):
            target = getattr(target, part)


def test_no_file_of_the_code_is_longer_than_a_reader_bears() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 330
    }
    assert long == {}


def test_no_dependency_is_under_the_gpl(settings: dict) -> None:
    declared = " ".join(settings["project"]["dependencies"]).lower()
    assert "libjpeg" not in declared
    assert "pydicom>=3.0.2" in declared.replace(" ", "")
    assert "openslide-bin>=4.0.1" in declared.replace(" ", "")
