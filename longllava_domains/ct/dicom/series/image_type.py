"""Reading of an image's Image Type: whole values that are known, never parts of words.

PS3.3 C.7.6.1.1.2 and C.8.16.1, and what vendors write. "LOW DOSE" is no dose page and "AIDR 3D"
is no 3D rendering.
"""

from typing import Final

# All written with spaces: an underscore, a hyphen or a double space stands for one.
_PAGES: Final = frozenset({
    "SCREEN", "SCREEN SAVE", "SCREENSAVE", "SCREEN CAPTURE", "SCREEN SHOT", "DOSE", "DOSE INFO",
    "DOSE REPORT", "DOSE RECORD", "DOSE PAGE", "DOSE SUMMARY", "DOSE SHEET", "PATIENT INFO",
    "PATIENT PROTOCOL", "PATIENT DATA", "RESULTS", "RESULT", "PROT", "PROTOCOL", "REPORT",
    "SUMMARY", "EXAM SUMMARY", "CSA REPORT", "CSA RESULT", "CSA BLACK IMAGE",
})  # fmt: skip
_LOCALIZERS: Final = frozenset({
    "LOCALIZER", "LOCALISER", "SCOUT", "SCOUT VIEW", "SCOUTVIEW", "SURVIEW", "REF SURVIEW",
    "DUAL SURVIEW", "TOPOGRAM", "TOPO", "SCANOGRAM", "SCANOSCOPE", "SCANO", "PILOT",
    "SCANNED PROJECTION RADIOGRAPH",
})  # fmt: skip
_REFORMATS: Final = frozenset({
    "MPR", "MPR THICK", "MPR THIN", "MULTIPLANAR", "MULTIPLANAR REFORMAT", "REFORMAT", "REFORMATTED",
    "CPR", "CURVED", "CURVED MPR",
    "MIP", "MINIP", "MIN IP", "MAX IP", "MAXIMUM", "MINIMUM", "MEAN", "AVG", "AVE", "AVERAGE",
    "RENDERED", "VOLUME RENDERED", "VOLUME RENDERING", "VRT", "VR", "SSD", "3D", "PROJECTION",
    "PROJECTION IMAGE", "CSA MPR", "CSA MIP", "CSA MINIP", "CSA AVERAGE", "RADIAL",
    "STD DEVIATION", "SUBTRACTION",
})  # fmt: skip
# Values of these are no Hounsfield units, whatever the rescale type says.
_MAPS: Final = frozenset({
    "MAT SPECIFIC", "MAT FRACTIONAL", "MAT VALUE BASED", "EFF ATOMIC NUM", "ELECTRON DENSITY",
    "PERFUSION MAP", "IODINE", "IODINE MAP", "IODINE DENSITY", "IODINE NO WATER", "IODINE OVERLAY",
    "Z EFF", "ZEFF", "Z EFFECTIVE", "EFFECTIVE Z", "WATER DENSITY", "CALCIUM MAP", "URIC ACID",
})  # fmt: skip


def is_page(image_type: tuple[str, ...]) -> bool:
    """Return whether the image is a page of text: a dose report, a protocol, a screen."""
    return _says(image_type, _PAGES)


def kind(image_type: tuple[str, ...]) -> str:
    """Return ``"volume"``, ``"localizer"``, ``"reformat"`` or ``"map"``.

    Args:
        image_type: Values of Image Type (0008,0008), upper case; the first two do not count.
    """
    if _says(image_type, _LOCALIZERS):
        return "localizer"
    if _says(image_type, _MAPS):
        return "map"
    return "reformat" if _says(image_type, _REFORMATS) else "volume"


def _says(image_type: tuple[str, ...], known: frozenset[str]) -> bool:
    return any(
        " ".join(value.replace("_", " ").replace("-", " ").split()) in known
        for value in image_type[2:]
    )
