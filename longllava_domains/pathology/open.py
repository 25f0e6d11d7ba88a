"""`open_slide`: from a path to a `Slide` whose resolution and colours are proved."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from longllava_domains.arguments import checked
from longllava_domains.errors import NotFoundError, UnsupportedInputError
from longllava_domains.extras import require_extra
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.load_report import LoadReport
from longllava_domains.pathology.mpp import (
    MppEvidence,
    from_aperio,
    from_tiff,
    number,
    prove_mpp,
)
from longllava_domains.pathology.slide import Slide
from longllava_domains.pathology.slide_source import Box, SlideSource

_TIFF_HEADS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OWN_TIFF: Final = (None, "aperio", "generic-tiff")


@dataclass(frozen=True)
class OpenedSlide:
    """A source of pixels, with what the file says of it.

    Attributes:
        source: The pixels.
        evidence: What fields say about resolution, the most trusted first.
        codes: Decisions for the report.
        numbers: Measurements for the report.
        files: Local files, for the checksum.
        bounds: Scanned part of level 0; None where all of it is.
    """

    source: SlideSource
    evidence: tuple[MppEvidence, ...]
    codes: dict[str, int]
    numbers: dict[str, float]
    files: tuple[str, ...]
    bounds: Box | None = None


@checked
def open_slide(path: str | os.PathLike[str], *, mpp: float | None = None) -> Slide:
    """Open a pathology slide.

    TIFF (Aperio SVS, generic, OME) and DICOM are read natively, all else that OpenSlide knows
    (NDPI, MRXS, SCN, BIF, Philips ...) through it; the report says which, and why. Colours are
    shown as the scanner stored them: no colour profile is applied, whichever reader it is.

    Args:
        path: A slide file, a DICOM file of a slide, or a folder or zip archive of one.
        mpp: Microns per pixel of the full resolution, 0.05 to 10; wins over the file.

    Returns:
        The open slide; a context manager.

    Raises:
        NotFoundError: Nothing is there.
        UnsupportedInputError: No slide format, or no 8-bit brightfield image: grey, fluorescence,
            16 bits, CMYK, focal planes.
        DamagedInputError: Truncated or inconsistent.
        GeometryError: No resolution, one that no scanner has (72 dpi), or pixels not square by
            over 2 %.
        AmbiguousInputError: Fields disagree about resolution, or a folder holds several slides.
        PolicyError: `mpp` is no resolution.

    Example:
        >>> from longllava_domains import pathology
        >>> slide = pathology.open_slide("case_17.svs")  # doctest: +SKIP
        >>> slide.read(4000, 3000, 1344, 1344, mpp=2.0).shape  # doctest: +SKIP
        (336, 336, 3)
    """
    require_extra("pathology")
    place = os.fspath(path)
    opened = _open(place)
    try:
        resolution = prove_mpp(opened.evidence, mpp)
    except Exception:
        opened.source.close()
        raise
    codes = opened.codes | {f"mpp.{resolution.source}": 1, "colour.as_stored": 1}
    codes |= {f"mpp.ignored.{field}": 1 for field in resolution.ignored}
    numbers = opened.numbers | {"mpp": resolution.mpp, "levels": len(opened.source.levels)}
    return Slide(
        opened.source, resolution.mpp, LoadReport("slide", codes, numbers), opened.bounds,
        opened.files,
    )  # fmt: skip


def _open(path: str) -> OpenedSlide:
    try:
        if Path(path).is_dir():
            return _open_dicom(path)
        with open_regular(path) as file:
            head = file.read(132)
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise NotFoundError(
            "There is no readable file or folder at this path.",
            remedy="Check that the path exists and that you may read it.",
            code="input.unreadable",
        ) from None
    if head[128:132] == b"DICM" or head[:4] == b"PK\x03\x04":
        return _open_dicom(path)
    from longllava_domains.pathology.sources.openslide_jailed import detect_format

    if head[:4] not in _TIFF_HEADS:
        return _open_with_openslide(path, "only_openslide")
    known = detect_format(path)
    if known not in _OWN_TIFF:
        return _open_with_openslide(path, "only_openslide")
    try:
        return _open_tiff(path)
    except UnsupportedInputError as error:
        if error.code != "slide.codec" or known is None:
            raise
        return _open_with_openslide(path, "codec")


def _open_tiff(path: str) -> OpenedSlide:
    from longllava_domains.pathology.sources.tiff import TiffSlideSource
    from longllava_domains.pathology.sources.tiff_index import read_index

    index = read_index(path)
    evidence = index.ome.evidence if index.ome else from_aperio(index.description)
    evidence += from_tiff(*index.resolution)
    numbers = {}
    if index.vendor == "aperio":
        power = re.search(r"\|\s*AppMag\s*=\s*([^|\r\n]+)", index.description)
        if power and (value := number(power[1])):
            numbers["objective_power_hint"] = value
    codes = {"backend.tiff": 1, "reason.tiles_decoded_once": 1, f"vendor.{index.vendor}": 1}
    codes |= _found(index.withheld, has_icc=index.has_icc)
    return OpenedSlide(TiffSlideSource(index), evidence, codes, numbers, (path,))


def _open_dicom(path: str) -> OpenedSlide:
    from longllava_domains.pathology.sources.dicom_index import read_index
    from longllava_domains.pathology.sources.dicom_wsi import DicomSlideSource

    index = read_index(path)
    codes = {"backend.dicom": 1, "reason.codestream_decides_colour": 1, **index.codes}
    codes |= _found(index.withheld, has_icc=index.has_icc)
    files = (path,) if Path(path).is_file() else ()
    return OpenedSlide(DicomSlideSource(index), index.evidence, codes, dict(index.numbers), files)


def _open_with_openslide(path: str, reason: str) -> OpenedSlide:
    from longllava_domains.pathology.sources.openslide_jailed import open_with_openslide

    source = open_with_openslide(path)
    codes = {"backend.openslide": 1, f"reason.{reason}": 1, f"vendor.{source.vendor}": 1}
    codes |= _found(source.withheld, has_icc=source.has_icc)
    power = source.objective_power
    numbers = {} if power is None else {"objective_power_hint": power}
    return OpenedSlide(source, source.mpp_evidence, codes, numbers, (path,), source.bounds)


def _found(withheld: int, *, has_icc: bool) -> dict[str, int]:
    codes = {"images.withheld": withheld, "colour.profile_not_applied": int(has_icc)}
    return {code: count for code, count in codes.items() if count}
