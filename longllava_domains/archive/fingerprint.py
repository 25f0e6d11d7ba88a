"""The identity of a result: the item, and everything that was asked of which model.

Two results with one fingerprint are the same result; a changed prompt, policy, adapter or model
gives other fingerprints, and so never mixes with what is there.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_DIGITS = 32


@dataclass(frozen=True)
class ScoringSpec:
    """Everything but the item that a result depends on.

    Attributes:
        task: Such as ``"ct-findings"``.
        model: Hub id, or a short hash that stands for a folder.
        model_sha256: Of the weights.
        adapter_sha256: Of the adapter; empty without one.
        prompt_sha256: Of all that is asked.
        policy: How the item is turned into views: numbers, identifiers, and lists of them.
    """

    task: str
    model: str
    model_sha256: str = ""
    adapter_sha256: str = ""
    prompt_sha256: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for the whole."""
        return _digest(self.to_json())[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the parts as JSON."""
        return {
            "task": self.task,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "adapter_sha256": self.adapter_sha256,
            "prompt_sha256": self.prompt_sha256,
            "policy": dict(self.policy),
        }


def fingerprint(item_id: str, spec_key: str) -> str:
    """Return the 32 hexadecimal digits that stand for one result."""
    return _digest([item_id, spec_key])[:_DIGITS]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
