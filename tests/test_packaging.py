"""What a user installs is what stands in the tree, and importing it is light."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version as installed_version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import longllava_domains

ROOT = Path(__file__).parents[1]
FOLDERS = ("longllava_domains", "adapters", "pipelines")


@pytest.fixture(scope="module")
def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packaged(relative: Path) -> str:
    parts = relative.parts if relative.parts[0] == FOLDERS[0] else (FOLDERS[0], *relative.parts)
    return "/".join(parts)


def test_every_folder_of_code_is_packaged(settings: dict) -> None:
    folders = {
        packaged(path.parent.relative_to(ROOT)).replace("/", ".")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
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
        ["git", "ls-files", *FOLDERS], cwd=source, check=True, capture_output=True, text=True
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


PUBLIC_PACKAGES = (
    "adapters.data",
    "adapters.phantoms",
    "archive",
    "ct",
    "evaluate",
    "evaluate.fit_rsfg",
    "export",
    "model",
    "model.budget",
    "pathology",
    "pipelines",
    "prompt",
    "remote_sensing",
    "visual",
)
PUBLIC_MODULES = ("ct_rate_labels", "provenance", "vision_language")


def test_the_public_names_are_pinned() -> None:
    names = (ROOT / "tests/public_names.txt").read_text().split()
    modules = tuple(f"{module}." for module in PUBLIC_MODULES)
    found = [*longllava_domains.__all__]
    for package in PUBLIC_PACKAGES:
        public = import_module(f"longllava_domains.{package}").__all__
        found += [f"{package}.{name}" for name in public]
    assert sorted(found) == sorted(name for name in names if not name.startswith(modules))


def test_the_page_of_public_names_is_the_one_that_the_script_writes() -> None:
    spec = spec_from_file_location("api_page", ROOT / "scripts/api_page.py")
    assert spec is not None
    assert spec.loader is not None
    api_page = module_from_spec(spec)
    spec.loader.exec_module(api_page)
    names = (ROOT / "tests/public_names.txt").read_text().split()
    assert api_page.page(names) == (ROOT / "docs/api.md").read_text()


def test_docs_and_examples_import_public_names_only() -> None:
    names = set((ROOT / "tests/public_names.txt").read_text().split())
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    deep = re.compile(r"^ *from longllava_domains(?:\.([\w.]+))? import (.+)$", re.MULTILINE)
    private = {
        f"{package}.{name.strip()}".strip(".")
        for page in pages
        for package, imported in deep.findall(page.read_text())
        for name in imported.strip("()").split(",")
    }
    private = {name for name in private if not name.startswith("errors.")} - names
    assert private == set()


def test_no_dependency_is_under_the_gpl(settings: dict) -> None:
    project = settings["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = " ".join([*project["dependencies"], *extras]).lower()
    assert "libjpeg" not in declared
    assert "pydicom>=3.0.2" in declared.replace(" ", "")
    assert "openslide-bin>=4.0.1" in declared.replace(" ", "")


def test_the_version_stands_once_and_the_changelog_and_the_citation_know_it() -> None:
    version = longllava_domains.__version__
    assert installed_version("longllava-domains") == version
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1] == version
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()


def test_python_in_the_root_of_a_checkout_finds_all_packages_of_it() -> None:
    """Family: the folder of the checkout hides what is installed, and holds a part of it."""
    program = (
        "import longllava_domains.pipelines as p, longllava_domains.adapters; print(p.__file__)"
    )
    root = Path(__file__).parents[1]
    # -S: nothing is installed, so that an editable install does not help.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()) == root / "pipelines/__init__.py"


def test_a_strict_editable_install_is_typed(tmp_path: Path) -> None:
    """The default one maps folders by a hook that type checkers do not run; this one makes links."""
    source, place = tmp_path / "source", tmp_path / "venv"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    strict = ["--config-settings", "editable_mode=strict"]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(place), "install", "-q", "--no-deps", *strict,
         "-e", str(source)],
        check=True, capture_output=True,
    )  # fmt: skip
    (link,) = place.rglob("__editable__*.pth")
    package = Path(link.read_text().strip()) / "longllava_domains"
    assert (package / "py.typed").is_file()
    assert (package / "pipelines/ct/report.py").is_file()


@pytest.mark.parametrize(
    "name", ["ct", "pathology", "remote_sensing", "model", "pipelines", "visual"]
)
def test_completion_offers_the_public_names_and_no_internals(name: str) -> None:
    package = import_module(f"longllava_domains.{name}")
    assert dir(package) == sorted(package.__all__)
