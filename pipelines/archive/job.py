"""From what is asked to the job that an engine runs."""

from dataclasses import replace
from functools import partial
from typing import Any

from longllava_domains.archive import Job, ScoringSpec
from longllava_domains.pipelines.archive.asking import AskScorer
from longllava_domains.pipelines.archive.finding import FindScorer, try_scene
from longllava_domains.pipelines.archive.opening import ShowCT, ShowItem
from longllava_domains.pipelines.archive.reporting import CTArchiveScorer
from longllava_domains.pipelines.archive.sheets import SheetScorer
from longllava_domains.pipelines.archive.task import ArchiveTask
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.domains.registry import domains, settings_for
from longllava_domains.pipelines.loading import for_domain
from longllava_domains.pipelines.search.preset import SearchPreset
from longllava_domains.units import content_hash
from longllava_domains.vision_language import ViewFormat


def archive_job(asked: ArchiveTask, domain: str) -> Job:
    """Return the job that an engine runs.

    Args:
        asked: What is asked.
        domain: Of the items.

    Raises:
        PolicyError: The task or a setting is not for this domain, or there is no such preset.
        ModelError: The model's files cannot be read.
    """
    asked.require_for(domain)
    settings_for(domains()[domain], asked.settings)
    if asked.task == "views":
        spec = ScoringSpec("views", "none", policy=_policy(asked, domain))
        return Job(spec, ShowItem(asked.settings, None), partial(SheetScorer, asked, spec.key))
    assert asked.model is not None
    asked = replace(asked, loading=for_domain(asked.model, asked.loading, domain))
    spec, view_format = _model_facts(asked, domain)
    if asked.task == "ask":
        prepare: Any = ShowItem(asked.settings, view_format)
        return Job(spec, prepare, partial(AskScorer, asked, spec.key))
    if asked.task == "find":
        return Job(spec, partial(try_scene, asked.settings), partial(FindScorer, asked, spec.key))
    prepare = ShowCT(asked.settings, asked.preset, view_format.view_px)
    return Job(spec, prepare, partial(CTArchiveScorer, asked, spec.key))


def _model_facts(asked: ArchiveTask, domain: str) -> tuple[ScoringSpec, ViewFormat]:
    """Say what results depend on, from the files alone: no weight is loaded for it."""
    from longllava_domains.model.checkpoint.adapter.merge import adapter_folder, adapter_sha256
    from longllava_domains.model.checkpoint.adapter.packaged import NO_ADAPTER
    from longllava_domains.model.checkpoint.load import open_checkpoint
    from longllava_domains.model.checkpoint.source import locate

    assert asked.model is not None
    source = locate(asked.model)
    checkpoint = open_checkpoint(source.folder)
    config, weights = checkpoint.config, checkpoint.files.fingerprint()
    adapter = asked.loading.adapter
    added = None if adapter is None or adapter == NO_ADAPTER else adapter_folder(adapter)
    spec = ScoringSpec(
        task=asked.task,
        model=source.hub_id or ("demo" if source.demo else f"local:{weights[:8]}"),
        model_sha256=weights,
        adapter_sha256="" if added is None else adapter_sha256(added),
        prompt_sha256=content_hash(prompt.encode() + b"\0" for prompt in _prompts(asked)),
        policy={
            **_policy(asked, domain),
            "dtype": str(asked.loading.dtype),
            "quantization": asked.loading.quantization,
            "kv_cache_dtype": asked.loading.kv_cache_dtype,
        },
    )
    return spec, ViewFormat(config.view_px, config.tokens_per_image, config.trained_length)


def _policy(asked: ArchiveTask, domain: str) -> dict[str, Any]:
    preset = {"preset": asked.preset} if domain == "ct" else {}
    return {"domain": domain, **preset, **asked.settings}


def _prompts(asked: ArchiveTask) -> list[str]:
    if asked.task == "ask":
        return [asked.question, str(asked.max_new_tokens)]
    if asked.task == "find":
        return [SearchPreset.named("fit-rs").ask(asked.question), str(asked.max_new_tokens)]
    preset = CTPreset.named(asked.preset)
    prompts = [preset.finding_prompt, *preset.finding_choices]
    if asked.task == "ct-report":
        prompts += [preset.report_prompt, str(preset.max_new_tokens)]
    return prompts
