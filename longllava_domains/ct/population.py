"""Age, sex and scanner of a CT, as a band and words from fixed lists: enough to say whom a model saw.

The header's own text and the exact age are never passed on.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

BAND_YEARS: Final = 10
# From here on one band, as in the safe-harbour rule of HIPAA (45 CFR 164.514): the old are few.
OLDEST_FROM_YEARS: Final = 90
LIFETIME_YEARS: Final = 150
_AGE: Final = re.compile(r"(\d{1,3})([DWMY])\Z")  # value representation AS, PS3.5 section 6.2
_IN_A_YEAR: Final = {"D": 366, "W": 53, "M": 12, "Y": 1}

# Word -> how the names of a manufacturer begin, those of bought ones included.
_MANUFACTURERS: Final[Mapping[str, tuple[str, ...]]] = {
    "GE": ("GE ", "GEMS", "GENERAL ELECTRIC"),
    "SIEMENS": ("SIEMENS",),
    "PHILIPS": ("PHILIPS", "MARCONI", "PICKER", "ELSCINT"),
    "CANON": ("CANON", "TOSHIBA"),
    "FUJIFILM": ("FUJI", "HITACHI"),
    "UNITED_IMAGING": ("UIH", "UNITED IMAGING", "SHANGHAI UNITED"),
    "NEUSOFT": ("NEUSOFT",),
    "SAMSUNG": ("SAMSUNG", "NEUROLOGICA"),
}
OTHER_MANUFACTURER: Final = "OTHER"
PHASES: Final = ("native", "contrast")
# Other sexes are not said: no calibration has enough of them to set a limit.
_SEXES: Final[Mapping[str, str]] = {"M": "male", "F": "female"}


def age_from_years(text: str) -> int | None:
    """Return the first year of the ten that an age lies in, None where the header says none.

    Args:
        text: Patient's Age (0010,1010), such as ``"047Y"`` or ``"011M"``.
    """
    match = _AGE.match(text)
    if match is None:
        return None
    years = int(match[1]) // _IN_A_YEAR[match[2]]
    if years > LIFETIME_YEARS:
        return None
    return min(years // BAND_YEARS * BAND_YEARS, OLDEST_FROM_YEARS)


def age_band(from_years: float) -> tuple[int, int]:
    """Return the first and the last year of an age band."""
    first = int(from_years)
    return first, LIFETIME_YEARS if first >= OLDEST_FROM_YEARS else first + BAND_YEARS - 1


def sex_word(text: str) -> str:
    """Return the sex of a patient in one word, empty where the header says none of the two.

    Args:
        text: Patient's Sex (0010,0040), such as ``"F"``.
    """
    return _SEXES.get(text.strip().upper(), "")


def manufacturer_word(text: str) -> str:
    """Return the manufacturer of a scanner in one word, empty where the header says none.

    Args:
        text: Manufacturer (0008,0070).
    """
    name = text.upper()
    if not name:
        return ""
    for word, starts in _MANUFACTURERS.items():
        if name == word or name.startswith(starts):
            return word
    return OTHER_MANUFACTURER


def population_of(made: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what the provenance of views says of patient and scanner, empty where it says nothing.

    Words: ``body_part``, ``phase`` (native, contrast), ``kernel``, ``manufacturer``, ``sex`` (male,
    female). Lowest and highest number: ``age_years``, ``slice_spacing_mm``.

    Args:
        made: Provenance of views, or of a report on them.
    """
    series = made.get("series") or {}
    spacing = (made.get("spacing_mm") or [None])[0]
    kernel, manufacturer, sex = (series.get(name) for name in ("kernel", "manufacturer", "sex"))
    return {
        "body_part": list(series.get("body_part") or ()),
        "phase": [word for word in series.get("phase") or () if word in PHASES],
        "kernel": [] if kernel in (None, "unknown") else [kernel],
        "manufacturer": [] if manufacturer is None else [manufacturer],
        "sex": [] if sex is None else [sex],
        "age_years": list(series.get("age_years") or ()),
        "slice_spacing_mm": [] if not spacing else [round(spacing, 2)] * 2,
    }
