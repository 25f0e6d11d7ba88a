"""Sequences of a slide: what is shown by which protocol, exactly where, and what was left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slide_builder as builder
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import AmbiguousInputError, LongLlavaError, PolicyError
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pathology.regions import box_region
from longllava_domains.pathology.slide_source import Box
from longllava_domains.pathology.sources.tiff import TiffSlideSource
from longllava_domains.pathology.views.fields import (
    evenly,
    joint_grid,
    lay_grid,
    most_diverse,
    most_tissue,
)
from longllava_domains.pathology.views.tissue import TissueMask
from longllava_domains.visual import SlidePlace
from longllava_domains.visual.contact_sheet import contact_sheet


@pytest.fixture(scope="module")
def slide(slide_file) -> Any:
    with open_slide(slide_file("svs")) as opened:
        yield opened


def covered(sequence, size: tuple[int, int]) -> np.ndarray:
    shown = np.zeros(size[::-1], np.bool_)
    for view in sequence:
        place = view.place
        top, left = max(0, place.y), max(0, place.x)
        shown[top : place.y + place.height, left : place.x + place.width] = True
    return shown


@pytest.mark.parametrize("most", [2, 5, 12, 40, 264])
def test_the_joint_protocol_shows_all_tissue_as_finely_as_the_budget_allows(
    slide, most: int
) -> None:
    shown = slide.to_sequence(TilePolicy(view_px=112, max_views=most))
    assert shown.layout == "grid"
    assert shown.grid is not None
    assert len(shown) == 1 + shown.grid[0] * shown.grid[1] <= most
    fields = shown.views[1:]
    assert all(view.pixels.shape == (112, 112, 3) for view in fields)
    assert len({view.place.mpp for view in fields}) == 1
    seen = covered(fields, slide.size)
    for row, column in np.argwhere(slide.tissue.mask)[::37]:
        cell = slide.tissue.cell
        assert seen[int((row + 0.5) * cell), int((column + 0.5) * cell)]
    order = [(view.place.y, view.place.x) for view in fields]
    assert order == sorted(order)
    if most < 40:
        assert shown.left_out["finer_fields_averaged"] > 0


def test_fields_a_pixel_smaller_would_not_fit() -> None:
    mask = TissueMask(np.ones((30, 40), np.bool_), (0, 0), 50.0, "overview")
    region = Box(0, 0, 2000, 1500)
    for most in (1, 4, 11, 50):
        grid = joint_grid(region, mask, TilePolicy(), 10, most)
        assert len(grid) <= most
        assert len(lay_grid(region, grid.side - 1, 0.0)) > most


def test_rows_and_columns_of_glass_are_left_out_and_counted(tmp_path: Path) -> None:
    image = np.full((1200, 1600, 3), builder.GLASS, np.uint8)
    part = builder.tissue(300, 300, islands=1, seed=1)
    image[50:350, 50:350], image[850:1150, 1250:1550] = part, part
    with open_slide(builder.tiff(tmp_path / "a.tif", image)) as slide:
        shown = slide.to_sequence(TilePolicy(view_px=112))
        assert shown.left_out["background"] > 0
        assert shown.grid is not None
        whole = lay_grid(Box(*slide.tissue.box), 112, 0.0)
        assert shown.left_out["background"] + len(shown) - 1 == len(whole)


@pytest.mark.parametrize(
    "policy",
    [
        TilePolicy(view_px=96),
        TilePolicy(view_px=96, mpp=1.3),
        TilePolicy(view_px=96, max_views=7),
        TilePolicy("native-tiles@1", view_px=96),
        TilePolicy("native-tiles@1", view_px=96, overlap=0.5, max_views=20),
        TilePolicy("native-tiles@1", view_px=96, mpp=2.0, drop="diversity", max_views=3),
        TilePolicy("vote-patches@1", view_px=96, max_views=4),
        TilePolicy("thumbnail@1"),
    ],
    ids=lambda policy: f"{policy.protocol} {policy.mpp} {policy.max_views}",
)
def test_every_view_is_what_the_slide_shows_at_its_place(slide, policy: TilePolicy) -> None:
    shown = slide.to_sequence(policy)
    for view in shown:
        place = view.place
        assert isinstance(place, SlidePlace)
        again = slide.read(place.x, place.y, place.width, place.height, mpp=place.mpp)
        assert np.array_equal(view.pixels, again)
        assert place.level == slide.level_for(place.mpp)
        assert view.pixels.shape[1] == pytest.approx(place.width * slide.mpp / place.mpp, abs=0.5)
    made = shown.provenance
    assert made["preset"] == policy.protocol
    assert made["policy"]["sha256"] == policy.to_json()["sha256"]
    thumbnail = policy.protocol == "thumbnail@1"
    assert len(made["policy"]["view_tissue"]) == (0 if thumbnail else len(shown))
    assert made["policy"]["view_mpp"] == sorted({view.place.mpp for view in shown})


def test_one_planted_field_among_a_thousand_keeps_its_place(tmp_path: Path) -> None:
    image = builder.tissue(64 * 40, 64 * 25, seed=9, islands=90)
    image[:] = np.minimum(image, (226, 170, 200))
    x, y = 64 * 23 + 5, 64 * 17 + 9
    image[y : y + 24, x : x + 24] = (30, 160, 60)
    path = builder.tiff(tmp_path / "a.tif", image, compression="deflate", compressionargs=None)
    with open_slide(path) as slide:
        region = [(0, 0, 2560, 1600)]
        everything = slide.region(
            {"type": "Polygon", "coordinates": [[[0, 0], [2560, 0], [2560, 1600], [0, 1600]]]}
        )
        for policy in (
            TilePolicy("native-tiles@1", view_px=64, max_views=1000),
            TilePolicy("native-tiles@1", view_px=64, max_views=4000, overlap=0.5),
            TilePolicy(view_px=64, max_views=1001),
            TilePolicy(view_px=64, max_views=90),
        ):
            shown = slide.to_sequence(policy, regions=region, tissue=everything)
            found = []
            for view in shown:
                green = (view.pixels[..., 1].astype(int) - view.pixels[..., 0]) > 60
                if view.place.mpp > 4 or green.sum() < 4:
                    continue
                scale = view.place.width / view.pixels.shape[1]
                rows, columns = np.nonzero(green)
                found.append(
                    (view.place.x + columns.min() * scale, view.place.y + rows.min() * scale)
                )
            assert found
            left = min(point[0] for point in found)
            top = min(point[1] for point in found)
            assert abs(left - x) <= scale
            assert abs(top - y) <= scale


def test_too_many_fields_go_by_a_named_rule_and_are_counted(slide) -> None:
    everything = slide.to_sequence(TilePolicy("native-tiles@1", view_px=64))
    for drop in ("tissue", "diversity"):
        shown = slide.to_sequence(TilePolicy("native-tiles@1", view_px=64, max_views=9, drop=drop))
        assert len(shown) == 9
        assert shown.left_out[f"over_budget.{drop}"] == len(everything) - 9
        order = [(view.place.y, view.place.x) for view in shown]
        assert order == sorted(order)
    votes = slide.to_sequence(TilePolicy("vote-patches@1", view_px=64, max_views=9))
    assert votes.left_out["over_budget.spread"] > 0
    assert votes.layout == "images"


def test_tissue_min_leaves_out_fields_with_little_tissue(slide) -> None:
    for least in (0.05, 0.5, 0.95):
        shown = slide.to_sequence(TilePolicy("native-tiles@1", view_px=64, tissue_min=least))
        shares = shown.provenance["policy"]["view_tissue"]
        assert min(shares) >= least - 1e-4
        assert shown.left_out["background"] > 0


def test_two_regions_are_shown_one_after_the_other(slide) -> None:
    boxes = [(150, 300, 400, 400), (900, 300, 400, 400)]
    shown = slide.to_sequence(TilePolicy(view_px=100, max_views=30), regions=boxes)
    first, second = shown.provenance["policy"]["views_of_regions"]
    assert first + second == len(shown) <= 30
    assert shown.layout == "images"
    assert (shown[0].place.x, shown[0].place.width) == (150, 400)
    assert (shown[first].place.x, shown[first].place.width) == (900, 400)


def test_a_polygon_shows_its_own_tissue_and_no_other(slide, tmp_path: Path) -> None:
    ring = [[150, 250], [700, 250], [700, 800], [150, 800], [150, 250]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
               "properties": {"name": "PLANTED^NAME"}}  # fmt: skip
    path = tmp_path / "region.geojson"
    import json

    for document in (feature, [feature], {"type": "FeatureCollection", "features": [feature]}):
        path.write_text(json.dumps(document))
        region = slide.region(path)
        assert region.box == (150, 250, 550, 550)
        shown = slide.to_sequence(TilePolicy("native-tiles@1", view_px=64), regions=[region])
        for view in shown:
            assert 150 - 64 < view.place.x < 700
        assert "PLANTED" not in repr(shown.provenance)


@pytest.mark.parametrize(
    "document",
    [{}, [], "nothing.geojson", {"type": "Point", "coordinates": [1, 2]}, {"type": "Polygon"},
     {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, {"type": "FeatureCollection"},
     {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [2, 2]]]},
     {"type": "Polygon", "coordinates": [[[9000, 9000], [9100, 9000], [9100, 9100]]]}, 7],
)  # fmt: skip
def test_what_is_no_region_is_refused_by_name(slide, document) -> None:
    with pytest.raises(LongLlavaError) as caught:
        slide.region(document)
    assert caught.value.remedy


def test_a_slide_with_bounds_asks_where_a_drawing_counts_from(slide_file) -> None:
    square = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 100], [0, 100]]]}
    with open_slide(slide_file("tiff")) as slide:
        slide.bounds = Box(300, 200, 900, 700)
        with pytest.raises(AmbiguousInputError, match="scanned") as caught:
            slide.region(square)
        assert caught.value.code == "slide.origin"
        assert slide.region(square, origin="slide").box == (0, 0, 100, 100)
        assert slide.region(square, origin="bounds").box == (300, 200, 100, 100)
        shown = slide.to_sequence(TilePolicy(view_px=128))
        assert (shown[0].place.x, shown[0].place.y) == (300, 200)
        seen = slide.tissue
        assert (seen.origin, seen.mask.shape) == ((300, 200), (700, 900))


@pytest.mark.parametrize(
    "settings_",
    [{"protocol": "joint"}, {"mpp": 0}, {"mpp": "1"}, {"view_px": 0}, {"overlap": 0.9},
     {"tissue_min": 2}, {"max_views": 1}, {"max_views": True}, {"drop": "random"}],
)  # fmt: skip
def test_a_policy_that_cannot_be_followed_is_refused(settings_) -> None:
    with pytest.raises(PolicyError):
        TilePolicy(**settings_)


def test_a_budget_too_small_for_the_regions_is_refused(slide) -> None:
    with pytest.raises(PolicyError, match="too few"):
        slide.to_sequence(TilePolicy(max_views=3), regions=[(0, 0, 99, 99), (200, 200, 99, 99)])


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 900), st.floats(0, 0.75))
def test_a_grid_covers_its_region_and_no_field_is_idle(
    width: int, height: int, side: int, overlap: float
) -> None:
    grid = lay_grid(Box(7, 11, width, height), side, overlap)
    for edges, start, extent in ((grid.lefts, 7, width), (grid.tops, 11, height)):
        assert edges[0] <= start
        assert edges[-1] + side >= start + extent
        assert (np.diff(edges) <= side).all()
        assert edges[0] + side > start
        assert edges[-1] < start + extent


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_choosing_keeps_order_and_number(count: int, most: int) -> None:
    rng = np.random.default_rng(count * 61 + most)
    shares, features = rng.random(count), rng.random((count, 5))
    for chosen in (most_tissue(shares, most), evenly(count, most), most_diverse(features, most)):
        assert len(chosen) == min(count, most)
        assert (np.diff(chosen) > 0).all()
    kept = most_tissue(shares, most)
    left = np.setdiff1d(np.arange(count), kept)
    assert not len(left) or shares[kept].min() >= shares[left].max()


def test_diversity_takes_one_of_each_kind_first() -> None:
    features = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]], 20, axis=0)
    assert len({tuple(features[at]) for at in most_diverse(features, 4)}) == 4


def test_a_contact_sheet_keeps_rows_and_columns(slide) -> None:
    shown = slide.to_sequence(TilePolicy(view_px=112, max_views=20))
    assert shown.grid is not None
    sheet = np.asarray(contact_sheet(shown, cell_px=112))
    first = shown[1].pixels
    assert any(
        np.array_equal(sheet[top : top + 112, 4:116], first) for top in range(sheet.shape[0] - 112)
    )


def test_tiles_without_tissue_are_never_decoded(tmp_path: Path, monkeypatch) -> None:
    image = np.full((1200, 1600, 3), builder.GLASS, np.uint8)
    image[850:1150, 1250:1550] = builder.tissue(300, 300, islands=1, seed=1)
    path = builder.tiff(tmp_path / "a.tif", image)
    decoded: set[tuple[int, int]] = set()
    real = TiffSlideSource.decode

    def noted(self, level: int, index: int) -> Any:
        decoded.add((level, index))
        return real(self, level, index)

    monkeypatch.setattr(TiffSlideSource, "decode", noted)
    with open_slide(path) as slide:
        drawn = box_region((1250, 850, 300, 300), slide.size)
        shown = slide.to_sequence(TilePolicy("native-tiles@1", view_px=128), tissue=drawn)
    assert len(shown) == 9
    assert {level for level, _ in decoded} == {0}
    assert {index % 13 for _, index in decoded} <= {9, 10, 11, 12}
    assert {index // 13 for _, index in decoded} <= {6, 7, 8, 9}
