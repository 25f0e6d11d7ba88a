"""On Ray the results are those of the local engine, and a killed actor costs only its item."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.ray import run_ray
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.errors import PolicyError


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a name that is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as name:
        yield Path(name)


def test_results_are_those_of_the_local_engine_and_a_dead_actor_costs_its_item(
    short: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="the optional extra [ray] is not installed")
    once = short / "once"
    progress = run_ray(
        stub.job(),
        stub.Items(40, ((2, "kill"), (9, f"kill once:{once}"), (12, "raise"))),
        Settings(short / "results", part_rows=7),
    )
    assert progress.counts == {"done": 32, "refused": 6, "failed": 2, "leased": 0}
    once.touch()
    items = stub.Items(40, ((2, "good"), (9, f"kill once:{once}"), (12, "raise")))
    run_local(stub.job(), items, Settings(tmp_path))
    victim = stub.item(2).item_id
    ours = [row for row in stub.rows(tmp_path) if row["item_id"] != victim]
    theirs = [row for row in stub.rows(short / "results") if row["item_id"] != victim]
    assert theirs == ours
    assert stub.outcomes(short / "results")[victim] == ("failed", "archive.killed")
    assert not (short / "results" / ".ray").exists()


def test_a_folder_with_too_long_a_name_for_ray_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the optional extra [ray] is not installed")
    output = tmp_path / ("long" * 20)
    with pytest.raises(PolicyError) as caught:
        run_ray(stub.job(), stub.Items(1), Settings(output))
    assert caught.value.code == "archive.ray_path"
