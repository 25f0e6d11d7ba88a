"""Refusals for want of memory, told in the settings of the domain: slice spacing, token budget, views.

A model asks its budget before anything runs. What it then refuses
names a number of views; here it is turned into what a user sets.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from longllava_domains import ct
from longllava_domains.ct.views.selection import within_views
from longllava_domains.errors import Fact, MemoryBudgetError
from longllava_domains.remote_sensing import GridPolicy
from longllava_domains.vision_language import load_otherwise

_FEWEST_GRID_VIEWS = 2  # the global view and a tile


@contextmanager
def with_slice_spacing_remedy(volume: ct.CTVolume, policy: ct.SlicePolicy) -> Iterator[None]:
    """Let refusals for want of memory name the slice spacing that fits.

    Raises:
        MemoryBudgetError: As raised inside, with a remedy and ``slice_spacing_mm`` in the facts
            where any spacing fits.
    """
    try:
        yield
    except MemoryBudgetError as error:
        most = _largest_views(error)
        if most < len(policy.windows_shown):
            raise
        spacing_mm = within_views(volume, policy, most).spacing_mm
        assert spacing_mm is not None
        setting = f"SlicePolicy(spacing_mm={spacing_mm:g}, max_views={most})"
        remedy = (
            f"Show a slice every {spacing_mm:g} mm, {most} views at most ({setting}, "
            f"--every-mm {spacing_mm:g}), or {_otherwise(error)}"
        )
        raise _told(error, remedy, "slice_spacing_mm", spacing_mm) from None


@contextmanager
def with_token_budget_remedy(policy: GridPolicy) -> Iterator[None]:
    """Let refusals for want of memory name the token budget of a grid that fits.

    Raises:
        MemoryBudgetError: As raised inside, with a remedy and ``grid_max_tokens`` in the facts
            where a global view and a tile fit.
    """
    try:
        yield
    except MemoryBudgetError as error:
        most = _largest_views(error)
        if most < _FEWEST_GRID_VIEWS:
            raise
        max_tokens = policy.within_views(most).max_tokens
        remedy = (
            f"Show {most} views at most (GridPolicy(max_tokens={max_tokens}), "
            f"--max-tokens {max_tokens}), or {_otherwise(error)}"
        )
        raise _told(error, remedy, "grid_max_tokens", max_tokens) from None


@contextmanager
def with_view_count_remedy() -> Iterator[None]:
    """Let refusals for want of memory name the number of views of a slide that fits.

    Raises:
        MemoryBudgetError: As raised inside, with a remedy and ``max_views`` in the facts where the
            overview and a field fit.
    """
    try:
        yield
    except MemoryBudgetError as error:
        most = _largest_views(error)
        if most < _FEWEST_GRID_VIEWS:
            raise
        remedy = (
            f"Show {most} views at most (TilePolicy(max_views={most}), --most {most}), or "
            f"{_otherwise(error)}"
        )
        raise _told(error, remedy, "max_views", most) from None


def out_of_memory(error: MemoryError | RuntimeError) -> MemoryBudgetError | None:
    """Return the refusal that stands for a failed allocation, None for any other error.

    Python raises MemoryError; torch a RuntimeError of its own that only its text tells.
    """
    text = str(error)
    torchs = any(sign in text for sign in ("out of memory", "alloc_cpu", "DefaultCPUAllocator"))
    if not (isinstance(error, MemoryError) or torchs):
        return None
    return MemoryBudgetError(
        "The memory that this process may use is full.",
        remedy="Show fewer views, close other programs, or raise the limit (ulimit -v, container).",
        code="memory.full",
    )


def _largest_views(error: MemoryBudgetError) -> int:
    """Return how many views fit; 0 where none does, or the refusal is of another kind."""
    most = error.facts.get("largest_views")
    return most if isinstance(most, int) else 0


def _otherwise(error: MemoryBudgetError) -> str:
    return load_otherwise(str(error.facts.get("precision", "")))


def _told(error: MemoryBudgetError, remedy: str, name: str, setting: Fact) -> MemoryBudgetError:
    facts = {**error.facts, name: setting}
    return MemoryBudgetError(error.message, remedy=remedy, code=error.code, facts=facts)
