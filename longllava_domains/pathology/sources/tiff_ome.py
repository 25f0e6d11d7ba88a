"""The few attributes of OME-XML that a slide needs: size of planes, and size of pixels."""

import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.pathology.mpp import MppEvidence, from_ome

_MAX_CHARACTERS: Final = 64 * 2**20
_MICRON: Final = "\u00b5m"


@dataclass(frozen=True)
class OmeImage:
    """The first image of an OME-XML document.

    Attributes:
        planes: Focal planes, channels of their own and time points, each at least 1.
        evidence: What it says about resolution.
    """

    planes: tuple[int, int, int]
    evidence: tuple[MppEvidence, ...]

    def require_one_plane(self) -> None:
        """Refuse z-stacks, channels and time series.

        Raises:
            UnsupportedInputError: Says which of them.
        """
        names = ("focal planes (a z-stack)", "channels (fluorescence)", "time points")
        for count, name in zip(self.planes, names, strict=True):
            if count > 1:
                raise UnsupportedInputError(
                    f"The OME-TIFF holds {count} {name}.",
                    remedy="Export one focal plane of a brightfield slide as 8-bit RGB.",
                    code="slide.several_planes",
                    facts={"planes": count},
                )


def read_ome(text: str) -> OmeImage:
    """Read the first image of an OME-XML document.

    Raises:
        DamagedInputError: It is no XML, has no image, or declares entities.
    """
    # Entities can blow up a small text to gigabytes; OME-XML has none.
    if len(text) > _MAX_CHARACTERS or re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise _damaged()
    try:
        root = ElementTree.fromstring(text.strip().strip("\0"))  # noqa: S314  (no entities)
    except (ElementTree.ParseError, ValueError):
        raise _damaged() from None
    pixels = next((node for node in root.iter() if _name(node) == "Pixels"), None)
    if pixels is None:
        raise _damaged()
    samples = [node for node in pixels.iter() if _name(node) == "Channel"]
    channels = _count(pixels.get("SizeC"))
    # SizeC counts samples: an RGB slide has SizeC 3 in one channel of three samples.
    of_their_own = len(samples) or (1 if channels == 3 else channels)
    return OmeImage(
        planes=(_count(pixels.get("SizeZ")), of_their_own, _count(pixels.get("SizeT"))),
        evidence=from_ome(
            pixels.get("PhysicalSizeX"),
            pixels.get("PhysicalSizeXUnit", _MICRON),
            pixels.get("PhysicalSizeY"),
            pixels.get("PhysicalSizeYUnit", _MICRON),
        ),
    )


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _count(value: str | None) -> int:
    return int(value) if value is not None and re.fullmatch(r"\d{1,6}", value) else 1


def _damaged() -> DamagedInputError:
    return DamagedInputError(
        "The description of the OME-TIFF cannot be read.",
        remedy="Write the file again, for example with Bio-Formats.",
        code="slide.ome_xml",
    )
