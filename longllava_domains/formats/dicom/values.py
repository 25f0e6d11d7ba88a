"""Read DICOM values from raw bytes, whatever their VR claims, without a word to any log.

PS3.5 section 6.2. Decimal strings written with commas, integer strings with decimals, numbers
under VR UN: the number is taken where only one reading is possible, and refused otherwise.
"""

import math
import re
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\Z")


class BadValueError(ValueError):
    """A value cannot be read as what it should be; its text is never repeated."""


def text(raw: bytes) -> str:
    """Return one line of text without padding; never for showing."""
    return raw.decode("latin-1").strip("\0 \t\r\n")


def words(raw: bytes) -> tuple[str, ...]:
    """Return the values of a multi-valued text, upper case; empty for an empty value."""
    whole = text(raw)
    return tuple(part.strip("\0 ").upper() for part in whole.split("\\")) if whole else ()


def decimals(raw: bytes) -> tuple[float, ...]:
    """Return the numbers of a decimal or integer string; a comma counts as the decimal point.

    Raises:
        BadValueError: A part is not a finite number.
    """
    whole = text(raw)
    return tuple(_decimal(part.strip("\0 ")) for part in whole.split("\\")) if whole else ()


def _decimal(part: str) -> float:
    if not _NUMBER.match(part):
        raise BadValueError
    number = float(part.replace(",", "."))
    if not math.isfinite(number):
        raise BadValueError
    return number


def decimal(raw: bytes) -> float | None:
    """Return one number; None for an empty value.

    Raises:
        BadValueError: Not one finite number.
    """
    numbers = decimals(raw)
    if len(numbers) > 1:
        raise BadValueError
    return numbers[0] if numbers else None


def integer(raw: bytes) -> int | None:
    """Return one whole number, also where it was written as ``1.0``; None for an empty value.

    Raises:
        BadValueError: Not one whole number.
    """
    number = decimal(raw)
    if number is None:
        return None
    if number != int(number):
        raise BadValueError
    return int(number)


def unsigned_short(raw: bytes, little_endian: bool) -> int | None:
    """Return one 16-bit number, unsigned; None for an empty value.

    Raises:
        BadValueError: Not two bytes.
    """
    if not raw:
        return None
    if len(raw) != 2:
        raise BadValueError
    return int.from_bytes(raw, "little" if little_endian else "big")
