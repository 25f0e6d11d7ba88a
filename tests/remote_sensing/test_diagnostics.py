"""Slow layouts are said, with the time expected and the command that mends them."""

import pytest
import raster_builder as builder

from longllava_domains.remote_sensing import diagnostics, open_raster


@pytest.fixture(autouse=True)
def every_raster_is_large(monkeypatch) -> None:
    monkeypatch.setattr(diagnostics, "_LARGE_PX", 1000)


@pytest.mark.parametrize(("hazard", "findings"), [
    ("strips_one_row", {"strips", "no-overviews"}),
    ("strips_sixteen_rows", {"strips", "no-overviews"}),
    ("tiled", {"no-overviews"}),
    ("with_overviews", set()),
])  # fmt: skip
def test_what_is_slow_is_found(raster_file, hazard, findings) -> None:
    diagnosis = open_raster(raster_file(hazard)).diagnose()
    assert set(diagnosis.findings) == findings
    assert diagnosis.sweep_s > 0
    assert ("rio cogeo create" in str(diagnosis)) == bool(findings)
    assert "one pass over all pixels takes about" in str(diagnosis)


def test_classes_are_mended_with_the_mode(raster_file) -> None:
    assert "--overview-resampling mode" in str(open_raster(raster_file("palette")).diagnose())


def test_a_block_that_gdal_must_hold_whole_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(diagnostics, "_HELD_BYTES", 1000)
    path = builder.write(tmp_path / "jpeg.tif", builder.scene(), compress="jpeg", photometric="ycbcr",
                         blockysize=480, interleave="pixel")  # fmt: skip
    diagnosis = open_raster(path).diagnose()
    assert "giant-block" in diagnosis.findings
    assert diagnosis.held_bytes == 480 * builder.WIDTH * 3
    assert "held whole" in str(diagnosis)


def test_warping_is_said(raster_file) -> None:
    diagnosis = open_raster([raster_file("gcp_only"), raster_file("tiled")]).diagnose()
    assert "warped" in diagnosis.findings


def test_a_trial_of_a_short_time_foretells_the_whole(raster_file, monkeypatch) -> None:
    monkeypatch.setattr(diagnostics, "_TRIAL_S", 0.0)
    raster = open_raster(raster_file("strips_sixteen_rows"))
    assert 0 < raster.diagnose().sweep_s < 60
    assert raster.diagnose().layout == "strips of 16 rows"
