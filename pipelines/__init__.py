"""What a user calls: one class or one command for each job. For research use only."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longllava_domains.pipelines.ct.report import CTReport as CTReport
    from longllava_domains.pipelines.fine_tune import FineTune as FineTune
    from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA as RemoteSensingQA

_NAMES = {
    "CTReport": "longllava_domains.pipelines.ct.report",
    "FineTune": "longllava_domains.pipelines.fine_tune",
    "RemoteSensingQA": "longllava_domains.pipelines.remote_sensing.qa",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
