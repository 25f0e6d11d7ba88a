"""Computed tomography: from a hostile folder to proved Hounsfield units and views."""

from longllava_domains.ct.open import list_series, open_volume
from longllava_domains.ct.policy import SlicePolicy
from longllava_domains.ct.report import LoadReport
from longllava_domains.ct.volume import CTVolume
from longllava_domains.ct.windows import BONE, BRAIN, LUNG, MEDIASTINUM, Window

__all__ = [
    "BONE",
    "BRAIN",
    "LUNG",
    "MEDIASTINUM",
    "CTVolume",
    "LoadReport",
    "SlicePolicy",
    "Window",
    "list_series",
    "open_volume",
]
