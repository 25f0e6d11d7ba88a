"""`archive run --dry-run`: say in lines what a run would take."""

from typing import TYPE_CHECKING

from longllava_domains.pipelines.cli.console import stdout

if TYPE_CHECKING:
    from longllava_domains.archive import Manifest
    from longllava_domains.pipelines.archive import ArchiveTask
    from longllava_domains.pipelines.archive.planning import ArchivePlan


def predict(
    asked: "ArchiveTask",
    items: "Manifest",
    domain: str,
    *,
    sample: int,
    workers: int,
    decoders: int,
    deadline_hours: float | None,
) -> None:
    """Try some items, and print what all of them will take.

    Args:
        asked: What is asked of each item.
        items: The manifest.
        domain: Of its items.
        sample: Items that are tried.
        workers: Processes with a scorer.
        decoders: Processes of a worker that decode ahead.
        deadline_hours: What meets this is named; None for no deadline.

    Raises:
        LongLlavaError: Nothing can be predicted.
    """
    from longllava_domains.pipelines.archive.planning import plan_run

    plan = plan_run(
        asked, items, domain, sample=sample, workers=workers, decoders=decoders,
        deadline_hours=deadline_hours,
    )  # fmt: skip
    for line in _told(plan, workers):
        stdout.print(line, markup=False)


def _told(plan: "ArchivePlan", workers: int) -> list[str]:
    """Say a prediction in lines."""
    found = plan.prediction
    stages = ", ".join(f"{name} {value:.3g} s" for name, value in found.stage_seconds.items())
    ends = ", ".join(f"{share:.0%} {status}" for status, share in sorted(found.outcomes.items()))
    lines = [
        f"{found.items} items, {found.hours:.2f} h ({found.items_per_hour:.0f} an hour, "
        f"{found.bytes_per_second / 1e6:.1f} MB/s); bottleneck: {found.bottleneck}",
        f"Mean of {found.sampled} items tried: {stages}; {ends}",
    ]
    if plan.deadline_hours is None:
        return lines
    if found.meets(plan.deadline_hours):
        return [*lines, f"This meets the deadline of {plan.deadline_hours:g} h."]
    lines.append(f"This misses the deadline of {plan.deadline_hours:g} h. What meets it:")
    lines += [f"  {option}: {each.hours:.2f} h" for option, each in plan.in_time.items()]
    if plan.workers is not None:
        lines.append(f"  as it is, with {plan.workers} workers instead of {workers}")
    return lines
