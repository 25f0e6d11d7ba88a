"""Notices of an archive's answers, known from the model's files before anything is loaded, and of its end."""

from collections.abc import Mapping
from typing import Any

from longllava_domains.archive import Progress, Settings
from longllava_domains.archive.results.upkeep import specs
from longllava_domains.model.checkpoint.adapter.merge import adapter_folder
from longllava_domains.model.checkpoint.card import card_domains
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.pipelines.archive.task import ArchiveTask
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.evidence_notice import no_evidence
from longllava_domains.pipelines.pathology.notices import no_training
from longllava_domains.units import counted


def evidence_notices(made: Mapping[str, Any], domain: str, preset: str) -> tuple[str, ...]:
    """Return what a single answer about this domain says of the evidence for its model.

    Args:
        made: Provenance of the model, or of its answer.
        domain: Of the items.
        preset: CT: the preset, which names models with published results.

    Raises:
        PolicyError: There is no such preset.
    """
    if domain == "pathology":
        return no_training(made)
    if domain == "ct":
        return no_evidence(made, published=CTPreset.named(preset).published_evidence)
    return no_evidence(made, domain=domain)


def notices_of(asked: ArchiveTask, domain: str) -> tuple[str, ...]:
    """Return the notices of a whole run; none of a run that asks no model.

    Args:
        asked: What is asked of each item.
        domain: Of the items.

    Raises:
        ModelError: The model's files are not there.
        PolicyError: There is no such preset.
    """
    if asked.model is None:
        return ()
    source, adapter = locate(asked.model), asked.loading.adapter
    folder = None if adapter is None else adapter_folder(adapter)
    made = {
        "model": source.hub_id or "",
        "trained_domains": card_domains(source.folder, folder),
    }
    return evidence_notices(made, domain, asked.preset)


def ending_notes(done: Progress, settings: Settings) -> list[str]:
    """Return what the count of a run that ended does not tell of its share and its folder."""
    notes = []
    if not done.total and settings.shard.count > 1:
        notes.append(
            f"Share {settings.shard.index} of {settings.shard.count} holds none of the items: with so "
            "few of them some shares stay empty."
        )
    others = len(specs(settings.output)) - 1
    if others > 0:
        notes.append(
            f"The folder also keeps what {counted(others, 'run')} with other settings found: longllava "
            "archive status counts each, and parts/*/_spec.json tells what each asked."
        )
    return notes
