"""Notices for a reader of any answer about a scene, from the codes of its load report."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOTICES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gcp.residual": "The control points of the scene disagree by more than 3 pixels.",
        "georeference.rpc": "The place is exact at one height only: see rpc_horizontal_error_m.",
        "stretch.widened": (
            "Nearly all of a band has one value: it is shown from its least to its largest."
        ),
        "nodata.suspected": "A frequent value apart from all others may be undeclared nodata.",
        "orientation.not_north_up": "The views are not north up.",
        "dates.resampled": "The two dates were taken to one grid by resampling.",
        "dates.by_pixel": "The dates are paired by pixels: nothing says that they show one place.",
        "area.cut": "The area of interest reaches beyond the scene: the part inside is shown.",
        "content.classes": "Classes, not a photograph: the encoder learned from photographs.",
        "content.radar": "Radar, not a photograph: the encoder learned from photographs.",
        "content.thermal": "Heat, not a photograph: the encoder learned from photographs.",
        "content.elevation": "Heights, not a photograph: the encoder learned from photographs.",
    }
)
"""Code of the report -> notice, in the order they are told."""


def notices_of(codes: Mapping[str, int]) -> list[str]:
    """Return the notices that go with the codes of a scene."""
    return [notice for code, notice in NOTICES.items() if codes.get(code)]
