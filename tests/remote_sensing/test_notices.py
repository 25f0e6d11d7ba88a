"""What a scene is and where its north lies is told with every answer about it."""

import datetime
from typing import Any

import numpy as np
import pystac
import pytest
import raster_builder as builder
import rasterio
from affine import Affine

from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.notices import NOTICES

COMPASSES = {
    "tiled": ("top", "right", True),
    "south_up": ("bottom", "right", False),
    "rotated": ("top left", "top right", False),
    "gcp_only": ("top left", "top right", False),
    "rpc_only": ("top", "right", True),
}


@pytest.mark.parametrize("hazard", COMPASSES)
def test_a_scene_says_where_north_is(raster_file, hazard) -> None:
    """Family: pictures that are not what they look like; left and right, north and south."""
    north, east, is_up = COMPASSES[hazard]
    raster = open_raster(raster_file(hazard))
    assert str(raster.compass) == f"North is at the {north} of the image, east at the {east}."
    assert raster.compass.is_north_up == is_up
    assert (NOTICES["orientation.not_north_up"] in raster.notices) != is_up
    assert raster.to_sequence()[1].place.north_deg == raster.compass.north_deg


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_north_is_found_by_quarters(tmp_path, quarter, mirrored) -> None:
    """Family: pictures that are not what they look like; every quarter turn and mirror image."""
    flip = Affine.scale(-1 if mirrored else 1, 1)
    turn = builder.NORTH_UP @ Affine.rotation(90 * quarter) @ flip
    raster = open_raster(builder.tiled(tmp_path / "scene.tif", transform=turn))
    told = raster.compass
    assert told.is_mirrored == mirrored
    # Walking from the middle of the view towards "north" must lead north.
    angle = np.radians(told.north_deg)
    middle = np.array([raster.width / 2, raster.height / 2])
    there = middle + 50 * np.array([np.sin(angle), -np.cos(angle)])
    (x0, y0), (x1, y1) = raster.pixel_to_map(*middle), raster.pixel_to_map(*there)
    assert y1 - y0 > 20 * abs(x1 - x0)


def described(path, dtype="float32", description=None, unit=None, **tags) -> Any:
    builder.write(path, builder.scene(1, dtype))
    with rasterio.open(path, "r+") as dataset:
        if description:
            dataset.descriptions = (description,)
        if unit:
            dataset.units = (unit,)
        dataset.update_tags(**tags)
    return path


@pytest.mark.parametrize(
    ("facts", "content"),
    [
        ({"description": "VV"}, "radar"),
        ({"description": "Sigma0_VH_db"}, "radar"),
        ({"unit": "dB"}, "radar"),
        ({"POLARISATION": "HH"}, "radar"),
        ({"description": "lwir11"}, "thermal"),
        ({"unit": "K"}, "thermal"),
        ({"description": "Surface temperature"}, "thermal"),
        ({"description": "elevation above sea"}, "elevation"),
        ({"unit": "metre"}, "elevation"),
        ({"description": "land cover"}, "classes"),
        ({"description": "red"}, None),
        ({"description": "pan"}, None),
        ({}, None),
    ],
)
def test_what_is_no_photograph_is_said(tmp_path, facts, content) -> None:
    """Family: pictures that are not what they look like."""
    raster = open_raster(described(tmp_path / "scene.tif", **facts))
    told = {code for code in raster.report.codes if code.startswith("content.")}
    assert told == ({f"content.{content}"} if content else set())
    expected = [NOTICES[f"content.{content}"]] if content else []
    assert raster.notices == expected
    assert raster.provenance.get("notices", []) == expected


def test_classes_are_said_to_be_classes(raster_file) -> None:
    """Family: pictures that are not what they look like."""
    assert open_raster(raster_file("palette")).notices == [NOTICES["content.classes"]]


def item_of(path, time, **properties) -> pystac.Item:
    item = pystac.Item("scene", None, None, time, properties)
    item.add_asset("image", pystac.Asset(str(path), media_type="image/tiff", roles=["data"]))
    return item


def test_a_radar_item_is_radar(tmp_path) -> None:
    """Family: pictures that are not what they look like; STAC says it where the file does not."""
    path = builder.write(tmp_path / "scene.tif", builder.scene(1))
    now = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    raster = open_raster(item_of(path, now, **{"sar:frequency_band": "C"}))
    assert raster.notices == [NOTICES["content.radar"]]


def test_an_interval_is_kept_and_zones_are_brought_to_utc(tmp_path) -> None:
    """Family: what is not known filled in, or what is known lost."""
    path = builder.write(tmp_path / "scene.tif", builder.scene(1))
    span = {"start_datetime": "2024-05-01T00:00:00+02:00", "end_datetime": "2024-05-31T00:00:00Z"}
    made = open_raster(item_of(path, None, **span)).provenance
    assert "datetime" not in made
    assert made["start_datetime"] == "2024-04-30T22:00:00Z"
    assert made["end_datetime"] == "2024-05-31T00:00:00Z"
    east = datetime.timezone(datetime.timedelta(hours=9))
    first, second = (datetime.datetime(2024, 5, day, 8, tzinfo=east) for day in (1, 3))
    assert open_raster(item_of(path, first)).provenance["datetime"] == "2024-04-30T23:00:00Z"
    pair = open_raster([item_of(path, first), item_of(path, second)]).provenance
    assert (pair["start_datetime"], pair["end_datetime"]) == (
        "2024-04-30T23:00:00Z",
        "2024-05-02T23:00:00Z",
    )
    assert not {"datetime", "start_datetime"} & set(
        open_raster([item_of(path, first), path]).provenance
    )


@pytest.mark.parametrize("bands", [None, ("red", "green", "blue"), ("nir",)])
def test_bands_of_a_visual_asset_are_known_by_their_names(tmp_path, bands) -> None:
    """Family: good data refused; the picture has four bands, and the item says which they are."""
    data = builder.scene(4)
    path = builder.write(tmp_path / "naip.tif", data)
    item = item_of(path, datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC))
    names = ("nir", "blue", "green", "red")
    item.assets["image"].roles = ["visual"]
    item.assets["image"].extra_fields["eo:bands"] = [
        {"name": f"B{n}", "common_name": name} for n, name in enumerate(names)
    ]
    raster = open_raster(item, bands=bands)
    shown = next(iter(raster.chips(64, 0))).pixels
    order = [0, 0, 0] if bands == ("nir",) else [3, 2, 1]
    np.testing.assert_array_equal(shown, np.moveaxis(data[order, :64, :64], 0, -1))
