"""Rasters that GDAL may open in this process: TIFFs whose decoders are small, or everyone's.

Everything else goes to the jail. What stays: uncompressed, LZW, Deflate, PackBits and Zstandard
blocks; zlib and Zstandard are fuzzed by half the world, and the others are a page of code each. See
docs/decisions/0013.
"""

import os
from pathlib import Path
from typing import Final

from longllava_domains.formats.regular_file import BadDocumentError, read_bounded
from longllava_domains.formats.tiff.compressions import holds_only
from longllava_domains.units import MIB

# TIFF tag 259: none, LZW, Deflate, PackBits, old Deflate, Zstandard.
_TRUSTED: Final = frozenset({1, 5, 8, 32773, 32946, 50000})
_MAX_SIDECAR_BYTES: Final = 16 * MIB


def is_plain(name: str) -> bool:
    """Return whether a local name is a TIFF, sidecars included, without foreign decoders.

    Args:
        name: As GDAL would open it; only a path can be plain.
    """
    if not holds_only(name, _TRUSTED):
        return False
    path = Path(name)
    try:
        # The folder is not listed: it may hold a million files.
        beside = [f"{name}{end}" for end in (".ovr", ".OVR", ".msk", ".MSK")]
        if not all(holds_only(file, _TRUSTED) for file in beside if os.path.exists(file)):
            return False
        # Erdas overviews: a format of its own.
        erdas = [f"{stem}{end}" for stem in (name, path.with_suffix("")) for end in _ERDAS]
        if any(os.path.exists(file) for file in erdas):
            return False
        notes = f"{name}.aux.xml"
        if not os.path.exists(notes):
            return True
        return b"OVERVIEW_FILE" not in read_bounded(notes, _MAX_SIDECAR_BYTES).upper()
    except (OSError, BadDocumentError, ValueError):
        return False


_ERDAS: Final = (".aux", ".AUX", ".rrd", ".RRD")
