"""Find why a raster is slow to read, how long it will take, and the command that mends it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.remote_sensing.io.gdal_source import GdalSource
from longllava_domains.remote_sensing.io.pixel_source import PixelSource
from longllava_domains.remote_sensing.io.tiff_source import TiffSource
from longllava_domains.remote_sensing.mosaic.composite_source import MosaicSource, StackSource
from longllava_domains.remote_sensing.scene import Scene
from longllava_domains.units import MIB, human_bytes

# A raster this small is read before anyone could read the advice.
_LARGE_PX: Final = 2048**2
_FLAT_ROWS: Final = 64
_HELD_BYTES: Final = 256 * MIB
_TRIAL_S: Final = 0.5
_UNSEEN: Final = (0, 0, 0)


@dataclass(frozen=True)
class Diagnosis:
    """Layout of a raster, and what it costs.

    Attributes:
        layout: Such as ``"tiles of 512 x 512"``, of the first file.
        overviews: Decimations of the overviews all files share.
        findings: Codes: ``"strips"``, ``"no-overviews"``, ``"giant-block"``, ``"warped"``.
        sweep_s: Seconds one pass over all pixels takes, extrapolated from a trial.
        held_bytes: Memory one row of blocks needs where GDAL must hold it whole.
        command: What mends it; None where nothing is wrong.
    """

    layout: str
    overviews: tuple[int, ...]
    findings: tuple[str, ...]
    sweep_s: float
    held_bytes: int
    command: str | None

    def __str__(self) -> str:
        text = f"{self.layout}; one pass over all pixels takes about {self.sweep_s:.1f} s."
        said = {
            "strips": "Flat strips: a window of any width reads whole rows.",
            "no-overviews": "No overviews: the global view has to read every pixel.",
            "giant-block": f"A block must be held whole: {human_bytes(self.held_bytes)}.",
            "warped": "Files in other CRSs or grids are warped while they are read.",
        }
        sentences = [text, *(said[finding] for finding in self.findings)]
        if self.command is not None:
            sentences.append(f"To mend it: {self.command}")
        return " ".join(sentences)


def diagnose(raster: Scene) -> Diagnosis:
    """Look at a raster's layout and time a first half second of reading.

    Raises:
        DamagedInputError: A block of the trial cannot be decoded.
    """
    files = list(_files(raster.source))
    first = files[0]
    strips = first.block_columns >= first.width
    shape = f"{first.block_rows} rows" if strips else f"{first.block_columns} x {first.block_rows}"
    held = max((_held_bytes(file) for file in files), default=0)
    findings = []
    if raster.width * raster.height > _LARGE_PX:
        if any(_is_flat(file) for file in files):
            findings.append("strips")
        if raster.source.overview_factor(float("inf")) < 2:
            findings.append("no-overviews")
    if held > _HELD_BYTES:
        findings.append("giant-block")
    if raster.report.codes.keys() & {"warped", "levelled"}:
        findings.append("warped")
    mendable = set(findings) & {"strips", "no-overviews", "giant-block"}
    return Diagnosis(
        layout=f"{'strips' if strips else 'tiles'} of {shape}",
        overviews=_shared_overviews(files),
        findings=tuple(findings),
        sweep_s=_trial(raster),
        held_bytes=held,
        command=_command(raster.source) if mendable else None,
    )


def _files(source: PixelSource) -> Iterator[Any]:
    if isinstance(source, MosaicSource):
        for tile in source.tiles:
            yield from _files(tile.source)
    elif isinstance(source, StackSource):
        for band in source.sources:
            yield from _files(band)
    else:
        yield source


def _is_flat(file: GdalSource) -> bool:
    return bool(file.block_columns >= file.width and file.block_rows < _FLAT_ROWS)


def _held_bytes(file: GdalSource) -> int:
    """Return what GDAL's cache must hold; blocks that we decode ourselves are streamed."""
    if isinstance(file, TiffSource):
        return 0
    row = file.block_rows * file.width * file.dtype.itemsize
    return int(row * file.dataset.count)


def _shared_overviews(files: list[Any]) -> tuple[int, ...]:
    levels = [set(file.dataset.overviews(file.numbers[0])) for file in files]
    return tuple(sorted(set.intersection(*levels)))


def _trial(raster: Scene) -> float:
    """Extrapolate the time of a sweep from its first half second."""
    start = time.perf_counter()
    rows = 0
    for strip in raster.source.sweep(raster.painter(_UNSEEN), raster.threads):
        rows += len(strip.rgb)
        if time.perf_counter() - start > _TRIAL_S:
            break
    return (time.perf_counter() - start) * raster.height / rows


def _command(source: PixelSource) -> str:
    resampling = "mode" if source.categorical else "average"
    return (
        "rio cogeo create INPUT.tif OUTPUT.tif --cog-profile deflate "
        f"--overview-resampling {resampling}"
    )
