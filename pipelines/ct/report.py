"""`CTReport`: a draft report and 18 findings from one CT."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from longllava_domains import ct
from longllava_domains.answer import Answer
from longllava_domains.ct.chest_evidence import chest_evidence
from longllava_domains.ct.views.policy import Kernel
from longllava_domains.export.dicom.codes import CT_RATE_CODES
from longllava_domains.model import LongLlava, Session, Watch, load_model
from longllava_domains.pipelines.ct.as_volume import as_volume
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.findings import score_findings
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.result import Abnormality, CTReportResult, split_sections
from longllava_domains.pipelines.memory_remedies import room_in_slices
from longllava_domains.provenance import Provenance

OnProgress = Callable[[str, int, int], None]


class CTReport:
    """Draft a report on a CT. For research use only.

    Args:
        model: A loaded model.
        preset: Slices, windows and prompts.
        calibration: Turns margins into probabilities; without one they stay None.

    Raises:
        PolicyError: The calibration was fitted for other weights or another preset.

    Example:
        >>> from longllava_domains import pipelines
        >>> report = pipelines.CTReport.from_pretrained("demo")("examples/chest_phantom")
        >>> report.notices[0]
        'For research use only. Not a medical device.'
    """

    def __init__(
        self,
        model: LongLlava,
        *,
        preset: CTPreset | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.model = model
        self.preset = preset or CTPreset.named()
        self.calibration = calibration
        if calibration is not None:
            made = model.provenance
            calibration.require_for(
                made["model_sha256"], self.preset.name, made.get("adapter_sha256")
            )

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        tokenizer: str | Path | None = None,
        device: str | None = None,
        dtype: str = "auto",
        quantization: str | None = None,
        preset: str = "ct-default@1",
        calibration: str | Path | None = None,
    ) -> "CTReport":
        """Load a model ("demo", a folder or a hub id) and make the pipeline.

        Raises:
            ModelError: The model cannot be loaded.
            PolicyError: There is no such preset, or the calibration does not belong to it.
        """
        chosen = CTPreset.named(preset)
        loaded = load_model(
            model,
            adapter=adapter,
            tokenizer=tokenizer,
            device=device,
            dtype=dtype,
            quantization=quantization,
        )
        fitted = None if calibration is None else Calibration.from_file(calibration)
        return cls(loaded, preset=chosen, calibration=fitted)

    def policy(
        self, *, spacing_mm: float | None = None, kernel: Kernel | None = None
    ) -> ct.SlicePolicy:
        """Return the slice policy of the preset, for this network's image size.

        Args:
            spacing_mm: Distance between slices instead of the preset's.
            kernel: Reconstruction instead of the preset's.

        Raises:
            PolicyError: The distance is not above 0, or there is no such kernel.
        """
        return ct.SlicePolicy(
            spacing_mm=self.preset.spacing_mm if spacing_mm is None else spacing_mm,
            windows=self.preset.windows,
            max_views=self.preset.max_views,
            view_px=self.model.network.config.view_px,
            kernel=kernel or self.preset.kernel,
        )

    def __call__(
        self,
        volume: Any,
        *,
        policy: ct.SlicePolicy | None = None,
        prompt: str | None = None,
        max_new_tokens: int | None = None,
        series: int | str | None = None,
        on_progress: OnProgress | None = None,
    ) -> CTReportResult:
        """Draft a report.

        Args:
            volume: A path, a `CTVolume`, a MONAI MetaTensor, or (array, affine_ras_mm).
            policy: Which slices and windows, and of which kernel; the preset's by default.
            prompt: What to ask for; the preset's report prompt by default.
            max_new_tokens: Longest draft, the preset's by default.
            series: Which series of a folder, see `ct.list_series`; the best one of the policy's
                kernel by default.
            on_progress: Called with (stage, done, total).

        Raises:
            InputError: The input cannot be proved to be a CT.
            PolicyError: The policy cannot be followed.
            MemoryBudgetError: The views do not fit in the memory that is free; ``facts`` hold
                ``needed_bytes``, ``available_bytes``, ``largest_views`` and
                ``slice_spacing_mm``.
            ModelError: The model cannot run on it.
        """
        chosen = policy or self.policy()
        opened = as_volume(volume, series=series, kernel=chosen.kernel)
        evidence = chest_evidence(opened)
        with self._look(opened, chosen, on_progress) as session:
            found = self._findings(session, on_progress) if evidence.is_chest else {}
            answer = session.ask(
                prompt or self.preset.report_prompt,
                max_new_tokens=(
                    self.preset.max_new_tokens if max_new_tokens is None else max_new_tokens
                ),
            )
        assert session.sequence is not None
        findings, impression = split_sections(answer.text)
        return CTReportResult(
            text=answer.text,
            findings=findings,
            impression=impression,
            abnormalities=found,
            sequence=session.sequence,
            provenance=self._provenance(
                answer.provenance, [evidence.code] if evidence.code else []
            ),
            volume=opened,
            created=datetime.now(UTC),
        )

    def ask(
        self,
        volume: Any,
        question: str,
        *,
        policy: ct.SlicePolicy | None = None,
        max_new_tokens: int = 256,
        series: int | str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Answer:
        """Ask one question of a CT, shown as a report would show it.

        Args and errors are those of `__call__`.
        """
        chosen = policy or self.policy()
        opened = as_volume(volume, series=series, kernel=chosen.kernel)
        with self._look(opened, chosen, on_progress) as session:
            return session.ask(question, max_new_tokens=max_new_tokens)

    @contextmanager
    def _look(
        self, volume: ct.CTVolume, policy: ct.SlicePolicy, on_progress: OnProgress | None
    ) -> Iterator[Session]:
        """Show a volume to the model; what does not fit in memory is refused before it runs."""
        sequence = volume.to_sequence(policy)
        with (
            room_in_slices(volume, policy),
            self.model.open(sequence, watch=_watch("reading views", on_progress)) as session,
        ):
            yield session

    def _findings(self, session: Session, on_progress: OnProgress | None) -> dict[str, Abnormality]:
        found = {}
        for finding in score_findings(session, self.preset, self.calibration):
            found[finding.label] = finding
            if on_progress is not None:
                on_progress("scoring findings", len(found), len(CT_RATE_CODES))
        return found

    def _provenance(self, made: Provenance, withheld: list[str]) -> Provenance:
        notices = list(made.get("notices", ()))
        if made.get("model") not in self.preset.published_evidence:
            notices.append("No published evidence for this model on this kind of image.")
        return made.with_(preset=self.preset.name, withheld=withheld, notices=notices)


def _watch(stage: str, on_progress: OnProgress | None) -> Watch | None:
    """Name the stage of a progress callback."""
    if on_progress is None:
        return None
    return Watch(on_progress=lambda done, total: on_progress(stage, done, total))
