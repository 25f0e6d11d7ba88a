"""Text of source headers that may be copied: by a character set that explains it, in today's form.

PS3.5 6.1 and 6.2. A header without Specific Character Set holds ASCII only; whatever else stands
there was written by a system that did not say how (GBK, Cyrillic, UTF-8), and decoding it by a
default gives a wrong name that looks like one. Dates and times of ACR-NEMA have punctuation that
today's format has not.
"""

import re
from typing import Any, Final

_ESCAPE: Final = 0x1B
_ASCII: Final = 0x80
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
# Defined terms (PS3.3 C.12.1.1.2) with one byte a character, where bytes 80 to 9F mean nothing.
_ONE_BYTE: Final = frozenset({
    "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127",
    "ISO_IR 126", "ISO_IR 138", "ISO_IR 148", "ISO_IR 203",
})  # fmt: skip
_OTHERS: Final = frozenset({
    "ISO_IR 13", "ISO_IR 166", "ISO_IR 192", "GB18030", "GBK", "ISO 2022 IR 6", "ISO 2022 IR 13",
    "ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 100", "ISO 2022 IR 101", "ISO 2022 IR 109",
    "ISO 2022 IR 110", "ISO 2022 IR 126", "ISO 2022 IR 127", "ISO 2022 IR 138", "ISO 2022 IR 144",
    "ISO 2022 IR 148", "ISO 2022 IR 149", "ISO 2022 IR 159", "ISO 2022 IR 166", "ISO 2022 IR 203",
})  # fmt: skip
_CONTROLS: Final = range(0x80, 0xA0)

_DATES: Final = frozenset({"StudyDate", "PatientBirthDate", "SeriesDate"})
_TIMES: Final = frozenset({"StudyTime", "SeriesTime"})
_DATE: Final = re.compile(r"(\d{4})[.\-/]?(\d\d)[.\-/]?(\d\d)\Z")
_TIME: Final = re.compile(r"(\d\d):?(\d\d)(?::?(\d\d)(\.\d{1,6})?)?\Z")


class UndecodableTextError(ValueError):
    """Bytes of a text that no character set of the header explains."""


def require_decodable(header: Any, keyword: str, parent: Any = None) -> None:
    """Refuse a text whose bytes the header's character set does not explain.

    Args:
        header: A pydicom data set as it was read; values that were set in memory are text already.
        keyword: DICOM keyword.
        parent: The data set that `header` is an item of, whose character set it inherits.

    Raises:
        UndecodableTextError: Bytes beyond ASCII under no, an unknown or a contradicted set.
    """
    raw = _raw(header, keyword)
    if raw is None or not any(byte >= _ASCII or byte == _ESCAPE for byte in raw):
        return
    terms = _terms(header) or ([] if parent is None else _terms(parent))
    if not any(terms) or any(term and term not in _ONE_BYTE | _OTHERS for term in terms):
        raise UndecodableTextError
    # Under a set of one byte a character, UTF-8 reads as pairs of letters that no name has.
    is_one_byte = len(terms) == 1 and terms[0] in _ONE_BYTE
    if is_one_byte and (_is_utf8(raw) or any(byte in _CONTROLS for byte in raw)):
        raise UndecodableTextError


def normal(keyword: str, text: str) -> str:
    """Return a date or time of ACR-NEMA in today's form, and anything else as it is."""
    pattern = _DATE if keyword in _DATES else _TIME if keyword in _TIMES else None
    found = pattern.match(text) if pattern else None
    return "".join(part or "" for part in found.groups()) if found else text


def _raw(header: Any, keyword: str) -> bytes | None:
    """Return the bytes of an element that has not been decoded yet, or of the name it became."""
    if keyword not in header:
        return None
    value = header.get_item(keyword).value
    original = getattr(value, "original_string", None)  # a PersonName keeps its bytes
    if isinstance(original, bytes):
        return original
    return value if isinstance(value, bytes) else None


def _terms(header: Any) -> list[str]:
    if _SPECIFIC_CHARACTER_SET not in header:
        return []
    value = header.get_item(_SPECIFIC_CHARACTER_SET).value
    if isinstance(value, bytes):
        value = value.decode("latin-1").split("\\")
    if isinstance(value, str):
        value = [value]
    return [str(term).strip("\0 ") for term in value or []]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
