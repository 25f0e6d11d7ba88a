"""`Opened`: one file, its shown bands and its place, before scenes are joined or shown."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.georeference import Georeference
from longllava_domains.remote_sensing.io.bands import choose_bands
from longllava_domains.remote_sensing.io.claims import require_plausible
from longllava_domains.remote_sensing.io.content import content_of
from longllava_domains.remote_sensing.io.datasets.open import open_dataset
from longllava_domains.remote_sensing.io.gdal import reading
from longllava_domains.remote_sensing.io.href import gdal_name, is_remote, local_file, recordable
from longllava_domains.remote_sensing.io.metadata import (
    acquired,
    band_facts,
    full_scale,
    palette,
    physical_units,
    require_pixels,
)
from longllava_domains.remote_sensing.io.pixel_source import PixelSource
from longllava_domains.remote_sensing.io.placement import georeference
from longllava_domains.remote_sensing.io.tiff_source import pixel_source
from longllava_domains.remote_sensing.io.vrt import read_files
from longllava_domains.visual.strips import Rgb

Bands = str | int | Sequence[int | str] | None


@dataclass(frozen=True)
class Acquired:
    """Acquisition time of a scene, ISO 8601; nothing if no one says it.

    Attributes:
        time: The moment.
        start: Of the interval, where there is one.
        end: Of the interval.
    """

    time: str | None = None
    start: str | None = None
    end: str | None = None

    @property
    def is_known(self) -> bool:
        """True where a moment or an interval is known."""
        return self.time is not None or self.start is not None or self.end is not None

    def joined(self, other: "Acquired") -> "Acquired":
        """Return the time of two scenes together; unknown where one of them is."""
        if self == other:
            return self
        starts = (self.start or self.time, other.start or other.time)
        ends = (self.end or self.time, other.end or other.time)
        if None in starts or None in ends:
            return Acquired()
        return Acquired(None, min(filter(None, starts)), max(filter(None, ends)))


@dataclass(frozen=True)
class Opened:
    """A source of pixels with all that is needed to place, join and show it.

    Attributes:
        source: Pixels of the shown bands.
        place: Their georeference.
        scales: Physical units per stored unit, per shown band.
        offsets: Physical value of a stored 0, per shown band.
        palette: uint8 (entries, 3), or None.
        full_scale: Stored values of black and white where the file says other ones than usual.
        codes: Decisions for the report.
        numbers: Measurements for the report.
        hrefs: Recordable names of what was opened.
        files: Local files that the pixels come from, sidecars and a VRT's sources too; empty where
            any of them is remote.
        acquired: When the scene was taken.
        stac_id: Id of the STAC item.
        dataset: The rasterio dataset behind one file; None once files are joined.
    """

    source: PixelSource
    place: Georeference
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    palette: Rgb | None = None
    full_scale: tuple[float, float] | None = None
    codes: Mapping[str, int] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    hrefs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    acquired: Acquired = field(default_factory=Acquired)
    stac_id: str | None = None
    dataset: Any = None


def open_one(
    href: str | os.PathLike[str],
    bands: Bands = None,
    crs: str | None = None,
    nodata: float | None = None,
) -> Opened:
    """Open one path or link with rasterio.

    Args:
        href: Anything GDAL opens.
        bands: As for `open_raster`.
        crs: Overrides what the file says.
        nodata: Overrides what the file says.

    Raises:
        LongLlavaError: As `open_raster` lists them.
    """
    name = gdal_name(os.fspath(href))
    with silenced() as warned:
        dataset = open_dataset(name)
        read = read_files(name)
        with reading(name):  # damaged directories show on the first question about the bands
            opened = _described(name, dataset, bands, crs, nodata)
            opened = replace(opened, files=_hashed_files(name, dataset, read))
    warnings = warned.count + getattr(dataset, "warnings", 0)  # in the jail, and here
    if warnings == 0:
        return opened
    return replace(opened, codes={**opened.codes, "gdal.warnings": warnings})


def _described(
    name: str, dataset: Any, bands: Bands, crs: str | None, nodata: float | None
) -> Opened:
    require_pixels(dataset)
    require_plausible(dataset, name)
    choice = choose_bands(band_facts(dataset), bands)
    place, placed, numbers = georeference(dataset, crs)
    classes = choice.how == "palette"
    scales, offsets = physical_units(dataset, choice.numbers)
    full = None if classes else full_scale(dataset, choice.numbers[0])
    codes = {f"bands.{choice.how}": 1, **placed}
    if full:
        codes["bands.full_scale"] = 1
    if nodata is not None:
        codes["nodata.given"] = 1
    content = content_of(dataset, choice.numbers, has_palette=classes)
    if content is not None:
        codes[f"content.{content}"] = 1
    return Opened(
        source=pixel_source(dataset, choice.numbers, name, categorical=classes, nodata=nodata),
        place=place,
        scales=scales,
        offsets=offsets,
        palette=palette(dataset, choice.numbers[0]) if classes else None,
        full_scale=full,
        codes=codes,
        numbers=numbers,
        hrefs=(recordable(name),),
        acquired=Acquired(acquired(dataset)),
        dataset=dataset,
    )


def _hashed_files(name: str, dataset: Any, read: Sequence[str]) -> tuple[str, ...]:
    """Return the local files that the pixels come from, sidecars too; none where one is remote."""
    names = dict.fromkeys((*read, *dataset.files))
    if any(is_remote(entry) for entry in names):
        return ()
    found = [local_file(entry) for entry in names]
    return tuple(dict.fromkeys(file for file in found if file is not None))
