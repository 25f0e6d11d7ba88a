"""`CTReport`: a draft report and 18 findings from one CT."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from longllava_domains import ct
from longllava_domains.answer import Answer
from longllava_domains.arguments import checked, require_questions
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.pipelines.ct.as_volume import CTOpenOptions, as_volume
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.draft_rules import DraftRules
from longllava_domains.pipelines.ct.findings import score_findings
from longllava_domains.pipelines.ct.findings_first import require_mode
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.reading import CTReading, ShownCT, showable, shown_ct
from longllava_domains.pipelines.ct.result import Abnormality, CTReportResult
from longllava_domains.pipelines.evidence_notice import no_evidence, with_notices
from longllava_domains.pipelines.loading import load
from longllava_domains.pipelines.memory_remedies import with_slice_spacing_remedy
from longllava_domains.vision_language import (
    LoadOptions,
    Monitor,
    Sampling,
    VisionLanguageModel,
    VisionSession,
)

OnProgress = Callable[[str, int, int], None]
# The findings are those of the chest; see `ct.open_volume`.
PURPOSE: Final = "chest"


class CTReport:
    """Draft a report on a CT. For research use only.

    Args:
        model: A loaded model.
        preset: Slices, windows and prompts.
        calibration: Turns margins into probabilities; without one they stay None.
        mode: ``"direct"``, or ``"findings-first"``: the draft is written for the findings that the
            calibration calls present.

    Raises:
        PolicyError: The calibration was fitted for other weights or another preset, or the model
            is a name.

    Example:
        >>> from longllava_domains import pipelines
        >>> report = pipelines.CTReport.from_pretrained("demo")("examples/chest_phantom")
        >>> report.notices[0]
        'For research use only. Not a medical device.'
    """

    @checked
    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        preset: CTPreset | None = None,
        calibration: Calibration | None = None,
        mode: str = "direct",
    ) -> None:
        self.mode = require_mode(mode, calibration)
        self.model = model
        self.preset = preset or CTPreset.named()
        self.calibration = calibration
        if calibration is not None:
            made = model.provenance
            calibration.require_for(
                made["model_sha256"], self.preset.name, made.get("adapter_sha256")
            )

    @classmethod
    @checked
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        tokenizer: str | Path | None = None,
        device: Any = None,
        dtype: Any = "auto",
        quantization: str | None = None,
        kv_cache_dtype: str = "auto",
        preset: str = "ct-default@1",
        calibration: str | Path | None = None,
        mode: str = "direct",
    ) -> "CTReport":
        """Load a model ("demo", a folder or a hub id) and make the pipeline.

        Args:
            model: As for `load_model`.
            adapter: As for `load_model`; by default, the demonstration model's own of the domain.
            tokenizer: As for `load_model`.
            device: As for `load_model`.
            dtype: As for `load_model`.
            quantization: As for `load_model`.
            kv_cache_dtype: As for `load_model`.
            preset: Slices, windows and prompts, by name.
            calibration: File that `longllava calibrate` wrote for this model.
            mode: ``"direct"`` or ``"findings-first"``, which needs a calibration.

        Raises:
            ModelError: The model cannot be loaded.
            PolicyError: There is no such preset, or the calibration does not belong to it.
        """
        chosen = CTPreset.named(preset)
        fitted = None if calibration is None else Calibration.from_file(calibration)
        options = LoadOptions(adapter, tokenizer, device, dtype, quantization, kv_cache_dtype)
        return cls(load(model, options, domain="ct"), preset=chosen, calibration=fitted, mode=mode)

    def policy(
        self, *, spacing_mm: float | None = None, kernel: ReconstructionKernel | None = None
    ) -> ct.SlicePolicy:
        """Return the slice policy of the preset, for this network's image size.

        Args:
            spacing_mm: Distance between slices instead of the preset's.
            kernel: Reconstruction instead of the preset's.

        Raises:
            PolicyError: The distance is not above 0, or there is no such kernel.
        """
        return self.preset.policy(
            self.model.view_format.view_px, spacing_mm=spacing_mm, kernel=kernel
        )

    @checked
    def __call__(
        self,
        volume: Any,
        *,
        policy: ct.SlicePolicy | None = None,
        prompt: str | None = None,
        max_new_tokens: int | None = None,
        sampling: Sampling | None = None,
        series: int | str | None = None,
        on_progress: OnProgress | None = None,
    ) -> CTReportResult:
        """Draft a report.

        Of a folder's series, one that the header says is of the chest is preferred. Slices that
        lie on no even grid (tilted, at several spacings, some missing) are shown as they were
        acquired, and a notice says so.

        Args:
            volume: A path, a `CTVolume`, a MONAI MetaTensor, or (array, affine_ras_mm).
            policy: Which slices and windows, and of which kernel; the preset's by default.
            prompt: What to ask for; the preset's report prompt by default.
            max_new_tokens: Longest draft, tokens; the preset's by default, and 24 for a model that
                says that it is untrained.
            sampling: How the draft's tokens are drawn; None for the most likely one.
            series: Which series of a folder, see `ct.list_series`; the best one of the policy's
                kernel by default.
            on_progress: Called with (stage, done, total).

        Raises:
            InputError: The input cannot be proved to be a CT.
            PolicyError: The policy cannot be followed.
            MemoryBudgetError: The views do not fit in the memory that is free; ``facts`` hold
                ``needed_bytes``, ``available_bytes``, ``largest_views``, ``slice_spacing_mm``.
            ModelError: The model cannot run on it.
        """
        opened, chosen = self._opened(volume, policy, series)
        with with_slice_spacing_remedy(opened, chosen):
            reading = self.read(
                shown_ct(opened, chosen),
                prompt=prompt,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                on_progress=on_progress,
            )
        return reading.of(opened)

    def read(
        self,
        shown: ShownCT,
        *,
        prompt: str | None = None,
        max_new_tokens: int | None = None,
        sampling: Sampling | None = None,
        on_progress: OnProgress | None = None,
    ) -> CTReading:
        """Draft a report on views that were chosen before, such as in another process.

        Args:
            shown: What `shown_ct` returned.
            prompt: As for `__call__`.
            max_new_tokens: As for `__call__`.
            sampling: As for `__call__`.
            on_progress: As for `__call__`.

        Raises:
            MemoryBudgetError: The views do not fit in the memory that is free.
            ModelError: The model cannot run on it.
        """
        sequence, evidence = shown.sequence, shown.evidence
        watch = _watch("reading views", len(sequence), on_progress)
        began = time.perf_counter()
        rules = self.rules
        with self.model.open(sequence, watch=watch) as session:
            seen = time.perf_counter()
            found = self._findings(session, on_progress) if evidence.is_chest else {}
            found, outside = rules.judged(found, sequence)
            scored = time.perf_counter()
            longest = rules.longest() if max_new_tokens is None else max_new_tokens
            answer = session.ask(
                prompt or rules.prompt(found, outside),
                max_new_tokens=longest,
                sampling=sampling,
                on_text=_counted("writing the draft", longest, on_progress),
            )
        seconds = {
            "prefill": seen - began,
            "findings": scored - seen,
            "generation": time.perf_counter() - scored,
        }
        return rules.reading(shown, found, answer, outside, seconds)

    @checked
    def ask(
        self,
        volume: Any,
        question: str,
        *,
        policy: ct.SlicePolicy | None = None,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
        series: int | str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Answer:
        """Ask one question of a CT, shown as a report would show it.

        Args and errors are those of `__call__`.
        """
        require_questions([question])
        opened, chosen = self._opened(volume, policy, series)
        sequence = opened.to_sequence(chosen)
        watch = _watch("reading views", len(sequence), on_progress)
        with (
            with_slice_spacing_remedy(opened, chosen),
            self.model.open(sequence, watch=watch) as session,
        ):
            answer = session.ask(question, max_new_tokens=max_new_tokens, sampling=sampling)
        published = self.preset.published_evidence
        return with_notices(answer, no_evidence(answer.provenance, published=published))

    def _opened(
        self, volume: Any, policy: ct.SlicePolicy | None, series: int | str | None
    ) -> tuple[ct.CTVolume, ct.SlicePolicy]:
        """Open what was given, and return the policy that can show it."""
        chosen = policy or self.policy()
        opened = as_volume(volume, CTOpenOptions(series, chosen.kernel, PURPOSE))
        return opened, showable(opened, chosen)

    @property
    def rules(self) -> DraftRules:
        """The rules of a draft: how long it may be, what it is asked, what is withheld."""
        return DraftRules(self.model, self.preset, self.calibration, self.mode)

    def _findings(
        self, session: VisionSession, on_progress: OnProgress | None
    ) -> dict[str, Abnormality]:
        found = {}
        for finding in score_findings(session, self.preset, self.calibration):
            found[finding.label] = finding
            if on_progress is not None:
                on_progress("scoring findings", len(found), len(CT_RATE_LABELS))
        return found


def _watch(stage: str, views: int, on_progress: OnProgress | None) -> Monitor | None:
    """Name the stage of a progress callback, and count in views what is told in tokens."""
    if on_progress is None:
        return None
    return Monitor(
        on_progress=lambda done, total: on_progress(stage, done * views // max(total, 1), views)
    )


def _counted(stage: str, most: int, on_progress: OnProgress | None) -> Callable[[str], None] | None:
    """Count pieces of text as they are written; an answer may end before the most."""
    if on_progress is None:
        return None
    written = itertools.count(1)
    return lambda _: on_progress(stage, min(next(written), most), most)
