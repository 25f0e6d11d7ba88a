"""From a margin to a probability: a calibration that somebody fitted on held-out data."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longllava_domains.errors import PolicyError


@dataclass(frozen=True)
class Calibration:
    """Platt scaling for each label: probability = 1 / (1 + exp(-(slope * margin + intercept))).

    Attributes:
        model_sha256: Fingerprint of the weights it was fitted for.
        preset: Name of the preset it was fitted for: other slices or words shift the margins.
        coefficients: Label -> (slope, intercept).
        adapter_sha256: Fingerprint of the adapter that was on the weights; None without one.
        thresholds: Label -> probability from which a finding counts as present; empty in a file
            without them.
        limits: What the scans had that it was fitted on, by the names of `population_of`
            (``"body_part"``, ``"phase"``, ``"kernel"``, ``"manufacturer"`` of the scanner, ``"sex"``) -> values;
            empty where the file does not say.
        ranges: Likewise for numbers (``"age_years"``, ``"slice_spacing_mm"``) -> (lowest, highest).
    """

    model_sha256: str
    preset: str
    coefficients: dict[str, tuple[float, float]]
    adapter_sha256: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: str | Path) -> "Calibration":
        """Read a calibration from JSON with these fields.

        Raises:
            PolicyError: The file is not a calibration.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            coefficients = {
                str(label): (float(pair[0]), float(pair[1]))
                for label, pair in data["coefficients"].items()
            }
            adapter = data.get("adapter_sha256")
            limits, ranges = _read_limits(data.get("limits", {}))
            return cls(
                str(data["model_sha256"]),
                str(data["preset"]),
                coefficients,
                None if adapter is None else str(adapter),
                {
                    str(label): float(fit["threshold"])
                    for label, fit in data.get("labels", {}).items()
                },
                limits,
                ranges,
            )
        except FileNotFoundError:
            raise PolicyError(
                "The file is not there.",
                remedy="Check its path, or make one with longllava calibrate.",
                code="calibration.file",
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise PolicyError(
                "The file is not a calibration, or cannot be read.",
                remedy="Give the file that `longllava calibrate` wrote for this model.",
                code="calibration.file",
            ) from None

    def require_for(
        self, model_sha256: str, preset: str, adapter_sha256: str | None = None
    ) -> None:
        """Refuse other weights, another adapter or another preset than it was fitted for.

        Raises:
            PolicyError: They differ.
        """
        fitted_for = (self.model_sha256, self.preset, self.adapter_sha256)
        if fitted_for != (model_sha256, preset, adapter_sha256):
            raise PolicyError(
                "The calibration was fitted for other weights, another adapter or another preset.",
                remedy="Fit one on held-out data with this model, adapter and preset.",
                code="calibration.mismatch",
            )

    def probability(self, label: str, margin: float) -> float | None:
        """Return the probability of presence, None for a label that was not fitted."""
        if label not in self.coefficients:
            return None
        slope, intercept = self.coefficients[label]
        return 1 / (1 + math.exp(-max(min(slope * margin + intercept, 700.0), -700.0)))

    def present(self, label: str, probability: float | None) -> bool | None:
        """Return whether a finding counts as present, None where no threshold was fitted."""
        if probability is None or label not in self.thresholds:
            return None
        return probability >= self.thresholds[label]


def _read_limits(
    limits: Mapping[str, list[Any]],
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[float, float]]]:
    """Return limits as lists of words, and as ranges, which are two numbers.

    Raises:
        ValueError: A range is not two numbers, the lower first.
    """
    words: dict[str, tuple[str, ...]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, values in limits.items():
        if all(isinstance(value, str) for value in values):
            words[name] = tuple(values)
            continue
        lowest, highest = map(float, values)
        if not lowest <= highest:
            raise ValueError(name)
        ranges[name] = (lowest, highest)
    return words, ranges
