"""`make_plan`: a budget, set against a memory, the trained length and what was published."""

from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.budget.fit import FittingPolicies, fitting_policies
from longllava_domains.model.budget.known_models import network_of
from longllava_domains.model.budget.plan import Budget, Request, plan
from longllava_domains.model.devices.free_memory import RESERVE
from longllava_domains.model.devices.throughput import Rate
from longllava_domains.units import decimal_bytes

# arXiv 2409.02889: the abstract's headline, for the 53B model in int8 on one 80 GB GPU.
PUBLISHED_IMAGES: Final = 1173
_PUBLISHED_PARAMETERS: Final = 51_570_323_328


@dataclass(frozen=True)
class MemoryPlan:
    """A budget and what follows from it.

    Attributes:
        budget: What the request needs.
        memory_bytes: What there is.
        policies: The most that would fit; None where not even one view does.
        rate: How fast the device is; None where that is not known.
    """

    budget: Budget
    memory_bytes: float
    policies: FittingPolicies | None
    rate: Rate | None

    @property
    def fits(self) -> bool:
        """True if the peak stays below the memory, less 3 % kept free."""
        return self.budget.peak <= self.memory_bytes * (1 - RESERVE)

    @property
    def terms(self) -> list[tuple[str, int]]:
        """Every term of the peak, then the peak."""
        budget = self.budget
        stage = max(budget.activations, key=lambda name: budget.activations[name])
        kept = " in 8 bits" if budget.request.kv_cache_dtype == "int8" else ""
        return [
            *((f"weights: {part}", size) for part, size in budget.weights.items()),
            (f"keys and values{kept}", budget.key_values),
            ("convolution and scan states", budget.states),
            (f"activations ({stage})", budget.activations[stage]),
            ("process", budget.process),
            ("peak", budget.peak),
        ]

    def lines(self) -> list[str]:
        """Return the lines that `longllava plan` prints below its table."""
        budget, flops = self.budget, self.budget.flops
        spoken = [
            f"parameters: {sum(budget.parameters.values()):,} "
            f"({budget.language_parameters:,} in the language model)",
            f"tokens: {budget.tokens:,}",
            f"prefill: {(flops.tower + flops.prefill) / 1e15:.3f} PFLOP "
            f"(the original script counts {flops.reference_prefill / 1e15:.3f})",
            f"one more token: {flops.decode_per_token / 1e9:.1f} GFLOP, "
            f"{decimal_bytes(budget.read_per_token)} read",
            *self._times(),
            *self._most(),
        ]
        return [*spoken, self.fits_line, self.trained_line, self.evidence_line]

    @property
    def fits_line(self) -> str:
        """The first of the three verdicts."""
        needed, there = decimal_bytes(self.budget.peak), decimal_bytes(self.memory_bytes)
        return f"fits: {'yes' if self.fits else 'no'} ({needed} of {there})"

    @property
    def trained_line(self) -> str:
        """The second of the three verdicts."""
        budget, trained = self.budget, self.budget.trained_length
        if not budget.beyond_trained_length:
            return f"within the trained length: yes ({budget.tokens:,} of {trained:,} tokens)"
        return f"within the trained length: no ({budget.tokens:,} tokens, trained on {trained:,})"

    @property
    def evidence_line(self) -> str:
        """The third of the three verdicts."""
        if self.budget.language_parameters != _PUBLISHED_PARAMETERS:
            return "published evidence: none for this number of images with this model"
        known = "yes" if self.budget.request.views <= PUBLISHED_IMAGES else "no"
        return (
            f"published evidence: {known} (arXiv 2409.02889 reports {PUBLISHED_IMAGES:,} images on "
            "one 80 GB GPU in int8)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            **self.budget.to_json(),
            "memory_bytes": self.memory_bytes,
            "fits": self.fits,
            "policies": None if self.policies is None else self.policies.to_json(),
            "verdicts": [self.fits_line, self.trained_line, self.evidence_line],
        }

    def _times(self) -> list[str]:
        if self.rate is None:
            return []
        prefill, step = self.budget.seconds(self.rate)
        return [f"time: {prefill:.2f} s to read, {step:.3f} s a token ({self.rate.source} rates)"]

    def _most(self) -> list[str]:
        if self.policies is None:
            return ["largest number of images: 0"]
        most = (
            f"largest number of images: {self.policies.views:,} ({self.policies.tokens:,} tokens)"
        )
        spacing = self.policies.slice_spacing_mm
        if spacing is None:
            return [most]
        return [
            most,
            f"slices: one every {spacing:g} mm (--every-mm {spacing:g})",
        ]


def make_plan(
    model: str,
    precision: str,
    request: Request,
    memory_bytes: float,
    *,
    device: str = "cuda",
    extent_mm: float | None = None,
    rate: Rate | None = None,
) -> MemoryPlan:
    """Plan a request on a device.

    Args:
        model: ``"9b"``, ``"53b"``, ``"demo"``, a folder or a hub id.
        precision: As in `network_of`.
        request: What is to be run.
        memory_bytes: What the device has.
        device: ``"cpu"`` or ``"cuda"``.
        extent_mm: Length of a volume, for a slice spacing that fits.
        rate: How fast the device is.

    Raises:
        PolicyError: A device other than these two.
        CheckpointError: No model of that name.
        QuantizationError: There is no such precision.
    """
    network = network_of(model, precision)
    budget = plan(network, request, device=device)
    try:
        policies = fitting_policies(
            network, request, memory_bytes, device=device, extent_mm=extent_mm
        )
    except MemoryBudgetError:  # not even one view: the plan says so
        policies = None
    return MemoryPlan(budget, memory_bytes, policies, rate)
