"""Stretch: one mapping from stored values to 0..255 for a whole scene, reusable on others."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing.io.pixel_source import Pixels
from longllava_domains.visual.strips import Mask, Rgb

# A band with one value has no contrast to show.
FLAT_GREY: Final = 128


@dataclass(frozen=True)
class Preset:
    """Reflectance shown as 0 and 255, and how a product stores reflectance when it does not say.

    Attributes:
        low: Reflectance shown as 0.
        high: Reflectance shown as 255.
        scale: Reflectance per stored unit.
        offset: Reflectance of a stored 0.
    """

    low: float
    high: float
    scale: float
    offset: float


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        # ESA shows reflectance 0.3558 as white in its L1C true-colour image.
        "sentinel-2": Preset(0.0, 0.3558, 1e-4, 0.0),
        # The same since processing baseline 04.00, which stores reflectance 0 as 1000.
        "sentinel-2-offset": Preset(0.0, 0.3558, 1e-4, -0.1),
        # USGS Collection 2 level 2: surface reflectance = 0.0000275 DN - 0.2.
        "landsat-8-9": Preset(0.0, 0.3, 2.75e-5, -0.2),
        # 11-bit digital numbers.
        "worldview": Preset(0.0, 2047.0, 1.0, 0.0),
    }
)


@checked_fields
@dataclass(frozen=True)
class Stretch:
    """A linear mapping per channel: `low` is shown as 0, `high` as 255, in between linearly.

    Attributes:
        name: ``"none"`` (8-bit values as they are), ``"full-scale"`` (the same where the file says
            what black and white are), ``"percentile"`` or a key of `PRESETS`.
        low: One per channel, in physical units (after the file's scale and offset).
        high: One per channel; equal to `low` where the band is flat, shown as grey 128; below it
            where small values are bright.
    """

    name: str
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not np.all(np.isfinite((*self.low, *self.high))):
            raise PolicyError(
                "A stretch needs one finite low and one finite high per channel.",
                remedy="Take the stretch from another scene's `raster.stretch.to_json()`.",
                code="raster.stretch",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the stretch as JSON."""
        return {"name": self.name, "low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "Stretch":
        """Return the stretch that `to_json` wrote.

        Raises:
            PolicyError: Keys are missing or hold something else.
        """
        try:
            low, high = (tuple(float(value) for value in entries[key]) for key in ("low", "high"))
            return cls(str(entries["name"]), low, high)
        except (KeyError, TypeError, ValueError):
            raise PolicyError(
                "This JSON is not a stretch.",
                remedy="Pass what `raster.stretch.to_json()` returned.",
                code="raster.stretch",
            ) from None


def preset(name: str, scales: tuple[float, ...], offsets: tuple[float, ...]) -> Stretch:
    """Return a preset for a raster; its own scale and offset count where it declares them.

    Raises:
        PolicyError: There is no such preset.
    """
    if name not in PRESETS:
        raise PolicyError(
            "There is no such stretch.",
            remedy=f"Use auto, none, percentile, {', '.join(PRESETS)}, or a Stretch.",
            code="raster.stretch",
        )
    chosen = PRESETS[name]
    if any(scale != 1 for scale in scales) or any(offset != 0 for offset in offsets):
        low, high = chosen.low, chosen.high
    else:
        low, high = ((edge - chosen.offset) / chosen.scale for edge in (chosen.low, chosen.high))
    return Stretch(name, (low,) * len(scales), (high,) * len(scales))


class Painter:
    """Stored values to RGB uint8 by one stretch; what is not data gets the fill colour.

    Args:
        stretch: The mapping; ``"none"`` passes 8-bit values through.
        dtype: Type of the stored values.
        scales: Physical units per stored unit, per channel.
        offsets: Physical value of a stored 0, per channel.
        fill: RGB of pixels that are not data.
        palette: (entries, 3) colour table of a one-channel raster, or None.
    """

    def __init__(
        self,
        stretch: Stretch,
        dtype: np.dtype[Any],
        scales: tuple[float, ...],
        offsets: tuple[float, ...],
        *,
        fill: tuple[int, int, int],
        palette: Rgb | None = None,
    ) -> None:
        self.stretch = stretch
        self.scales = scales
        self.offsets = offsets
        self.fill = np.array(fill, np.uint8)
        self.palette = palette
        self._plain = palette is None and stretch.name == "none"
        self._tables: list[Rgb] | None = None
        if palette is None and not self._plain and dtype.itemsize <= 2 and dtype.kind in "iu":
            unsigned = np.arange(2 ** (8 * dtype.itemsize)).astype(f"u{dtype.itemsize}")
            every = unsigned.view(dtype)  # signed values wrap: tables are indexed by their bits
            self._tables = [self._scaled(every, channel) for channel in range(len(scales))]

    def __call__(self, pixels: Pixels, out: Rgb) -> None:
        """Write uint8 (rows, columns, 3) for these pixels."""
        values = pixels.values
        if self.palette is not None:
            index = np.minimum(values[..., 0], len(self.palette) - 1)
            out[...] = self.palette[index]
        elif self._plain:
            out[...] = values  # one channel broadcasts to three
        else:
            for channel in range(values.shape[2]):
                self._channel(values[..., channel], channel, out[..., channel])
            if values.shape[2] == 1:
                out[..., 1:] = out[..., :1]
        self._blank(pixels.valid, out)

    def _channel(self, plane: NDArray[Any], channel: int, out: Rgb) -> None:
        if self._tables is None:
            out[...] = self._scaled(plane, channel)
        else:
            # Contiguous indices of the machine's own width halve the time; they cannot leave the
            # table, and "clip" spares NumPy the check.
            index = plane.view(f"u{plane.dtype.itemsize}").astype(np.intp)
            out[...] = self._tables[channel].take(index, mode="clip")

    def _scaled(self, plane: NDArray[Any], channel: int) -> Rgb:
        low, high = self.stretch.low[channel], self.stretch.high[channel]
        if low == high:
            return np.full(plane.shape, FLAT_GREY, np.uint8)
        physical = plane.astype(np.float64) * self.scales[channel] + self.offsets[channel]
        share = np.nan_to_num(np.clip((physical - low) / (high - low), 0.0, 1.0))
        return np.rint(share * 255).astype(np.uint8)

    def _blank(self, valid: Mask | None, out: Rgb) -> None:
        if valid is not None:
            blank = ~valid
            for channel, value in enumerate(self.fill):  # up to 30 times faster than rows of three
                np.copyto(out[..., channel], value, where=blank)
