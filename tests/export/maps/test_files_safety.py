"""Map files are written whole or not at all, over nothing, and refusals are ours."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Never

import pyogrio
import pyogrio.errors
import pytest
from map_detections import findings

from longllava_domains.errors import OutputError
from longllava_domains.export.maps.geojson import write_geojson
from longllava_domains.export.maps.geopackage import write_geopackage
from longllava_domains.export.maps.geoparquet import write_geoparquet
from longllava_domains.export.maps.stac import write_stac_item
from longllava_domains.files import new_file

WRITERS = {
    "a.geojson": write_geojson,
    "a.gpkg": write_geopackage,
    "a.parquet": write_geoparquet,
    "a.json": write_stac_item,
}


@pytest.mark.parametrize("name", WRITERS)
def test_files_are_replaced_only_when_asked(tmp_path, name) -> None:
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        WRITERS[name](path, findings())
    assert path.read_text() == "mine"
    WRITERS[name](path, findings(), overwrite=True)
    assert path.stat().st_size > 100
    leftovers = {p.name for p in tmp_path.iterdir()} - {name}
    assert all("footprints" in leftover for leftover in leftovers)


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_folder_is_our_error_without_the_path(tmp_path, name) -> None:
    with pytest.raises(OutputError) as caught:
        WRITERS[name](tmp_path / "secret_folder" / name, findings())
    assert "secret" not in str(caught.value)


def pulled_plug(target: Path) -> None:
    with new_file(target) as path:
        path.write_text("half")
        raise RuntimeError("pulled plug")


def test_a_failed_write_leaves_nothing_behind(tmp_path) -> None:
    with pytest.raises(RuntimeError):
        pulled_plug(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kind", [pyogrio.errors.FeatureError, pyogrio.errors.DataSourceError, sqlite3.OperationalError]
)
def test_a_full_disk_is_our_error_and_leaves_no_geopackage(tmp_path, monkeypatch, kind) -> None:
    def full(table, path, **options) -> Never:
        Path(path).write_bytes(b"begun")
        raise kind("database or disk is full")

    monkeypatch.setattr(pyogrio, "write_dataframe", full)
    with pytest.raises(OutputError) as caught:
        write_geopackage(tmp_path / "ships.gpkg", findings())
    assert caught.value.code == "export.geopackage"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_geojson, "a.geojson"),
        (write_geopackage, "a.gpkg"),
        (write_geoparquet, "a.parquet"),
        (write_stac_item, "a.json"),
    ],
)
def test_a_class_that_is_not_unicode_is_refused_before_a_file_is_begun(
    tmp_path, write, name
) -> None:
    whole = findings()
    halved = replace(whole.detections[0], name="ship\ud800")
    for broken in (replace(whole, category="ship\udfff"), replace(whole, detections=(halved,))):
        with pytest.raises(OutputError, match="not Unicode") as caught:
            write(tmp_path / name, broken)
        assert caught.value.code == "export.unicode"
    assert not list(tmp_path.iterdir())
    write(tmp_path / name, replace(whole, category="na\u00efve \u2603 \U0001f6a2"))


def test_two_files_are_refused_together(tmp_path) -> None:
    (tmp_path / "ships.footprints.geojson").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_geojson(tmp_path / "ships.geojson", findings())
    assert [p.name for p in tmp_path.iterdir()] == ["ships.footprints.geojson"]


def test_a_geopackage_must_be_named_as_one(tmp_path) -> None:
    with pytest.raises(OutputError, match="gpkg"):
        write_geopackage(tmp_path / "ships.data", findings())
    assert list(tmp_path.iterdir()) == []
