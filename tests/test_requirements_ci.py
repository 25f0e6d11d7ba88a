"""What CI installs is pinned by digest, in step with what the project asks for, and names no host."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CPU_TORCH = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, tuple[str, list[str]]]:
    text = (ROOT / "requirements-ci.txt").read_text()
    found = {}
    for entry in re.split(r"\n(?=\S)", text):
        if not entry.startswith("#"):
            name, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr]
            found[plain(name)] = (version, re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    return found


def test_every_package_has_a_digest_and_no_host_is_named() -> None:
    assert all(digests for _, digests in locked().values())
    text = (ROOT / "requirements-ci.txt").read_text()
    assert re.search(r"://|--(?:extra-)?index|--find-links|--trusted", text) is None


def test_it_says_what_the_constraints_say() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            assert locked()[plain(name)][0] == version, f"{name}: run scripts/lock_ci"


def test_nothing_that_the_project_asks_for_is_missing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["pathology"], *extras["remote-sensing"]]
    names = {
        plain(re.match(r"[\w.-]+", entry)[0])  # type: ignore[index]
        for entry in [*asked, *extras["test"], *extras["dev"]]
    } - {"longllava-domains"}
    assert names <= set(locked()), "run scripts/lock_ci"


def test_both_builds_of_torch_are_known() -> None:
    _, digests = locked()["torch"]
    assert CPU_TORCH in digests  # the build without CUDA, which CI's machine has
    assert len(digests) > 1  # those that everyone gets by name
