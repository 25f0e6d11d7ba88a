"""Ask a model each distinct prompt once, what is shown once for all of them, and keep each reply."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import InputError, MemoryBudgetError
from longllava_domains.pipelines.benchmark.asking import Ask, Reply
from longllava_domains.pipelines.journal import Journal
from longllava_domains.vision_language import VisionLanguageModel, VisionSession
from longllava_domains.visual import VisualSequence

_KIND: Final = "longllava-benchmark@1"

OnProgress = Callable[[str, int, int], None]


@dataclass
class Replies:
    """What a model made of the prompts of a run.

    Attributes:
        found: Key of an `Ask` -> its reply.
        failed: Name of what could not be shown or asked about -> the code of the error.
        reused: Replies that an earlier run had kept.
        seconds: This run's own.
    """

    found: dict[str, Reply] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reused: int = 0
    seconds: float = 0.0


def generate(
    model: VisionLanguageModel,
    asks: Iterable[Ask],
    show: Callable[[str], VisualSequence],
    folder: Path,
    key: Mapping[str, Any],
    *,
    shard: tuple[int, int] = (0, 1),
    on_progress: OnProgress | None = None,
) -> Replies:
    """Ask every distinct prompt that no earlier run has a reply to.

    What cannot be shown (a damaged image, more views than memory holds) is counted and left out; it
    is tried again by the next run.

    Args:
        model: Who is asked.
        asks: Prompts; equal ones are asked once.
        show: Opens what is shown, by name.
        folder: Where the replies are kept, one file for each shard.
        key: What makes replies those of this run; others are refused.
        shard: (index, count): only this share of what is shown is asked about.
        on_progress: Called with (stage, done, total).

    Raises:
        OutputError: The folder holds another run, or cannot be written.
    """
    began = time.perf_counter()
    wanted = {ask.key: ask for ask in asks}
    index, count = shard
    replies = kept_replies(folder, key)
    replies.found = {name: reply for name, reply in replies.found.items() if name in wanted}
    replies.reused = len(replies.found)
    groups: dict[str | None, list[Ask]] = {}
    for ask in wanted.values():
        groups.setdefault(ask.shown, []).append(ask)
    mine = [group for place, group in enumerate(groups.values()) if place % count == index]
    left = [[ask for ask in group if ask.key not in replies.found] for group in mine]
    total = sum(map(len, left))
    with _journal(folder / f"answers-{index}-of-{count}.jsonl", key) as journal:
        done = 0
        for group in filter(None, left):
            for ask, reply in _ask_about(model, group, show, replies.failed):
                journal.keep({"ask": ask.key, **asdict(reply)})
                replies.found[ask.key] = reply
                done += 1
                if on_progress is not None:
                    on_progress("asking", done, total)
    replies.seconds = time.perf_counter() - began
    _require_some(wanted.values(), replies)
    return replies


def _require_some(asks: Iterable[Ask], replies: Replies) -> None:
    """Refuse to go on where nothing at all could be shown."""
    shown = [ask for ask in asks if ask.shown is not None]
    if shown and replies.failed and not any(ask.key in replies.found for ask in shown):
        codes = ", ".join(sorted(set(replies.failed.values())))
        raise InputError(
            f"None of the {len(replies.failed)} inputs could be shown ({codes}).",
            remedy="Check that images or volumes lie where the benchmark's archive has them.",
            code="benchmark.nothing_shown",
        )


def kept_replies(folder: Path, key: Mapping[str, Any]) -> Replies:
    """Return what earlier runs kept in a folder, whatever their number of shards.

    Raises:
        OutputError: A file there is another run's.
    """
    replies = Replies()
    for path in sorted(folder.glob("answers-*-of-*.jsonl")):
        with _journal(path, key) as journal:
            for entry in journal.entries:
                try:
                    name = entry.pop("ask")
                    replies.found[name] = Reply(**{**entry, "logprobs": tuple(entry["logprobs"])})
                except (KeyError, TypeError):
                    raise journal.other_error() from None
    return replies


def _journal(path: Path, key: Mapping[str, Any]) -> Journal:
    return Journal(path, _KIND, key, work="run", code="benchmark.journal")


def _ask_about(
    model: VisionLanguageModel,
    asks: Sequence[Ask],
    show: Callable[[str], VisualSequence],
    failed: dict[str, str],
) -> Iterable[tuple[Ask, Reply]]:
    """Show one thing and ask all about it; what fails is entered in `failed`."""
    shown = asks[0].shown
    try:
        sequence = None if shown is None else show(shown)
        with model.open(sequence) as session:
            for ask in asks:
                yield ask, _reply(session, ask)
    except (InputError, MemoryBudgetError) as error:
        failed[shown or ""] = error.code


def _reply(session: VisionSession, ask: Ask) -> Reply:
    began = time.perf_counter()
    if ask.choices:
        scores = session.score(ask.prompt, ask.choices)
        logprobs = tuple(score.sum_logprob for score in scores)
        return Reply(logprobs=logprobs, seconds=time.perf_counter() - began)
    with session.fork() as fork:
        answer = fork.ask(
            ask.prompt,
            max_new_tokens=ask.decoding.max_new_tokens,
            sampling=ask.decoding.sampling,
        )
    return Reply(answer.text, answer.stopped, seconds=time.perf_counter() - began)


def devices_named(devices: str | None) -> list[str]:
    """Return the devices that ``--devices`` names: ``"all"`` CUDA devices, or a list with commas.

    Args:
        devices: None for one process on the model's own device.
    """
    if devices is None:
        return []
    if devices != "all":
        return [name.strip() for name in devices.split(",") if name.strip()]
    import torch

    return [f"cuda:{place}" for place in range(torch.cuda.device_count())]


def threads_each(processes: int) -> int:
    """Return the processor threads of each of several processes on this machine."""
    return max(1, (os.cpu_count() or 1) // max(processes, 1))
