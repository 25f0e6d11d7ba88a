"""A dataset in words: plain values out of rasterio in the jail, rasterio's objects again here."""

from types import MappingProxyType
from typing import Any, Final

_BAND_SPACE: Final = "IMAGE_STRUCTURE"
_SPACES: Final = ("", "IMAGE_STRUCTURE", "IMAGERY")


def describe(dataset: Any) -> dict[str, Any]:
    """Return plain values for everything that is asked of an open dataset beside its pixels.

    Args:
        dataset: A rasterio dataset.
    """
    gcps, gcp_crs = dataset.gcps
    bands = dataset.indexes
    return {
        "width": dataset.width,
        "height": dataset.height,
        "count": dataset.count,
        "driver": dataset.driver,
        "dtypes": dataset.dtypes,
        "nodatavals": dataset.nodatavals,
        "block_shapes": dataset.block_shapes,
        "colorinterp": [colour.name for colour in dataset.colorinterp],
        "descriptions": dataset.descriptions,
        "units": dataset.units,
        "scales": dataset.scales,
        "offsets": dataset.offsets,
        "flags": [[flag.name for flag in flags] for flags in dataset.mask_flag_enums],
        "overviews": [dataset.overviews(band) for band in bands],
        "transform": tuple(dataset.transform)[:6],
        "crs": _crs_words(dataset.crs),
        "gcps": [point.asdict() for point in gcps],
        "gcp_crs": _crs_words(gcp_crs),
        "rpcs": dataset.rpcs.to_dict() if dataset.rpcs is not None else None,
        "files": dataset.files,
        "subdatasets": len(dataset.subdatasets),
        "tags": {space: dataset.tags(ns=space or None) for space in _SPACES},
        "band_tags": [dataset.tags(band, ns=_BAND_SPACE) for band in bands],
        "colormaps": [_colormap(dataset, band) for band in bands],
    }


class Description:
    """A dataset's answers as rasterio gives them; pixels apart.

    Args:
        said: What `describe` returned, through JSON. It comes from a process that a file may
            have taken over: types are rebuilt here, and fail if they do not fit.

    Raises:
        LookupError, TypeError, ValueError: Something is missing or of a wrong kind.
    """

    def __init__(self, said: dict[str, Any]) -> None:
        from affine import Affine
        from rasterio.control import GroundControlPoint
        from rasterio.enums import ColorInterp, MaskFlags
        from rasterio.rpc import RPC

        self.width, self.height, self.count = (
            int(said[key]) for key in ("width", "height", "count")
        )
        self.driver = str(said["driver"])
        self.dtypes = tuple(map(str, said["dtypes"]))
        self.nodatavals = tuple(_number(value) for value in said["nodatavals"])
        self.block_shapes = [(int(rows), int(columns)) for rows, columns in said["block_shapes"]]
        self.colorinterp = tuple(ColorInterp[name] for name in said["colorinterp"])
        self.descriptions = tuple(
            None if text is None else str(text) for text in said["descriptions"]
        )
        self.units = tuple(None if text is None else str(text) for text in said["units"])
        self.scales = tuple(map(float, said["scales"]))
        self.offsets = tuple(map(float, said["offsets"]))
        self.mask_flag_enums = tuple([MaskFlags[name] for name in flags] for flags in said["flags"])
        self.transform = Affine(*map(float, said["transform"]))
        self.crs = _crs(said["crs"])
        self.gcps = ([GroundControlPoint(**point) for point in said["gcps"]], _crs(said["gcp_crs"]))
        self.rpcs = None if said["rpcs"] is None else RPC(**said["rpcs"])
        self.files = list(map(str, said["files"]))
        self.subdatasets = range(int(said["subdatasets"]))
        self._overviews = [[int(factor) for factor in factors] for factors in said["overviews"]]
        self._tags = {str(space): dict(tags) for space, tags in said["tags"].items()}
        self._band_tags = [dict(tags) for tags in said["band_tags"]]
        self._colormaps = [
            None if table is None else {int(entry): tuple(colour) for entry, colour in table}
            for table in said["colormaps"]
        ]
        per_band = (
            self.dtypes, self.nodatavals, self.block_shapes, self.colorinterp, self.descriptions,
            self.units, self.scales, self.offsets, self.mask_flag_enums, self._overviews,
        )  # fmt: skip
        if any(len(values) != self.count for values in per_band):
            raise ValueError

    def overviews(self, number: int) -> list[int]:
        """Return the decimation factors of a band's overviews."""
        return self._overviews[number - 1]

    def tags(self, number: int = 0, ns: str = "") -> MappingProxyType[str, str]:
        """Return metadata of the dataset, or the image structure of one band."""
        return MappingProxyType(self._band_tags[number - 1] if number else self._tags[ns])

    def colormap(self, number: int) -> dict[int, tuple[int, ...]]:
        """Return a band's colour table.

        Raises:
            ValueError: It has none.
        """
        table = self._colormaps[number - 1]
        if table is None:
            raise ValueError
        return table


def _colormap(dataset: Any, band: int) -> list[tuple[int, tuple[int, ...]]] | None:
    try:
        return list(dataset.colormap(band).items())
    except ValueError:  # rasterio's way to say there is none
        return None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _crs_words(crs: Any) -> list[str] | None:
    """Return authority and code, or WKT alone."""
    if not crs:
        return None
    authority = crs.to_authority(confidence_threshold=100)
    return list(authority) if authority else [crs.to_wkt()]


def _crs(words: list[str] | None) -> Any:
    from rasterio.crs import CRS

    if words is None:
        return None
    return CRS.from_authority(*words) if len(words) == 2 else CRS.from_wkt(words[0])
