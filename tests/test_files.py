"""What a command writes never takes the place of what it reads."""

import shlex
from pathlib import Path

import pytest

from longllava_domains.errors import OutputError
from longllava_domains.files import require_apart
from longllava_domains.pipelines.cli.main import run

PHANTOM = Path(__file__).parents[1] / "examples/chest_phantom.nii.gz"
PREDICTIONS = "id,image,question,answer\n1,a,b,yes\n"


def test_an_output_is_apart_from_what_is_not_there_and_from_what_is_no_path(
    tmp_path: Path,
) -> None:
    there = tmp_path / "a.json"
    there.write_text("{}")
    require_apart(tmp_path / "new.json", tmp_path / "folder", there)
    require_apart(there, "https://example.org/a.json", None, tmp_path / "other", [there])


@pytest.mark.parametrize("way", ["itself", "by another name"])
def test_an_output_that_is_an_input_is_refused(way: str, tmp_path: Path) -> None:
    source = tmp_path / "in" / "v.nii.gz"
    source.parent.mkdir()
    source.write_text("pixels")
    link = tmp_path / "link.nii.gz"
    link.symlink_to(source)
    output, read = {
        "itself": (source, source),
        "by another name": (link, source),
    }[way]
    with pytest.raises(OutputError, match="would replace an input"):
        require_apart(output, read)


@pytest.mark.parametrize("name", [".", "v.nii.gz", "new.json", "new/folder/new.json"])
def test_an_output_in_a_folder_that_is_read_is_refused_there_already_or_not(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/v.nii.gz").write_text("pixels")
    (tmp_path / "link").symlink_to("in")
    for folder in ("in", "link"):
        with pytest.raises(OutputError, match="lie in the folder that is read"):
            require_apart(tmp_path / folder / name, tmp_path / "in")
    require_apart(tmp_path / "in.json", tmp_path / "in")


@pytest.mark.parametrize(
    "command",
    [
        "report {ct} --model demo --out {ct}",
        "archive scan {folder} --domain ct -o {ct}",
        "evaluate score vqa-rad {csv} --protocol strict@1 --references {csv} --rows {csv}",
        "evaluate score vqa-rad {csv} --protocol strict@1 --references {csv} --rows {link}",
    ],
)
def test_a_command_leaves_its_input_alone(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    ct, csv, link = folder / "v.nii.gz", tmp_path / "a.csv", tmp_path / "link.csv"
    ct.write_bytes(PHANTOM.read_bytes())
    csv.write_text(PREDICTIONS)
    link.symlink_to(csv)
    before = ct.read_bytes()
    assert run(shlex.split(command.format(ct=ct, folder=folder, csv=csv, link=link))) == 2
    assert ct.read_bytes() == before
    assert csv.read_text() == PREDICTIONS
