"""Pathology as a domain: slides are recognised, and refused by name until they can be read."""

from typing import Any, Final, NoReturn

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.pipelines.domains.evidence import Evidence

_SLIDE_SOP_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"


class NoSettings:
    """Nothing can be set of a slide yet."""


class PathologyDomain:
    """Whole slides."""

    name = "pathology"
    noun = "a slide"
    settings = NoSettings

    def recognises(self, evidence: Evidence) -> bool:
        """Slides in DICOM, Aperio's TIFFs and OME-TIFF."""
        if evidence.kind == "dicom":
            return evidence.sop_class == _SLIDE_SOP_CLASS
        return evidence.description.startswith("Aperio") or "<OME" in evidence.description

    def open(self, source: str, settings: Any) -> NoReturn:
        """Refuse.

        Raises:
            UnsupportedInputError: Always.
        """
        raise UnsupportedInputError(
            "This is a pathology slide, which this version does not read yet.",
            remedy="Slides come with a later release; see CHANGELOG.md.",
            code="pathology.later",
        )
