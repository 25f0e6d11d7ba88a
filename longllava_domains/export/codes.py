"""Coded concepts of the clinical reports: the 18 findings, presence and the model's scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Code:
    """A coded concept.

    Attributes:
        value: Code value.
        scheme: DICOM coding scheme designator: ``"SCT"``, ``"DCM"`` or our own ``"99LLD"``.
        meaning: Words for the code, at most 64 characters.
    """

    value: str
    scheme: str
    meaning: str


PRIVATE_SCHEME: Final = "99LLD"
"""Designator of this package's own coding scheme (PS3.16 section 8.2: private ones begin with 99)."""

PRIVATE_SCHEME_UID: Final = "2.25.55794088841453182319537222884898000111"
PRIVATE_SCHEME_NAME: Final = "longllava-domains"

# The 18 labels of CT-RATE in the order of its label files. SNOMED CT where its concept is the
# label's; for the rest no standard concept is known to mean the same, so the code is ours.
CT_RATE_CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "Medical material": Code("ctrate01", PRIVATE_SCHEME, "Medical material"),
        "Arterial wall calcification": Code(
            "ctrate02", PRIVATE_SCHEME, "Arterial wall calcification"
        ),
        "Cardiomegaly": Code("8186001", "SCT", "Cardiomegaly"),
        "Pericardial effusion": Code("373945007", "SCT", "Pericardial effusion"),
        "Coronary artery wall calcification": Code(
            "445512009", "SCT", "Calcification of coronary artery"
        ),
        "Hiatal hernia": Code("84089009", "SCT", "Hiatal hernia"),
        "Lymphadenopathy": Code("30746006", "SCT", "Lymphadenopathy"),
        "Emphysema": Code("87433001", "SCT", "Pulmonary emphysema"),
        "Atelectasis": Code("46621007", "SCT", "Atelectasis"),
        "Lung nodule": Code("ctrate10", PRIVATE_SCHEME, "Lung nodule"),
        "Lung opacity": Code("ctrate11", PRIVATE_SCHEME, "Lung opacity"),
        "Pulmonary fibrotic sequela": Code(
            "ctrate12", PRIVATE_SCHEME, "Pulmonary fibrotic sequela"
        ),
        "Pleural effusion": Code("60046008", "SCT", "Pleural effusion"),
        "Mosaic attenuation pattern": Code(
            "ctrate14", PRIVATE_SCHEME, "Mosaic attenuation pattern"
        ),
        "Peribronchial thickening": Code("ctrate15", PRIVATE_SCHEME, "Peribronchial thickening"),
        "Consolidation": Code("95436008", "SCT", "Lung consolidation"),
        "Bronchiectasis": Code("12295008", "SCT", "Bronchiectasis"),
        "Interlobular septal thickening": Code(
            "ctrate18", PRIVATE_SCHEME, "Interlobular septal thickening"
        ),
    }
)

# PS3.16 CID 240 "Present-Absent".
PRESENCE_CODES: Final[Mapping[bool | None, Code]] = MappingProxyType(
    {
        True: Code("52101004", "SCT", "Present"),
        False: Code("272519000", "SCT", "Absent"),
        None: Code("373068000", "SCT", "Undetermined"),
    }
)

MARGIN: Final = Code("yes_logit_margin", PRIVATE_SCHEME, "Yes-logit margin")
PROBABILITY: Final = Code("probability", PRIVATE_SCHEME, "Calibrated probability of presence")
