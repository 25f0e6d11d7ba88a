"""LongLLaVA for CT volumes, pathology slides and large satellite rasters. Research use only.

Importing this package imports neither torch nor transformers: names are resolved when they
are first used.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longllava_domains.model import LongLlava as LongLlava
    from longllava_domains.model import load_model as load_model

__version__ = "0.1.0"

# Python that starts in the root of a checkout takes this folder before what is installed, and two
# packages lie beside it there.
_HERE = Path(__file__).parent
if not (_HERE / "pipelines").exists() and (_HERE.parent / "pipelines/__init__.py").is_file():
    __path__.append(str(_HERE.parent))

_PACKAGES = (
    "adapters",
    "ct",
    "ct_rate_labels",
    "errors",
    "evaluate",
    "export",
    "model",
    "pathology",
    "pipelines",
    "prompt",
    "provenance",
    "remote_sensing",
    "vision_language",
    "visual",
)
_NAMES = {
    "LongLlava": "longllava_domains.model",
    "LongLlavaError": "longllava_domains.errors",
    "VisualSequence": "longllava_domains.visual",
    "View": "longllava_domains.visual",
    "load_model": "longllava_domains.model",
}

__all__ = [*sorted(_PACKAGES), *sorted(_NAMES)]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"longllava_domains.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
