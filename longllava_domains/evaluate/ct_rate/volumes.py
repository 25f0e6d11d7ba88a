"""Names of CT-RATE volumes: which patient, which scan, which reconstruction."""

import re
from dataclasses import dataclass
from typing import Final

from longllava_domains.evaluate.predictions.fields import ID_FIELDS

VOLUME_FIELDS: Final = (
    "VolumeName", "input_image_name", "AccessionNo", "volume", "image", "name", *ID_FIELDS
)  # fmt: skip
"""Names under which a volume's name stands in the label files, submissions and reports."""

_SUFFIX = re.compile(r"(\.nii\.gz|\.nii|\.npz|_embedded)+\Z")
# valid_53_a_1, and valid_1_a_1 without the underscore before the scan as RadGenome writes it.
_NAME = re.compile(
    r"(?P<split>[a-z]+)_(?P<patient>\d+)_?(?P<scan>[a-z]+)_(?P<reconstruction>\d+)\Z"
)


@dataclass(frozen=True, order=True)
class Volume:
    """One reconstruction of one scan of one patient.

    Attributes:
        patient: ``"valid_53"``.
        scan: Letters in the order of acquisition.
        reconstruction: Number, from 1.
    """

    patient: str
    scan: str
    reconstruction: int


def plain_name(name: str) -> str:
    """Return a volume's name without folder and suffix: what two files of the release share."""
    return _SUFFIX.sub("", name.replace("\\", "/").rsplit("/", 1)[-1])


def parse_volume(name: str) -> Volume | None:
    """Read a volume's name, None where it is not one of CT-RATE's."""
    found = _NAME.match(plain_name(name))
    if found is None:
        return None
    patient = f"{found['split']}_{found['patient']}"
    return Volume(patient, found["scan"], int(found["reconstruction"]))
