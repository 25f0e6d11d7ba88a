"""Jobs that score the items of an archive with a model: CT findings, and CT reports."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from longllava_domains.archive import FindingScore, Item, Job, Scored, ScoringSpec, open_ct
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.units import content_hash
from longllava_domains.vision_language import LoadOptions

ArchiveTask = Literal["ct-findings", "ct-report"]
ARCHIVE_TASKS: Final = get_args(ArchiveTask)

PreparedCT = tuple[NDArray[np.int16], NDArray[np.float64]]


@dataclass(frozen=True)
class CTTask:
    """Task for every CT of an archive.

    Attributes:
        task: ``"ct-findings"``, or ``"ct-report"`` for a draft text, too.
        model: ``"demo"``, a folder or a hub id.
        loading: How it is loaded.
        preset: Slices, windows and prompts, by name.
        spacing_mm: Distance between slices instead of the preset's.
    """

    task: ArchiveTask
    model: str
    loading: LoadOptions
    preset: str = "ct-default@1"
    spacing_mm: float | None = None


def archive_job(asked: CTTask) -> Job:
    """Return the job that an engine runs.

    Args:
        asked: What is asked.

    Raises:
        PolicyError: There is no such task or preset.
        ModelError: The model's files cannot be read.
    """
    if asked.task not in ARCHIVE_TASKS:
        raise PolicyError(
            "There is no such task for archives.",
            remedy=f"Use one of {', '.join(ARCHIVE_TASKS)}.",
            code="archive.task",
        )
    return Job(_spec(asked), prepare_ct, partial(CTArchiveScorer, asked))


def prepare_ct(item: Item) -> PreparedCT:
    """Decode a CT ahead of the model: Hounsfield units and the affine of their indices."""
    volume = open_ct(item)
    return volume.hu, volume.affine_ras_mm


def _spec(asked: CTTask) -> ScoringSpec:
    """Say what results depend on, from the files alone: no weight is loaded for it."""
    from longllava_domains.model.checkpoint.adapter.merge import adapter_sha256
    from longllava_domains.model.checkpoint.load import open_checkpoint
    from longllava_domains.model.checkpoint.source import locate

    preset = CTPreset.named(asked.preset)
    source = locate(asked.model)
    weights = open_checkpoint(source.folder).files.fingerprint()
    adapter = asked.loading.adapter
    prompts = [preset.finding_prompt, *preset.finding_choices]
    if asked.task == "ct-report":
        prompts += [preset.report_prompt, str(preset.max_new_tokens)]
    return ScoringSpec(
        task=asked.task,
        model=source.hub_id or ("demo" if source.demo else f"local:{weights[:8]}"),
        model_sha256=weights,
        adapter_sha256="" if adapter is None else adapter_sha256(adapter),
        prompt_sha256=content_hash(prompt.encode() + b"\0" for prompt in prompts),
        policy={
            "preset": asked.preset,
            "spacing_mm": asked.spacing_mm,
            "dtype": str(asked.loading.dtype),
            "quantization": asked.loading.quantization,
            "kv_cache_dtype": asked.loading.kv_cache_dtype,
        },
    )


class CTArchiveScorer:
    """Scores CTs with one loaded model.

    Args:
        asked: What is asked of each.

    Raises:
        ModelError: The model cannot be loaded.
    """

    def __init__(self, asked: CTTask) -> None:
        from longllava_domains.pipelines.ct.report import CTReport

        loading: dict[str, Any] = asdict(asked.loading)
        self._report = CTReport.from_pretrained(asked.model, preset=asked.preset, **loading)
        self._policy = self._report.policy(spacing_mm=asked.spacing_mm)
        self._with_text = asked.task == "ct-report"

    def score(self, item: Item, prepared: PreparedCT) -> Scored:
        """Score one CT; chest findings are withheld where the CT is proved to show no chest."""
        result = self._report(
            prepared, policy=self._policy, max_new_tokens=None if self._with_text else 1
        )
        return Scored(
            text=result.text if self._with_text else "",
            findings=tuple(
                FindingScore(found.label, found.yes_logit_margin, found.probability)
                for found in result.abnormalities.values()
            ),
            numbers={"views": len(result.sequence), "withheld": len(result.withheld)},
            input_sha256=result.provenance.get("input_sha256", ""),
            demo=bool(result.provenance.get("demo", False)),
        )
