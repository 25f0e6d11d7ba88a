"""Content of a raster that is no photograph: classes, radar, heat or heights.

The encoder learned from photographs; what looks bright in these means something else. Only what the
file or its STAC item says counts, never its looks.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

Content = Literal["classes", "radar", "thermal", "elevation"]

_WORDS: Final[Mapping[Content, re.Pattern[str]]] = MappingProxyType(
    {
        "radar": re.compile(
            r"\b(?:sar|radar|backscatter|sigma0|sigma_?nought|gamma0|beta0|coherence)\b"
            r"|(?:^|[_\s-])(?:vv|vh|hh|hv)(?:$|[_\s-])"
        ),
        "thermal": re.compile(
            r"\b(?:thermal|lwir\d*|tir[s12]?|brightness[ _]temperature|surface[ _]temperature|"
            r"lst|sst|st_b10)\b"
        ),
        "elevation": re.compile(
            r"\b(?:elevation|altitude|height|heights|dem|dsm|dtm|bathymetry|depth)\b"
        ),
        "classes": re.compile(
            r"\b(?:land ?cover|land ?use|classification|class|classes|qa_?pixel)\b"
        ),
    }
)
_UNITS: Final[Mapping[str, Content]] = MappingProxyType(
    {"k": "thermal", "kelvin": "thermal", "degc": "thermal", "celsius": "thermal",
     "degrees celsius": "thermal", "db": "radar", "decibel": "radar", "m": "elevation",
     "metre": "elevation", "metres": "elevation", "meter": "elevation", "meters": "elevation",
     "ft": "elevation"}
)  # fmt: skip
_RADAR_TAGS: Final = ("POLARISATION", "POLARIZATION", "POLARIZATIONS", "TX_RX_POLARISATION")


def content_of(dataset: Any, numbers: tuple[int, ...], *, has_palette: bool) -> Content | None:
    """Return what a dataset's shown bands are where it is no photograph; None where nothing says so.

    Args:
        dataset: An open rasterio dataset.
        numbers: Band numbers shown, from 1.
        has_palette: The bands are classes with a colour table.
    """
    if has_palette:
        return "classes"
    tags = {str(key).upper() for key in dataset.tags()}
    if tags.intersection(_RADAR_TAGS):
        return "radar"
    named = content_of_words(str(dataset.descriptions[number - 1] or "") for number in numbers)
    if named is not None:
        return named
    units = {str(dataset.units[number - 1] or "").strip().lower() for number in numbers}
    return _UNITS.get(units.pop()) if len(units) == 1 else None


def content_of_words(words: Iterable[str]) -> Content | None:
    """Return what names of bands say, where one of them names something else than light."""
    for word in words:
        for content, pattern in _WORDS.items():
            if pattern.search(word.lower()):
                return content
    return None


def content_of_item(item: Any) -> Content | None:
    """Return what the extensions of a STAC item say of the whole of it."""
    return "radar" if any(key.startswith("sar:") for key in item.properties) else None
