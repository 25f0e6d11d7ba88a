"""The views of any input as a model would see them, without a model."""

from pathlib import Path
from typing import Any

from longllava_domains.pipelines.domains.registry import decide_domain, settings_for
from longllava_domains.visual import VisualSequence


def views_of(path: str | Path, *, domain: str | None = None, **settings: Any) -> VisualSequence:
    """Return the views of an input as its domain shows them.

    Args:
        path: A file, folder or URL.
        domain: The user's word on the domain, decided by evidence otherwise.
        settings: What the domain lets a user set, such as ``spacing_mm`` of a CT.

    Raises:
        InputError: The input cannot be read.
        PolicyError: The settings cannot be followed, or mean nothing for the domain.
    """
    decided = decide_domain(path, domain)
    chosen = settings_for(decided, settings)
    with decided.open([str(path)], chosen) as opened:
        return decided.to_sequence(opened, decided.policy(chosen, None))
