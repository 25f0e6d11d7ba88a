"""`LoadReport`: every decision a loader took, as codes and numbers, free of patient data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class LoadReport:
    """Record of what a loader found, set aside, repaired and proved.

    Attributes:
        source_kind: What was read, such as ``"dicom"``, ``"nifti"``, ``"raster"`` or ``"mosaic"``.
        codes: Machine-readable code -> how often, such as ``{"file.not_dicom": 3,
            "decoder.jpeg2000": 20, "repair.tilt": 1, "bands.by_colour": 1}``.
        numbers: Measured quantities with their unit in the name, such as
            ``{"tilt_deg": 18.5, "resolution_m": 10.0}``.
    """

    source_kind: str
    codes: Mapping[str, int] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", MappingProxyType(dict(self.codes)))
        object.__setattr__(self, "numbers", MappingProxyType(dict(self.numbers)))

    def with_(
        self, codes: Mapping[str, int] | None = None, numbers: Mapping[str, float] | None = None
    ) -> "LoadReport":
        """Return a copy with more codes (counts added) and numbers (later values win)."""
        merged = dict(self.codes)
        for code, count in (codes or {}).items():
            merged[code] = merged.get(code, 0) + count
        return LoadReport(self.source_kind, merged, {**self.numbers, **(numbers or {})})

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "source_kind": self.source_kind,
            "codes": dict(sorted(self.codes.items())),
            "numbers": dict(sorted(self.numbers.items())),
        }
