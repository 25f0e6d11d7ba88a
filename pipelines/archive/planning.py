"""Plans of a run from a sample of it, with coarser policies that meet a deadline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from longllava_domains.archive import Manifest, Prediction, in_time, predict
from longllava_domains.archive.manifest.item_files import read_through
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.archive.job import archive_job
from longllava_domains.pipelines.archive.task import ArchiveTask
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.vision_language import TRAINED_TOKENS

_HOURS: Final = {"m": 1 / 60, "h": 1.0, "d": 24.0}
_COARSER: Final = (1.5, 2.0, 3.0, 4.0)
_FEWER_FOR_POLICIES: Final = 10
_MOST_VIEWS: Final = 256


@dataclass(frozen=True)
class ArchivePlan:
    """Plan of a run.

    Attributes:
        prediction: Of the run as it was asked for.
        deadline_hours: Within which it shall end; None where nothing was said.
        in_time: Coarser policies that end in time, as options of the command line, the most
            thorough first -> prediction.
        workers: Workers that would end in time without a coarser policy; None where no number of
            them would.
    """

    prediction: Prediction
    deadline_hours: float | None
    in_time: Mapping[str, Prediction]
    workers: int | None


def hours_of(text: str) -> float:
    """Return the hours that a deadline such as ``"12h"``, ``"90m"`` or ``"2d"`` names.

    Raises:
        PolicyError: It names none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip().lower())
    if match is None or not float(match[1]):
        raise PolicyError(
            "The deadline is no time.",
            remedy="Write it as 90m, 12h or 2d.",
            code="archive.deadline",
        )
    return float(match[1]) * _HOURS[match[2]]


def plan_run(
    asked: ArchiveTask,
    items: Manifest,
    domain: str,
    *,
    sample: int,
    workers: int = 1,
    decoders: int = 1,
    deadline_hours: float | None = None,
) -> ArchivePlan:
    """Try a sample, and where the deadline is missed, coarser policies on a part of it.

    Args:
        asked: What is asked of each item.
        items: The manifest.
        domain: Of the items.
        sample: Items to try.
        workers: Scorers that would run at once.
        decoders: Processes of each worker that would prepare ahead.
        deadline_hours: Within which the run shall end.

    Raises:
        NotFoundError: The manifest is empty.
        ModelError: The model cannot be loaded.
    """
    job = archive_job(asked, domain)
    scorer = job.build()  # once: it depends on no policy
    counts = {"workers": workers, "decoders": decoders}
    first = predict(
        replace(job, build=lambda: scorer), items, sample=sample, read=read_through, **counts
    )
    if deadline_hours is None or first.meets(deadline_hours):
        return ArchivePlan(first, deadline_hours, {}, workers)
    tried: dict[str, Prediction] = {}
    for name, other in coarser(asked, domain).items():
        changed = replace(archive_job(other, domain), build=lambda: scorer)
        few = min(sample, _FEWER_FOR_POLICIES)
        tried[name] = predict(changed, items, sample=few, read=read_through, **counts)
    able = {name: tried[name] for name in in_time(tried, deadline_hours)}
    needed = None if first.bottleneck == "disk" else ceil(workers * first.hours / deadline_hours)
    return ArchivePlan(first, deadline_hours, able, needed)


def coarser(asked: ArchiveTask, domain: str) -> dict[str, ArchiveTask]:
    """Return tasks that show less of each item, by the option that says so.

    Fewer slices of a CT, fewer fields of a slide, fewer tokens for a scene. Chips that are
    searched have no coarser policy: what is not looked at is not found.
    """
    if asked.task == "find":
        return {}
    wished = dict(asked.settings)
    if domain == "ct":
        base = wished.get("spacing_mm") or CTPreset.named(asked.preset).spacing_mm
        name, option = "spacing_mm", "--every-mm"
        values: list[float | int] = [base * factor for factor in _COARSER]
    elif domain == "pathology":
        name, option = "max_views", "--most"
        most = wished.get("max_views") or _MOST_VIEWS
        values = [max(2, int(most / factor)) for factor in _COARSER]
    else:
        name, option = "max_tokens", "--max-tokens"
        tokens = wished.get("max_tokens") or TRAINED_TOKENS
        values = [int(tokens / factor) for factor in _COARSER]
    return {
        f"{option} {value:g}": replace(asked, settings={**wished, name: value}) for value in values
    }
