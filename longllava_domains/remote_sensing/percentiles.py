"""A percentile stretch fitted to a scene: one that never collapses, and is not bent by fill values."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError, NotFoundError
from longllava_domains.remote_sensing.io.gdal_source import GdalSource
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.pixel_source import Pixels, PixelSource
from longllava_domains.remote_sensing.io.sampling import bands_of_rows, has_data
from longllava_domains.remote_sensing.io.tiff_source import TiffSource
from longllava_domains.remote_sensing.stretch import Stretch

PERCENTILES: Final = (2.0, 98.0)

# A fill value is frequent, lies apart from the rest, and hardly anything lies in between.
_LEAST_SHARE: Final = 0.005
_MOST_SHARE: Final = 0.98
_LEAST_GAP: Final = 0.05
_MOST_BETWEEN: Final = 0.005
_LEAST_VALUES: Final = 400
# So many different values are no classes.
_LEAST_DISTINCT: Final = 16
_QUICK_ROWS: Final = 1024
_QUICK_PX: Final = 2048**2
_DISTINCT_SAMPLE: Final = 50_000

# Integers within so few steps are flat beside what lies this many times further out.
_FEW_STEPS: Final = 4
_FAR_OUT: Final = 8
_LEAST_FAR_PIXELS: Final = 10


@dataclass(frozen=True)
class Fitted:
    """A stretch, and what had to be done for it.

    Attributes:
        stretch: From the 2nd to the 98th percentile, or wider.
        codes: ``"stretch.widened"`` and ``"nodata.suspected"``, channels each.
        numbers: ``"suspected_nodata"``, the stored value.
    """

    stretch: Stretch
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def fit_stretch(
    source: PixelSource, scales: tuple[float, ...], offsets: tuple[float, ...]
) -> Fitted:
    """Return the 2nd to 98th percentile of each channel, over a sample of the whole scene.

    A frequent value apart from all others is taken for undeclared nodata and left out. Where nearly
    all pixels have one value, the stretch goes to the extremes of the whole scene, or what is not sea
    would look like sea.

    Args:
        source: The scene; read whole only where its sample is flat.
        scales: Physical units per stored unit, per channel.
        offsets: Physical value of a stored 0, per channel.

    Raises:
        NotFoundError: A channel holds no data in the whole sample.
    """
    sample = source.sample()
    low, high, widened, suspected = [], [], 0, []
    for channel, (empty, scale, offset) in enumerate(
        zip(source.nodata, scales, offsets, strict=True)
    ):
        values = _sampled(sample, channel, empty)
        fill = suspected_nodata(values)
        if fill is not None:
            suspected.append(fill)
            values = values[values != fill]
        edges = [float(edge) for edge in np.percentile(values.astype(np.float64), PERCENTILES)]
        if edges[0] == edges[1]:
            wider = _extremes(source, channel, (empty, fill))
        elif _is_nearly_flat(values, *edges):
            wider = [float(values.min()), float(values.max())]
        else:
            wider = edges
        widened += wider != edges
        low.append(wider[0] * scale + offset)
        high.append(wider[1] * scale + offset)
        if scale < 0:
            low[-1], high[-1] = high[-1], low[-1]
    codes = {"stretch.widened": widened, "nodata.suspected": len(suspected)}
    numbers = {"suspected_nodata": suspected[0]} if suspected else {}
    stretch = Stretch("percentile", tuple(low), tuple(high))
    return Fitted(stretch, {code: count for code, count in codes.items() if count}, numbers)


def look_for_nodata(source: PixelSource) -> Fitted:
    """Return a report of undeclared nodata in a scene that is shown as it is, its stretch ``"none"``.

    A collar that a viewer shows black is data to the model. Looked for where that is quick: in local
    files without nodata, mask or alpha, plain TIFFs and small scenes.

    Args:
        source: The scene.
    """
    plain = Fitted(Stretch("none"))
    if not isinstance(source, GdalSource) or source.block_rows > _QUICK_ROWS:
        return plain
    if not isinstance(source, TiffSource) and source.width * source.height > _QUICK_PX:
        return plain  # a block of JPEG 2000 alone takes a moment
    if is_remote(source.href) or any(value is not None for value in source.nodata):
        return plain
    try:
        sample = source.sample()
    except DamagedInputError:
        return plain  # whoever reads the pixels says so
    if any(pixels.valid is not None for pixels in sample):
        return plain
    found = [suspected_nodata(_sampled(sample, n, None)) for n in range(source.channels)]
    if found[0] is None or len(set(found)) > 1:
        return plain
    return Fitted(plain.stretch, {"nodata.suspected": len(found)}, {"suspected_nodata": found[0]})


def suspected_nodata(values: NDArray[Any]) -> float | None:
    """Return the least or largest value where it is frequent and apart from all others.

    Args:
        values: Of one channel, finite.
    """
    if values.size < _LEAST_VALUES:
        return None
    for extreme in (values.min(), values.max()):
        rest = values[values != extreme].astype(np.float64)
        share = 1 - rest.size / values.size
        if not _LEAST_SHARE <= share <= _MOST_SHARE:
            continue
        few = rest[:: 1 + rest.size // _DISTINCT_SAMPLE]
        if np.unique(few).size < _LEAST_DISTINCT:
            continue
        low, high = np.percentile(rest, PERCENTILES)
        gap = low - extreme if extreme < low else extreme - high
        between = np.mean(np.abs(rest - float(extreme)) < gap / 2)
        if gap >= _LEAST_GAP * (high - low) > 0 and between <= _MOST_BETWEEN:
            return float(extreme)
    return None


def _sampled(sample: list[Pixels], channel: int, empty: float | None) -> NDArray[Any]:
    parts = [_channel_data(pixels, channel, empty) for pixels in sample]
    values = np.concatenate(parts) if parts else np.empty(0)
    if values.size == 0:
        raise NotFoundError(
            "A band holds nothing but nodata.",
            remedy="Choose other bands, or check the nodata value of the file.",
            code="raster.all_nodata",
            facts={"channel": channel},
        )
    return values


def _channel_data(pixels: Pixels, channel: int, empty: float | None) -> NDArray[Any]:
    plane = pixels.values[..., channel]
    values = plane.ravel() if pixels.valid is None else plane[pixels.valid]
    if empty is not None:
        values = values[values != empty]
    return values[np.isfinite(values)] if np.issubdtype(values.dtype, np.floating) else values


def _is_nearly_flat(values: NDArray[Any], low: float, high: float) -> bool:
    """Return whether integers keep within a few steps, except for more than a few dead pixels."""
    if not np.issubdtype(values.dtype, np.integer) or high - low > _FEW_STEPS:
        return False
    reach = _FAR_OUT * (high - low)
    far = np.count_nonzero(values > high + reach) + np.count_nonzero(values < low - reach)
    return bool(far >= _LEAST_FAR_PIXELS)


def _extremes(
    source: PixelSource, channel: int, left_out: tuple[float | None, float | None]
) -> list[float]:
    """Return the least and largest value of a channel, over every pixel that is data."""
    least, largest = np.inf, -np.inf
    for pixels in bands_of_rows(source):
        if not has_data(pixels):
            continue
        values = _channel_data(pixels, channel, left_out[0])
        if left_out[1] is not None:
            values = values[values != left_out[1]]
        if values.size:
            least, largest = min(least, float(values.min())), max(largest, float(values.max()))
    return [least, largest]
