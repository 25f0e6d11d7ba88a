"""Documents that lie outside the results: those of a forgotten item are found, all others stay."""

from pathlib import Path

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.item import Item
from longllava_domains.archive.results.documents import document_name
from longllava_domains.archive.results.store import spec_folder
from longllava_domains.archive.results.upkeep import Forgotten, forget_items
from longllava_domains.archive.scorer import Job, Scored
from longllava_domains.errors import NotFoundError

VICTIM, OTHER = stub.item(0).item_id, stub.item(1).item_id


class Writer(stub.StubScorer):
    """Writes a document for each item, outside the results; for item 2 names a stranger's file."""

    def __init__(self, documents: Path) -> None:
        super().__init__(0.0)
        self._documents = documents

    def score(self, item: Item, prepared: str) -> Scored:
        name = document_name(item.item_id, stub.SPEC.key, ".sr.dcm")
        if item.item_id == stub.item(2).item_id:
            name = "stranger.dcm"
        (self._documents / name).write_text("a patient")
        return Scored(text="", files=(f"../private/{name}",))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir()
    output = tmp_path / "results"
    job = Job(stub.SPEC, stub.prepare, lambda: Writer(tmp_path / "private"))
    run_local(job, stub.Items(3), Settings(output))
    return output


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "private").iterdir()}


def test_documents_of_an_item_go_and_those_of_others_stay(results: Path, tmp_path: Path) -> None:
    assert forget_items(results, [VICTIM]) == Forgotten(rows=1, documents=1)
    assert names(tmp_path) == {document_name(OTHER, stub.SPEC.key, ".sr.dcm"), "stranger.dcm"}


def test_a_document_that_a_killed_run_left_goes_though_no_row_names_it(
    results: Path, tmp_path: Path
) -> None:
    left = tmp_path / "private" / document_name(VICTIM, "0" * 16, ".fhir.json")
    left.write_text("a patient")
    assert forget_items(results, [VICTIM]).documents == 2
    assert not left.exists()


def test_a_document_that_was_moved_away_is_named(results: Path, tmp_path: Path) -> None:
    name = document_name(VICTIM, stub.SPEC.key, ".sr.dcm")
    (tmp_path / "private" / name).rename(tmp_path / name)
    assert forget_items(results, [VICTIM]) == Forgotten(rows=1, left=(f"../private/{name}",))
    assert (tmp_path / name).exists()


def test_documents_that_no_row_names_are_found_in_a_folder_that_is_named(
    results: Path, tmp_path: Path
) -> None:
    """As of a run that was killed before its first row, and of a folder that was moved."""
    name = document_name(VICTIM, stub.SPEC.key, ".sr.dcm")
    elsewhere = tmp_path / "elsewhere" / "2026"
    elsewhere.mkdir(parents=True)
    (tmp_path / "private" / name).rename(elsewhere / name)
    (elsewhere / document_name(VICTIM, "1" * 16, ".fhir.json")).write_text("a patient")
    (elsewhere / document_name(OTHER, "1" * 16, ".fhir.json")).write_text("another patient")
    (elsewhere / f"{VICTIM}-notes.txt").write_text("not ours")
    gone = forget_items(results, [VICTIM], documents=tmp_path / "elsewhere")
    assert gone == Forgotten(rows=1, documents=2)
    assert {path.name for path in elsewhere.iterdir()} == {
        document_name(OTHER, "1" * 16, ".fhir.json"), f"{VICTIM}-notes.txt"
    }  # fmt: skip
    assert forget_items(None, [OTHER], documents=elsewhere) == Forgotten(documents=1)
    with pytest.raises(NotFoundError):
        forget_items(results, [OTHER], documents=tmp_path / "nowhere")


def test_a_file_that_does_not_bear_the_items_id_is_named_and_not_deleted(
    results: Path, tmp_path: Path
) -> None:
    gone = forget_items(results, [stub.item(2).item_id])
    assert gone == Forgotten(rows=1, left=("../private/stranger.dcm",))
    assert "stranger.dcm" in names(tmp_path)


def test_folders_of_an_item_and_parts_set_aside_go_too(results: Path) -> None:
    journal = results / "items" / f"spec-{stub.SPEC.key}" / VICTIM / "answers.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("what a stopped search had found")
    corrupt = spec_folder(results, stub.SPEC.key) / ".corrupt-part"
    corrupt.write_text(VICTIM)
    forget_items(results, [VICTIM])
    assert not journal.parent.exists()
    assert not corrupt.exists()
