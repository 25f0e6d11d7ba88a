"""Computed tomography: from a hostile folder to proved Hounsfield units and views."""

from longllava_domains.ct.dicom.dicomweb import DicomWeb
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.ct.hounsfield.ct_rate import read_ct_rate_metadata
from longllava_domains.ct.open import list_series, open_volume
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.windows import BONE, BRAIN, LUNG, MEDIASTINUM, Window
from longllava_domains.ct.volume import CTVolume
from longllava_domains.load_report import LoadReport

__all__ = [
    "BONE",
    "BRAIN",
    "LUNG",
    "MEDIASTINUM",
    "CTVolume",
    "DicomWeb",
    "LoadReport",
    "SlicePolicy",
    "Window",
    "list_series",
    "open_volume",
    "read_ct_rate_metadata",
    "volume_from_array",
]


def __dir__() -> list[str]:
    return list(__all__)
