"""Results as files that other systems read: DICOM SR, FHIR, JSON and maps."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longllava_domains.export.dicom.sr import save_dicom_sr as save_dicom_sr
    from longllava_domains.export.fhir.bundle import save_fhir as save_fhir
    from longllava_domains.export.report_content import AbnormalityFinding as AbnormalityFinding
    from longllava_domains.export.report_content import ReportContent as ReportContent

_NAMES = {
    "AbnormalityFinding": "longllava_domains.export.report_content",
    "ReportContent": "longllava_domains.export.report_content",
    "save_dicom_sr": "longllava_domains.export.dicom.sr",
    "save_fhir": "longllava_domains.export.fhir.bundle",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
