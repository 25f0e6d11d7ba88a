"""Views of a slide become annotations that QuPath imports: right place, no name, whole file."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
import shapely

from longllava_domains.errors import OutputError
from longllava_domains.export.slides.qupath import write_views
from longllava_domains.pathology.regions import read_region
from longllava_domains.pathology.slide_source import Box
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import MapPlace, SlidePlace, View, VisualSequence

PIXELS = np.zeros((8, 8, 3), np.uint8)
PLACES = [SlidePlace(0, 0, 4000, 3000, 2, 8.0), SlidePlace(1000, 500, 672, 672, 0, 0.5),
          SlidePlace(-20, 2800, 672, 672, 0, 0.5)]  # fmt: skip


def sequence() -> VisualSequence:
    made = Provenance(domain="pathology", policy={"view_tissue": [0.4, 0.9, 0.1]})
    return VisualSequence(tuple(View(PIXELS, place) for place in PLACES), provenance=made)


def test_every_view_is_an_annotation_at_its_place(tmp_path: Path) -> None:
    write_views(tmp_path / "views.geojson", sequence())
    told = json.loads((tmp_path / "views.geojson").read_text())
    assert told["type"] == "FeatureCollection"
    assert told["notice"] == RESEARCH_NOTICE
    assert len(told["features"]) == 3
    for feature, place, share in zip(told["features"], PLACES, (0.4, 0.9, 0.1), strict=True):
        outline = shapely.geometry.shape(feature["geometry"])
        assert outline.is_valid
        assert outline.bounds == (place.x, place.y, place.x + place.width, place.y + place.height)
        assert uuid.UUID(feature["id"])
        assert feature["properties"]["objectType"] == "annotation"
        assert feature["properties"]["classification"]["name"] == "View"
        assert feature["properties"]["measurements"]["mpp"] == place.mpp
        assert feature["properties"]["measurements"]["tissue"] == share
    assert len({feature["id"] for feature in told["features"]}) == 3


def test_places_are_counted_from_the_corner_that_the_program_counts_from(tmp_path: Path) -> None:
    write_views(tmp_path / "views.geojson", sequence(), origin=(900, 400))
    told = json.loads((tmp_path / "views.geojson").read_text())
    assert told["features"][1]["geometry"]["coordinates"][0][0] == [100, 100]


def test_what_we_write_we_read(tmp_path: Path) -> None:
    write_views(tmp_path / "views.geojson", sequence())
    region = read_region(tmp_path / "views.geojson", (4000, 3000), Box(0, 0, 4000, 3000), None)
    assert len(region.polygons) == 3
    assert region.box == (0, 0, 4000, 3000)


def test_views_of_another_kind_and_files_that_exist_are_refused(tmp_path: Path) -> None:
    place = MapPlace(0, 0, 8, 8, "tile", None, None)
    with pytest.raises(OutputError, match="slide"):
        write_views(tmp_path / "a.geojson", VisualSequence((View(PIXELS, place),)))
    write_views(tmp_path / "views.geojson", sequence())
    with pytest.raises(OutputError, match="exists"):
        write_views(tmp_path / "views.geojson", sequence())
    write_views(tmp_path / "views.geojson", sequence(), overwrite=True)
