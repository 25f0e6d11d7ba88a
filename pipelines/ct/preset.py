"""`ct-default@1` and its successors: a clinical default that has a name and never changes."""

import json
from dataclasses import dataclass
from importlib.resources import files

from longllava_domains.ct.views.policy import ReconstructionKernel, SlicePolicy
from longllava_domains.errors import PolicyError


@dataclass(frozen=True)
class CTPreset:
    """A versioned choice of slices, windows and prompts.

    Attributes:
        name: ``name@version``; a released version is never edited.
        kernel: Reconstruction preferred where a folder holds several.
        spacing_mm: Distance between the slices shown.
        windows: Window presets, each slice shown once in each, in this order.
        max_views: Largest number of views; more are thinned evenly and counted.
        trained_length: Tokens the released models were trained on.
        report_prompt: Sent as it stands.
        finding_prompt: With ``{label}`` for one of the 18 CT-RATE labels.
        finding_choices: The affirmative choice first.
        max_new_tokens: Longest report.
        published_evidence: Models with published results on CT (LongLLaVA paper).
    """

    name: str
    kernel: ReconstructionKernel
    spacing_mm: float
    windows: tuple[str, ...]
    max_views: int
    trained_length: int
    report_prompt: str
    finding_prompt: str
    finding_choices: tuple[str, str]
    max_new_tokens: int
    published_evidence: tuple[str, ...]

    def policy(
        self,
        view_px: int,
        *,
        spacing_mm: float | None = None,
        kernel: ReconstructionKernel | None = None,
    ) -> SlicePolicy:
        """Return the slice policy of the preset.

        Args:
            view_px: Longer side of a view, of the model that looks.
            spacing_mm: Distance between slices instead of the preset's.
            kernel: Reconstruction instead of the preset's.

        Raises:
            PolicyError: The distance is not above 0, or there is no such kernel.
        """
        return SlicePolicy(
            spacing_mm=self.spacing_mm if spacing_mm is None else spacing_mm,
            windows=self.windows,
            max_views=self.max_views,
            view_px=view_px,
            kernel=kernel or self.kernel,
        )

    @classmethod
    def named(cls, name: str = "ct-default@1") -> "CTPreset":
        """Read a packaged preset.

        Raises:
            PolicyError: There is no preset of that name.
        """
        folder = files("longllava_domains.pipelines") / "defaults"
        known = sorted(
            entry.name.removesuffix(".json")
            for entry in folder.iterdir()
            if entry.name.startswith("ct-")
        )
        if name not in known:
            raise PolicyError(
                f"There is no CT preset {name!r}.",
                remedy=f"Use one of {', '.join(known)}.",
                code="preset.unknown",
            )
        data = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        first, second = data["finding_choices"]
        return cls(
            name=data["name"],
            kernel=data["series"]["kernel"],
            spacing_mm=data["spacing_mm"],
            windows=tuple(data["windows"]),
            max_views=data["max_views"],
            trained_length=data["trained_length"],
            report_prompt=data["report_prompt"],
            finding_prompt=data["finding_prompt"],
            finding_choices=(first, second),
            max_new_tokens=data["max_new_tokens"],
            published_evidence=tuple(data["published_evidence"]),
        )
