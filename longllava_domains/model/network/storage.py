"""Access of a network to the code that reads and writes checkpoints, which stands above it.

`longllava_domains.model` sets it when it is imported; so the Auto classes, which know the network
alone, load every layout as `load_checkpoint` does.
"""

from pathlib import Path
from typing import Any, Protocol


class Storage(Protocol):
    """Reads and writes checkpoints that transformers' own code would get wrong."""

    def reads(self, model: Any, options: dict[str, Any]) -> bool:
        """Return True for a checkpoint that only `load` reads."""
        ...

    def load(self, model: Any, options: dict[str, Any]) -> Any:
        """Load it, with `from_pretrained`'s options."""
        ...

    def save(self, network: Any, folder: str | Path, options: dict[str, Any]) -> None:
        """Write a network in 8 bits, with `save_pretrained`'s options."""
        ...


class _Registry:
    storage: Storage | None = None


def use_storage(storage: Storage) -> None:
    """Let networks load and save through it."""
    _Registry.storage = storage


def storage() -> Storage:
    """Return what was set."""
    assert _Registry.storage is not None, "importing longllava_domains.model sets it"
    return _Registry.storage
