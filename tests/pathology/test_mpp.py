"""Resolution is proved by a field made for it, or refused by name; the user's word wins."""

from pathlib import Path

import pytest
import slide_builder as builder
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.errors import (
    AmbiguousInputError,
    GeometryError,
    InputError,
    PolicyError,
)
from longllava_domains.pathology import open_slide
from longllava_domains.pathology.mpp import MppEvidence, from_ome, from_tiff, number, prove_mpp

SMALL = builder.tissue(300, 200)


@pytest.mark.parametrize(
    ("write", "source"),
    [
        (lambda path: builder.svs(path, SMALL, factors=()), "aperio_mpp"),
        (lambda path: builder.svs(path, SMALL, factors=(), mpp="0,5"), "aperio_mpp"),
        (lambda path: builder.tiff(path, SMALL, factors=()), "tiff_resolution"),
        (lambda path: builder.ome(path, SMALL), "ome_physical_size"),
        (lambda path: builder.ome(path, SMALL, mpp=500, unit="nm"), "ome_physical_size"),
        (lambda path: builder.ome(path, SMALL, mpp=0.0005, unit="mm"), "ome_physical_size"),
        (lambda path: builder.dicom(path, SMALL, factors=(1,)), "dicom_pixel_spacing"),
    ],
)
def test_the_report_names_the_field_that_proves_it(tmp_path: Path, write, source: str) -> None:
    with open_slide(write(tmp_path / "slide.ome.tif")) as slide:
        assert slide.mpp == pytest.approx(builder.MPP, rel=1e-6)
        assert slide.report.codes[f"mpp.{source}"] == 1


@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_a_resolution_of_a_printer_is_refused(tmp_path: Path, dpi: int) -> None:
    path = builder.tiff(
        tmp_path / "a.tif", SMALL, factors=(), mpp=None, resolution=(dpi, dpi),
        resolutionunit="INCH",
    )  # fmt: skip
    with pytest.raises(GeometryError, match="72 dots per inch") as caught:
        open_slide(path)
    assert caught.value.code == "slide.mpp_implausible"
    assert caught.value.facts["mpp_x"] == pytest.approx(25400 / dpi, rel=1e-3)
    with open_slide(path, mpp=0.25) as slide:
        assert slide.mpp == 0.25
        assert slide.report.codes["mpp.argument"] == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda path: builder.tiff(path, SMALL, factors=(), mpp=None),
        lambda path: builder.svs(path, SMALL, factors=(), mpp=None),
        lambda path: builder.ome(path, SMALL, mpp=None),
        lambda path: builder.dicom(path, SMALL, factors=(1,), mpp=None),
    ],
)
def test_no_resolution_is_a_named_refusal(tmp_path: Path, write) -> None:
    path = write(tmp_path / "slide.ome.tif")
    with pytest.raises(GeometryError, match="how large its pixels are") as caught:
        open_slide(path)
    assert caught.value.code == "slide.mpp_missing"
    with open_slide(path, mpp=0.3) as slide:
        assert slide.mpp == 0.3


@pytest.mark.parametrize("write", [builder.tiff, builder.dicom])
def test_pixels_that_are_not_square_are_refused_beyond_two_per_cent(tmp_path: Path, write) -> None:
    with pytest.raises(GeometryError, match="not square") as caught:
        open_slide(write(tmp_path / "a.tif", SMALL, mpp=(0.5, 0.52)))
    assert (caught.value.facts["mpp_x"], caught.value.facts["mpp_y"]) == pytest.approx((0.5, 0.52))
    with open_slide(write(tmp_path / "b.tif", SMALL, mpp=(0.5, 0.505))) as slide:
        assert slide.mpp == pytest.approx(0.5025)
    with open_slide(tmp_path / "a.tif", mpp=0.51) as slide:
        assert slide.mpp == 0.51


def test_fields_that_disagree_are_both_named() -> None:
    fields = [MppEvidence("aperio_mpp", 0.25, 0.25), MppEvidence("tiff_resolution", 0.5, 0.5)]
    with pytest.raises(AmbiguousInputError, match=r"aperio_mpp.*tiff_resolution"):
        prove_mpp(fields, None)
    assert prove_mpp(fields, 0.25).mpp == 0.25


def test_a_default_that_cannot_be_true_does_not_disturb_a_field_that_can() -> None:
    fields = [MppEvidence("aperio_mpp", 0.25, 0.25), MppEvidence("tiff_resolution", 352.8, 352.8)]
    proved = prove_mpp(fields, None)
    assert (proved.mpp, proved.source, proved.ignored) == (0.25, "aperio_mpp", ("tiff_resolution",))


@pytest.mark.parametrize("given", [0, -1, 352.78, float("nan"), float("inf"), True, "0.5"])
def test_an_argument_that_is_no_resolution_is_refused(given) -> None:
    with pytest.raises(PolicyError, match="microns per pixel"):
        prove_mpp([MppEvidence("aperio_mpp", 0.25, 0.25)], given)


@given(st.floats(0.05, 10), st.floats(0.05, 10))
def test_whatever_is_proved_lies_between_both_axes_and_within_two_per_cent(
    x: float, y: float
) -> None:
    try:
        proved = prove_mpp([MppEvidence("field", x, y)], None)
    except InputError:
        assert abs(x - y) > 0.02 * min(x, y)
    else:
        assert min(x, y) <= proved.mpp <= max(x, y) <= 1.02 * min(x, y) * (1 + 1e-9)


@given(st.text() | st.none() | st.floats() | st.tuples(st.integers(), st.integers()))
def test_any_value_of_a_field_is_read_as_a_number_or_as_nothing(value: object) -> None:
    for found in (*from_tiff(value, value, 2), *from_ome(value, "µm", value, "µm")):
        assert found.is_plausible in (True, False)
    text = number(value)
    assert text is None or text > 0


def test_objective_power_is_a_hint_and_never_a_resolution(tmp_path: Path) -> None:
    with open_slide(builder.svs(tmp_path / "a.svs", SMALL, factors=())) as slide:
        assert slide.report.numbers["objective_power_hint"] == 20
    with pytest.raises(GeometryError):
        open_slide(builder.svs(tmp_path / "b.svs", SMALL, factors=(), mpp=None))
