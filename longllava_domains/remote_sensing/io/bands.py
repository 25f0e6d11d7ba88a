"""Find the red, green and blue bands: by colour, name, sensor or number, never by guess."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from longllava_domains.errors import AmbiguousInputError, PolicyError

RGB: Final = ("red", "green", "blue")

# Band order of the products as they are delivered, by number of bands.
SENSORS: Final[Mapping[str, Mapping[int, tuple[str, ...]]]] = MappingProxyType(
    {
        # Sentinel-2 Products Specification Document: L1C 13 bands, L2A without B10.
        "sentinel-2": {
            13: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
            12: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"),
            10: ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
            4: ("B02", "B03", "B04", "B08"),
        },
        # Landsat 8-9 OLI/TIRS Collection 2: 7 surface reflectance bands, or all 11 of level 1.
        "landsat-8-9": {
            7: ("coastal", "blue", "green", "red", "nir", "swir16", "swir22"),
            11: ("coastal", "blue", "green", "red", "nir", "swir16", "swir22", "pan", "cirrus", "lwir11", "lwir12"),
        },
        "worldview": {
            8: ("coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir09"),
            4: ("blue", "green", "red", "nir"),
        },
        "naip": {4: ("red", "green", "blue", "nir"), 3: RGB},
    }
)  # fmt: skip

_SENTINEL_2: Final = MappingProxyType(
    {"B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B8A": "nir08",
     "B11": "swir16", "B12": "swir22"}
)  # fmt: skip
_LANDSAT: Final = MappingProxyType(
    {"SR_B1": "coastal", "SR_B2": "blue", "SR_B3": "green", "SR_B4": "red", "SR_B5": "nir",
     "SR_B6": "swir16", "SR_B7": "swir22"}
)  # fmt: skip
_WORDS: Final = frozenset(
    {*RGB, *_SENTINEL_2.values(), *_LANDSAT.values(), "yellow", "rededge", "nir09", "pan", "cirrus"}
)


# GDAL's words for a band that is only a band.
_NO_COLOUR: Final = ("gray", "undefined")


@dataclass(frozen=True)
class BandFacts:
    """Facts of a file about its bands, in order; one entry per band.

    Attributes:
        colours: Lower-case colour interpretations, such as ``"red"``, ``"alpha"``, ``"undefined"``.
        names: Band descriptions, or names from STAC; None where there is none.
        palette: True for one band with a colour table.
    """

    colours: tuple[str, ...]
    names: tuple[str | None, ...]
    palette: bool = False


@dataclass(frozen=True)
class BandChoice:
    """The bands shown: three for colour, one for grey or palette.

    Attributes:
        numbers: Band numbers from 1, in the order red, green, blue.
        how: ``"palette"``, ``"grey"``, ``"colour"``, ``"name"``, ``"sensor"``, ``"number"`` or
            ``"assumed"`` (three bands that say nothing else of themselves).
    """

    numbers: tuple[int, ...]
    how: str


def choose_bands(
    facts: BandFacts, bands: str | int | Sequence[int | str] | None = None
) -> BandChoice:
    """Choose the bands to show.

    Args:
        facts: What the file says.
        bands: A sensor (a key of `SENSORS`), band numbers from 1, roles such as ``"nir"`` or
            names such as ``"B04"``, one or three of them; None lets the file decide.

    Raises:
        AmbiguousInputError: Nothing says which bands are red, green and blue.
        PolicyError: A band that is not there, or a number of bands that makes no picture.
    """
    if isinstance(bands, str) and bands in SENSORS:
        return BandChoice(_by_sensor(facts, bands), "sensor")
    if isinstance(bands, (str, int)):
        bands = (bands,)
    if bands is not None:
        return _by_request(facts, tuple(bands))
    return _by_evidence(facts)


def _by_evidence(facts: BandFacts) -> BandChoice:
    data = [number for number, colour in enumerate(facts.colours, 1) if colour != "alpha"]
    if facts.palette and len(data) == 1:
        return BandChoice((data[0],), "palette")
    if len(data) == 1:
        return BandChoice((data[0],), "grey")
    # Writers call any three bytes RGB; who names bands means it.
    candidates = [("colour", _found(facts.colours)), ("name", _found(_roles(facts)))]
    if len(data) == 3:
        candidates.append(("assumed", (data[0], data[1], data[2])))
    for how, numbers in candidates:
        if numbers and _agrees(facts, numbers):
            return BandChoice(numbers, how)
    raise AmbiguousInputError(
        f"The raster has {len(data)} bands and does not say which are red, green and blue.",
        remedy='Pass bands=(3, 2, 1) or one band, or a sensor such as bands="sentinel-2".',
        code="raster.bands",
        facts={"bands": len(data)},
    )


def _found(roles: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of red, green and blue; none where one of them is missing."""
    return tuple(roles.index(role) + 1 for role in RGB) if set(RGB) <= set(roles) else ()


def _agrees(facts: BandFacts, numbers: Sequence[int]) -> bool:
    """Return whether no band says, by its name or else by its colour, that it is another one."""
    roles = _roles(facts)
    colours = ["" if colour in _NO_COLOUR else colour for colour in facts.colours]
    said = [roles[number - 1] or colours[number - 1] for number in numbers]
    return all(word in ("", role) for word, role in zip(said, RGB, strict=True))


def _by_request(facts: BandFacts, wanted: tuple[int | str, ...]) -> BandChoice:
    if len(wanted) not in (1, 3):
        raise PolicyError(
            f"{len(wanted)} bands do not make a picture.",
            remedy="Name one band (shown grey) or three (shown as red, green and blue).",
            code="raster.band_count",
            facts={"bands": len(wanted)},
        )
    roles = _roles(facts)
    numbers = []
    for band in wanted:
        # bool is an int: bands=(True, ...) is a slip, not band 1.
        if isinstance(band, int) and not isinstance(band, bool):
            number = band if 1 <= band <= len(facts.colours) else 0
        else:
            number = _named(facts, roles, str(band))
        if number == 0:
            raise _no_band(facts)
        numbers.append(number)
    by_number = all(isinstance(band, int) for band in wanted)
    if facts.palette and len(numbers) == 1:
        return BandChoice(tuple(numbers), "palette")
    return BandChoice(tuple(numbers), "number" if by_number else "name")


def _named(facts: BandFacts, roles: Sequence[str], name: str) -> int:
    for candidates in (facts.names, roles, facts.colours):
        lowered = [None if entry is None else entry.lower() for entry in candidates]
        if name.lower() in lowered:
            return lowered.index(name.lower()) + 1
    return 0


def _by_sensor(facts: BandFacts, sensor: str) -> tuple[int, ...]:
    orders = SENSORS[sensor]
    count = sum(colour != "alpha" for colour in facts.colours)
    if all(role in _roles(facts) for role in RGB):
        return tuple(_roles(facts).index(role) + 1 for role in RGB)
    if count not in orders:
        raise PolicyError(
            f"The raster has {count} bands; {sensor} products have {sorted(orders)}.",
            remedy="Pass band numbers, such as bands=(3, 2, 1).",
            code="raster.sensor_bands",
            facts={"bands": count, "known": tuple(sorted(orders))},
        )
    order = [_SENTINEL_2.get(name, name) for name in orders[count]]
    return tuple(order.index(role) + 1 for role in RGB)


def _roles(facts: BandFacts) -> tuple[str, ...]:
    """Return one role per band, ``""`` where its name tells none."""
    roles = []
    for name in facts.names:
        text = (name or "").strip()
        # A bare "B4" is green-red on one sensor and near infrared on another: not evidence.
        known = _SENTINEL_2.get(text.upper()) or _LANDSAT.get(text.upper())
        word = re.split(r"[\s,;(]", text.lower(), maxsplit=1)[0]
        roles.append(known or (word if word in _WORDS else ""))
    return tuple(roles)


def _no_band(facts: BandFacts) -> PolicyError:
    return PolicyError(
        f"A band that was asked for is not among the raster's {len(facts.colours)}.",
        remedy="Use numbers from 1, colours, band names, or a sensor preset.",
        code="raster.no_band",
        facts={"bands": len(facts.colours)},
    )
