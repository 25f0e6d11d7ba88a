"""The pipelines: one class or one command for each job. For research use only."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longllava_domains.pipelines.benchmark.benchmark import Benchmark as Benchmark
    from longllava_domains.pipelines.benchmark.benchmark import RunSettings as RunSettings
    from longllava_domains.pipelines.ct.occlusion import occlusion_evidence as occlusion_evidence
    from longllava_domains.pipelines.ct.report import CTReport as CTReport
    from longllava_domains.pipelines.fine_tune import FineTune as FineTune
    from longllava_domains.pipelines.medical_vqa import MedicalVQA as MedicalVQA
    from longllava_domains.pipelines.pacs.send import send as send
    from longllava_domains.pipelines.pathology.qa import PathologyQA as PathologyQA
    from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA as RemoteSensingQA

_NAMES = {
    "Benchmark": "longllava_domains.pipelines.benchmark.benchmark",
    "RunSettings": "longllava_domains.pipelines.benchmark.benchmark",
    "CTReport": "longllava_domains.pipelines.ct.report",
    "PathologyQA": "longllava_domains.pipelines.pathology.qa",
    "FineTune": "longllava_domains.pipelines.fine_tune",
    "MedicalVQA": "longllava_domains.pipelines.medical_vqa",
    "RemoteSensingQA": "longllava_domains.pipelines.remote_sensing.qa",
    "occlusion_evidence": "longllava_domains.pipelines.ct.occlusion",
    "send": "longllava_domains.pipelines.pacs.send",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
