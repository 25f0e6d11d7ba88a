"""Adapters that come with the package: one for each domain, on the demonstration model alone."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

from longllava_domains.errors import PolicyError
from longllava_domains.model.checkpoint.source import DEMO

NO_ADAPTER: Final = "none"
"""Asks for a model as it is, where a domain would add an adapter."""

DOMAIN_ADAPTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ct": "demo-ct",
        "pathology": "demo-pathology",
        "remote_sensing": "demo-remote-sensing",
    }
)
"""Domain -> adapter of the demonstration model."""


def packaged_folder(name: str | Path) -> Path | None:
    """Return the folder of a packaged adapter; None for any other name."""
    if str(name) not in DOMAIN_ADAPTERS.values():
        return None
    return Path(str(files("longllava_domains.model") / "demo" / "adapters" / str(name)))


def domain_adapter(model: str | Path, adapter: str | Path | None, domain: str) -> str | Path | None:
    """Return the adapter to load: the one asked for, or what the demonstration model has for a domain.

    Args:
        model: As `load_model` takes it.
        adapter: What the user asked for; None leaves the choice to the domain.
        domain: ``"ct"``, ``"pathology"`` or ``"remote_sensing"``.

    Raises:
        PolicyError: A packaged adapter of another domain was asked for.
    """
    own = DOMAIN_ADAPTERS.get(domain)
    if packaged_folder(str(adapter)) is not None and own is not None and adapter != own:
        raise PolicyError(
            f"{adapter} was taught another domain than {domain}.",
            remedy=f"Use {own}, which the demonstration model has by itself, or none.",
            code="adapter.domain",
        )
    if adapter is not None or str(model) != DEMO:
        return adapter
    return own
