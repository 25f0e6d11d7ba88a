"""Ask a model each distinct prompt once, what is shown once for all of them, and keep each reply."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import InputError, MemoryBudgetError
from longllava_domains.pipelines.benchmark.asking import Ask, Reply
from longllava_domains.pipelines.journal import Journal, other_journal_error, read_journal
from longllava_domains.vision_language import VisionLanguageModel, VisionSession
from longllava_domains.visual import VisualSequence

_KIND: Final = "longllava-benchmark@1"
_WORK: Final = "run"
_CODE: Final = "benchmark.journal"

OnProgress = Callable[[str, int, int], None]
FollowUps = dict[str | None, list[Callable[[Mapping[str, Reply]], list[Ask]]]]
"""Name of what is shown -> from the replies so far to prompts that depend on them."""


@dataclass
class Replies:
    """Answers of a model to the prompts of a run.

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
    follow_ups: FollowUps | None = None,
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
        follow_ups: Prompts that depend on replies, asked in the same look.
        shard: (index, count): only this share of what is shown is asked about.
        on_progress: Called with (stage, done, total).

    Raises:
        OutputError: The folder holds another run, or cannot be written.
    """
    began = time.perf_counter()
    wanted = {ask.key: ask for ask in asks}
    index, count = shard
    replies = kept_replies(folder, key)
    kept = set(replies.found)
    groups: dict[str | None, list[Ask]] = {}
    for ask in wanted.values():
        groups.setdefault(ask.shown, []).append(ask)
    mine = [shown for place, shown in enumerate(groups) if place % count == index]
    looks = [_Look(shown, groups[shown], (follow_ups or {}).get(shown, ())) for shown in mine]
    with _journal(folder / f"answers-{index}-of-{count}.jsonl", key) as journal:
        done, known = 0, [len(look.left(replies.found)) for look in looks]
        total = sum(known)
        for look, at_first in zip(looks, known, strict=True):
            for in_look, (ask, reply) in enumerate(look.ask(model, show, replies), 1):
                journal.keep({"ask": ask.key, **asdict(reply)})
                replies.found[ask.key] = reply
                done += 1
                if in_look == at_first and look.follow_ups:
                    total += len(look.left(replies.found))
                if on_progress is not None:
                    on_progress("asking", done, total)
    replies.seconds = time.perf_counter() - began
    _require_some(wanted.values(), replies)
    for look in looks:
        wanted.update({ask.key: ask for ask in look.later(replies.found)})
    replies.found = {name: reply for name, reply in replies.found.items() if name in wanted}
    replies.reused = len(kept & replies.found.keys())
    return replies


@dataclass(frozen=True)
class _Look:
    """All that is asked about one thing shown.

    Attributes:
        shown: Its name, None for blind prompts.
        asks: Prompts that depend on no reply.
        follow_ups: Those that do.
    """

    shown: str | None
    asks: Sequence[Ask]
    follow_ups: Sequence[Callable[[Mapping[str, Reply]], list[Ask]]]

    def later(self, found: Mapping[str, Reply]) -> list[Ask]:
        """Return the prompts that depend on replies, as far as those are there."""
        asks = {ask.key: ask for then in self.follow_ups for ask in then(found)}
        return list(asks.values())

    def left(self, found: Mapping[str, Reply]) -> list[Ask]:
        """Return the prompts without a reply, as far as they are known."""
        return [ask for ask in (*self.asks, *self.later(found)) if ask.key not in found]

    def ask(
        self,
        model: VisionLanguageModel,
        show: Callable[[str], VisualSequence],
        replies: Replies,
    ) -> Iterator[tuple[Ask, Reply]]:
        """Show one thing and ask all about it; what fails is entered in ``replies.failed``.

        The caller keeps each reply in ``replies.found`` before it takes the next.
        """
        if not self.left(replies.found):
            return
        try:
            sequence = None if self.shown is None else show(self.shown)
            with model.open(sequence) as session:
                while left := self.left(replies.found):
                    for ask in left:
                        yield ask, _reply(session, ask)
        except (InputError, MemoryBudgetError) as error:
            replies.failed[self.shown or ""] = error.code


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

    Nothing is written: other processes may be at their own files in the same folder.

    Raises:
        OutputError: A file there is another run's.
    """
    replies = Replies()
    for path in sorted(folder.glob("answers-*-of-*.jsonl")):
        for entry in read_journal(path, _KIND, key, work=_WORK, code=_CODE):
            try:
                name = entry.pop("ask")
                replies.found[name] = Reply(**{**entry, "logprobs": tuple(entry["logprobs"])})
            except (KeyError, TypeError):
                raise other_journal_error(_WORK, _CODE) from None
    return replies


def _journal(path: Path, key: Mapping[str, Any]) -> Journal:
    return Journal(path, _KIND, key, work=_WORK, code=_CODE)


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
