"""Classify reconstruction kernels as soft or sharp by the names that vendors give them."""

import re
from typing import Final

# Siemens: B30f, Br40, Bl57, I30f, H40s, Hr44, Qr40: the number grows with sharpness.
_SIEMENS: Final = re.compile(r"(?:B|BR|BV|BF|BL|I|H|HR|HC|HP|J|T|U|UR|D|QR|SA)(\d\d)[A-Z]*\d*\Z")
# Canon / Toshiba: FC01 to FC19 body and FC2x head are soft, FC30 and above bone, FC5x and 8x lung.
_CANON: Final = re.compile(r"FC(\d\d)")
_SOFT: Final = frozenset({"STANDARD", "SOFT", "STND", "STD", "SMOOTH", "A", "B", "UA", "UB", "C",
                          "BODY", "BRAIN", "SOFT TISSUE"})  # fmt: skip
_SHARP: Final = frozenset({"LUNG", "BONE", "BONEPLUS", "EDGE", "DETAIL", "CHEST", "ULTRA", "D",
                           "E", "L", "YA", "YB", "YC", "YD", "YE", "SHARP"})  # fmt: skip
_SHARP_FROM: Final = 50


def kernel_class(names: tuple[str, ...]) -> str:
    """Return ``"soft"``, ``"sharp"`` or ``"unknown"``.

    Args:
        names: Values of Convolution Kernel (0018,1210), upper case; the first decides.
    """
    name = names[0] if names else ""
    if name in _SHARP:
        return "sharp"
    if name in _SOFT:
        return "soft"
    numbered = _SIEMENS.match(name)
    if numbered:
        return "sharp" if int(numbered.group(1)) >= _SHARP_FROM else "soft"
    numbered = _CANON.match(name)
    if numbered:
        return "sharp" if int(numbered.group(1)) >= 30 else "soft"
    return "unknown"
