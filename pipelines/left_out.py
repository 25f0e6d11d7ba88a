"""Words for what a policy did not show."""

from collections.abc import Mapping
from typing import Final

_REASONS: Final = {
    "spacing": "between the slices shown",
    "outside_range": "outside the range asked for",
    "count": "above the number asked for",
    "max_views": "above the most views",
    "background": "background",
    "damaged": "damaged",
    "finer_fields_averaged": "finer fields, averaged into those shown",
    "native_tiles_averaged": "tiles at native resolution, averaged into those shown",
    "over_budget": "above the budget",
}


def left_out_text(left_out: Mapping[str, int]) -> str:
    """Return ``"20 (between the slices shown)"``, or ``"nothing"``.

    Args:
        left_out: Reason -> how many, as `VisualSequence` has it.
    """
    told = [f"{count:,} ({_reason(code)})" for code, count in left_out.items()]
    return ", ".join(told) or "nothing"


def _reason(code: str) -> str:
    kind = code.partition(".")[0]  # a rule may follow, such as over_budget.random
    return _REASONS.get(kind, code.replace("_", " "))
