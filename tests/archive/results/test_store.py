"""Parts and ledger against full disks, forbidden folders, corrupt files and jumping clocks."""

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import archive_stub as stub
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.archive.engines.local import open_store, run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.fingerprint import fingerprint
from longllava_domains.archive.outcome import Outcome
from longllava_domains.archive.results.parts import Parts
from longllava_domains.archive.results.schema import SCHEMA, row_of
from longllava_domains.archive.results.store import ResultStore, spec_folder
from longllava_domains.archive.scorer import Job
from longllava_domains.errors import OutputError


def folder(output: Path) -> Path:
    return spec_folder(output, stub.SPEC.key)


def row(number: int = 0) -> dict[str, object]:
    return row_of(stub.item(number), stub.SPEC, Outcome.done())


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that all may enter, while the test runs as a user without rights in it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


def test_a_part_is_named_by_its_bytes_so_that_writing_it_again_changes_nothing(
    tmp_path: Path,
) -> None:
    parts = Parts(tmp_path, "one")
    rows = [row(n) for n in range(5)]
    name = parts.write(rows)
    assert parts.write(rows[::-1]) == name
    assert parts.names() == [name]
    assert parts.is_whole(name)


def test_any_parquet_reader_sees_the_published_columns(tmp_path: Path) -> None:
    stub.run(tmp_path, 10)
    table = pq.read_table(folder(tmp_path), schema=SCHEMA)
    assert len(table) == 10
    assert table.schema.names == SCHEMA.names
    findings = table.filter(pc.equal(table["status"], "done"))["findings"][0].as_py()
    assert [finding["label"] for finding in findings] == ["Nodule", "Effusion"]
    assert findings[1]["probability"] is None


@given(cut=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_part_with_one_wrong_byte_is_noticed(cut: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        parts = Parts(Path(place), "one")
        name = parts.write([row()])
        data = bytearray((Path(place) / name).read_bytes())
        data[cut % len(data)] ^= flip
        (Path(place) / name).write_bytes(data)
        assert not parts.is_whole(name)


def test_a_corrupt_part_is_set_aside_and_its_items_are_scored_again(tmp_path: Path) -> None:
    stub.run(tmp_path, 20)
    expected = stub.rows(tmp_path)
    victim = sorted(folder(tmp_path).glob("part-*"))[1]
    victim.write_bytes(victim.read_bytes()[:-7])
    with open_store(stub.job(), Settings(tmp_path)) as store:
        assert store.codes == {"part.corrupt": 1}
        assert sum(store.ledger.counts().values()) == 15
    assert stub.run(tmp_path, 20).finished_here == 5
    assert stub.rows(tmp_path) == expected
    assert len(list(folder(tmp_path).glob(".corrupt-*"))) == 1


def test_a_lost_ledger_is_rebuilt_from_the_parts(tmp_path: Path) -> None:
    stub.run(tmp_path, 20)
    for file in (tmp_path / "ledger").rglob("ledger.sqlite*"):
        file.unlink()
    assert stub.run(tmp_path, 20).finished_here == 0
    assert len(stub.outcomes(tmp_path)) == 20


def test_a_ledger_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    stub.run(tmp_path, 20)
    for file in (tmp_path / "ledger").rglob("ledger.sqlite*"):
        file.write_bytes(b"no database" * 1000)
    assert stub.run(tmp_path, 20).finished_here == 0
    assert len(list((tmp_path / "ledger").rglob("*.damaged"))) == 1


def test_rows_of_a_part_that_was_deleted_are_scored_again(tmp_path: Path) -> None:
    stub.run(tmp_path, 20)
    next(folder(tmp_path).glob("part-*")).unlink()
    assert stub.run(tmp_path, 20).finished_here == 5
    assert len(stub.outcomes(tmp_path)) == 20


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    stub.run(tmp_path, 8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    # No file may grow beyond what is there: writes fail half way, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            stub.run(tmp_path, 400, part_rows=300)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "archive.disk_full"
    assert stub.run(tmp_path, 400).finished == 400
    assert len(stub.outcomes(tmp_path)) == 400
    assert not list(tmp_path.rglob(".tmp-*"))


def test_an_output_that_may_not_be_written_is_refused_before_any_work(nobody: Path) -> None:
    user = os.geteuid()
    nobody.chmod(0o555)
    os.seteuid(65534 if user == 0 else user)
    try:
        with pytest.raises(OutputError) as caught:
            stub.run(nobody / "results", 5)
    finally:
        os.seteuid(user)
        nobody.chmod(0o755)
    assert caught.value.code == "archive.output"
    assert str(nobody) not in str(caught.value)


def test_an_output_that_becomes_read_only_stops_the_run_and_loses_nothing(nobody: Path) -> None:
    user = os.geteuid()
    output = nobody / "results"
    output.mkdir()
    os.chown(output, 65534 if user == 0 else user, -1)

    def shut(item) -> Any:
        if item == stub.item(7):
            folder(output).chmod(0o555)
        return stub.prepare(item)

    os.seteuid(65534 if user == 0 else user)
    try:
        job = Job(stub.SPEC, shut, stub.job().build)
        with pytest.raises(OutputError) as caught:
            run_local(job, stub.Items(20), Settings(output, part_rows=5))
        folder(output).chmod(0o755)
        run_local(stub.job(), stub.Items(20), Settings(output))
    finally:
        os.seteuid(user)
    assert caught.value.code == "archive.output"
    assert len(stub.outcomes(output)) == 20


def test_no_decision_depends_on_a_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tmp_path / "steady"
    stub.run(expected, 30)
    jumps = iter([1e9, -1e9, 4e9, 0.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    stub.run(tmp_path / "jumping", 15)
    stub.run(tmp_path / "jumping", 30)
    assert stub.rows(tmp_path / "jumping") == stub.rows(expected)


def test_two_workers_never_hold_one_item(tmp_path: Path) -> None:
    with (
        ResultStore(tmp_path, stub.SPEC) as first,
        ResultStore(tmp_path, stub.SPEC) as second,
    ):
        own = fingerprint(stub.item(0).item_id, stub.SPEC.key)
        assert first.lease(own, again=False) is not None
        assert second.lease(own, again=False) is None
        second.recover()
        assert second.lease(own, again=False) is None
        assert first.others() == [second.worker]


def test_results_hold_neither_uris_nor_messages(tmp_path: Path) -> None:
    items = stub.Items(6, ((1, "raise"), (2, "/archive/DOE^JANE/good"), (4, "refuse")))
    run_local(stub.job(), items, Settings(tmp_path))
    for file in tmp_path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert b"DOE" not in content, file.name
        assert b"cut" not in content or b"stub.cut" in content


def test_a_replaced_part_comes_back_if_its_successor_never_appeared(tmp_path: Path) -> None:
    parts = Parts(tmp_path, "one")
    name = parts.write([row(n) for n in range(4)])
    (tmp_path / name).rename(tmp_path / (".replaced-" + name))
    assert parts.names() == []
    parts.restore()
    assert parts.names() == [name]


def test_a_replaced_part_goes_if_its_successor_is_there(tmp_path: Path) -> None:
    parts = Parts(tmp_path, "one")
    rows = [row(n) for n in range(4)]
    name = parts.write(rows)
    successor = parts.replace(name, parts.read(name).slice(1))
    assert successor is not None
    assert parts.write(rows) == name
    (tmp_path / name).rename(tmp_path / (".replaced-" + name))
    parts.restore()
    assert parts.names() == [successor]
    assert [path.name for path in tmp_path.iterdir()] == [successor]
