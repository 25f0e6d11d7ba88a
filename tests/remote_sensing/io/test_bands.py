"""Which bands are shown, and why."""

from typing import Any

import pytest

from longllava_domains.errors import AmbiguousInputError, LongLlavaError, PolicyError
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.io.bands import SENSORS, BandFacts, choose_bands

PLAIN = ("undefined",)


def facts(count, names=None, colours=None, palette=False) -> Any:
    return BandFacts(tuple(colours or PLAIN * count), tuple(names or (None,) * count), palette)


@pytest.mark.parametrize(("given", "numbers", "how"), [
    (facts(1), (1,), "grey"),
    (facts(2, colours=("gray", "alpha")), (1,), "grey"),
    (facts(1, colours=("palette",), palette=True), (1,), "palette"),
    (facts(3), (1, 2, 3), "assumed"),
    (facts(4, colours=("alpha", "undefined", "undefined", "undefined")), (2, 3, 4), "assumed"),
    (facts(4, colours=("blue", "green", "red", "nir")), (3, 2, 1), "colour"),
    (facts(4, names=("blue", "Green (560 nm)", "RED", "nir")), (3, 2, 1), "name"),
    (facts(3, names=("Blue", "Green", "Red"), colours=("red", "green", "blue")), (3, 2, 1), "name"),
    (facts(3, names=("red", None, "blue")), (1, 2, 3), "assumed"),
    (facts(5, names=("B01", "B02", "B03", "B04", "B8A")), (4, 3, 2), "name"),
    (facts(7, names=tuple(f"SR_B{n}" for n in range(1, 8))), (4, 3, 2), "name"),
])  # fmt: skip
def test_the_file_decides_by_its_evidence(given, numbers, how) -> None:
    choice = choose_bands(given)
    assert (choice.numbers, choice.how) == (numbers, how)


@pytest.mark.parametrize(
    "given",
    [
        facts(2),
        facts(4),
        facts(10),
        facts(4, names=("B1", "B2", "B3", "B4")),
        facts(3, names=("B08", "B04", "B03")),
        facts(3, names=("nir", "red", "green"), colours=("red", "green", "blue")),
        facts(3, colours=("hue", "saturation", "lightness")),
        facts(3, colours=("y", "cb", "cr")),
    ],
)
def test_without_evidence_nothing_is_guessed(given) -> None:
    with pytest.raises(AmbiguousInputError, match="does not say"):
        choose_bands(given)


@pytest.mark.parametrize(("sensor", "count", "numbers"), [
    ("sentinel-2", 13, (4, 3, 2)), ("sentinel-2", 12, (4, 3, 2)), ("sentinel-2", 10, (3, 2, 1)),
    ("sentinel-2", 4, (3, 2, 1)), ("landsat-8-9", 7, (4, 3, 2)), ("landsat-8-9", 11, (4, 3, 2)),
    ("worldview", 8, (5, 3, 2)), ("worldview", 4, (3, 2, 1)), ("naip", 4, (1, 2, 3)),
])  # fmt: skip
def test_sensors_know_the_order_of_their_products(sensor, count, numbers) -> None:
    assert choose_bands(facts(count), sensor).numbers == numbers
    assert count in SENSORS[sensor]


def test_names_of_the_file_come_before_the_order_of_the_sensor() -> None:
    given = facts(4, names=("B08", "B04", "B03", "B02"))
    assert choose_bands(given, "sentinel-2").numbers == (2, 3, 4)


def test_a_sensor_with_another_number_of_bands_is_refused() -> None:
    with pytest.raises(PolicyError, match="products have"):
        choose_bands(facts(5), "sentinel-2")


@pytest.mark.parametrize(("bands", "numbers"), [
    ((3, 2, 1), (3, 2, 1)), ((4,), (4,)), ("nir", (4,)), (("nir", "red", "green"), (4, 3, 2)),
    (("B4", 1, "blue"), (4, 1, 1)),
])  # fmt: skip
def test_bands_can_be_named_or_numbered(bands, numbers) -> None:
    given = facts(4, names=("blue", "green", "red", "B4"), colours=("gray", *PLAIN * 2, "nir"))
    assert choose_bands(given, bands).numbers == numbers


@pytest.mark.parametrize(
    "bands", [(0, 1, 2), (1, 2, 9), ("purple",), (True, True, True), (1, 2), (), (-1,), "x"]
)
def test_bands_that_are_not_there_are_refused(bands) -> None:
    with pytest.raises(PolicyError):
        choose_bands(facts(4), bands)


def test_a_file_is_shown_in_the_order_its_band_names_say(raster_file) -> None:
    raster = open_raster(raster_file("strips_sixteen_rows"))
    assert raster.source.numbers == (3, 2, 1)
    assert raster.report.codes["bands.name"] == 1
    with pytest.raises(AmbiguousInputError):
        open_raster(raster_file("ten_bands"))
    assert open_raster(raster_file("ten_bands"), bands="sentinel-2").source.numbers == (3, 2, 1)


def test_alpha_is_never_a_colour(raster_file) -> None:
    raster = open_raster(raster_file("alpha_and_nodata"))
    assert (raster.source.numbers, raster.source.alpha) == ((1, 2, 3), 4)


def test_bands_to_pass_are_typed_without_spaces() -> None:
    from longllava_domains.pipelines.cli.options.remedies import typed

    for given, bands in ((facts(5), None), (facts(5), "sentinel-2")):
        with pytest.raises(LongLlavaError) as caught:
            choose_bands(given, bands)
        told = typed(caught.value.remedy, "views", {"--bands"})
        assert "--bands 3,2,1" in told
        assert "3, 2" not in told
