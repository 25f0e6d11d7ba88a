"""Prompts of a run: every item under each protocol, with its image, blind, and with another image."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate import PROTOCOLS
from longllava_domains.evaluate.dispatch import find_protocol
from longllava_domains.evaluate.predictions.inputs import INPUTS_FIELD, input_hash
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.pipelines.benchmark.asking import Ask, Decoding, Reply
from longllava_domains.pipelines.benchmark.controls import other_images
from longllava_domains.pipelines.benchmark.generate import FollowUps
from longllava_domains.pipelines.benchmark.material import BenchmarkItem, Material

BENCHMARKS: Final = tuple(PROTOCOLS)
ALL: Final = "all"
RUNS: Final = ("image", "blind", "shuffled")
"""The run that is scored, and the two that stand beside it."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """All prompts of a run.

    Attributes:
        material: What is shown and asked.
        protocols: In whose words; the first is the one of the card.
        max_new_tokens: Longest answer instead of the protocol's or the default; None for those.
        default_tokens: Longest answer where neither the user nor the protocol says one.
        seed: Of draws, and of which other image is shown.
        controls: Whether the blind and the shuffled run are made.
    """

    material: Material
    protocols: Sequence[Protocol]
    max_new_tokens: int | None
    default_tokens: int
    seed: int = 0
    controls: bool = True

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs; no other image can be shown where all are of one patient."""
        if not self.controls:
            return ("image",)
        has_other = bool(other_images(self.material.items, self.seed))
        return RUNS if has_other else RUNS[:2]

    def asks(self) -> Iterator[Ask]:
        """Yield every prompt that depends on no reply; equal ones have equal keys."""
        for protocol in self.protocols:
            for run in self.runs:
                for item, shown in self._shown(run):
                    yield from self._before(item, shown, protocol) or self._asks(
                        item, shown, protocol
                    )

    def follow_ups(self) -> "FollowUps":
        """Return the prompts that depend on replies, by what is shown."""
        found: FollowUps = {}
        for protocol in self.protocols:
            for run in self.runs:
                for item, shown in self._shown(run):
                    if self._before(item, shown, protocol):
                        then = partial(self._after, item, shown, protocol)
                        found.setdefault(shown, []).append(then)
        return found

    def _before(self, item: BenchmarkItem, shown: str | None, protocol: Protocol) -> list[Ask]:
        """Return what is asked before the protocol's own question; mostly nothing."""
        decoding = self._decoding(item, protocol)
        asked = self.material.before(item, protocol)
        return [Ask(shown, each.prompt, decoding, each.choices) for each in asked]

    def _after(
        self, item: BenchmarkItem, shown: str | None, protocol: Protocol,
        found: Mapping[str, Reply],
    ) -> list[Ask]:  # fmt: skip
        """Return an item's own prompts in the light of earlier replies, none while those lack."""
        before = [found.get(ask.key) for ask in self._before(item, shown, protocol)]
        replies = [reply for reply in before if reply is not None]
        if len(replies) < len(before):
            return []
        return list(self._asks(item, shown, protocol, replies))

    def predictions(
        self, protocol: Protocol, run: str, found: Mapping[str, Reply]
    ) -> list[dict[str, Any]]:
        """Return the prediction rows of one run, without items that lack a reply.

        Args:
            protocol: One of the protocols.
            run: One of `runs`.
            found: Key of an `Ask` -> its reply.
        """
        rows = []
        views = input_hash(dict(self.material.views))
        for item, shown in self._shown(run):
            asks = self._after(item, shown, protocol, found)
            replies = [found.get(ask.key) for ask in asks]
            if not asks or None in replies:
                continue
            inputs = {
                "question": input_hash(asks[0].prompt if len(asks) == 1 else [a.prompt for a in asks]),
                "system": input_hash(""),
                "views": input_hash("none") if shown is None else views,
                "decoding": self._decoding_hash(protocol, asks[0].decoding),
            }  # fmt: skip
            row = self.material.predict(item, [reply for reply in replies if reply is not None])
            rows.append({**row, INPUTS_FIELD: inputs})
        return rows

    def _shown(self, run: str) -> Iterator[tuple[BenchmarkItem, str | None]]:
        others = other_images(self.material.items, self.seed) if run == "shuffled" else {}
        for item in self.material.items:
            yield item, None if run == "blind" else others.get(item.id, item.shown)

    def _asks(
        self, item: BenchmarkItem, shown: str | None, protocol: Protocol,
        before: Sequence[Reply] = (),
    ) -> Iterator[Ask]:  # fmt: skip
        decoding = self._decoding(item, protocol)
        for asked in self.material.questions(item, protocol):
            question = self.material.in_light_of(item, asked, before)
            yield Ask(shown, question.prompt, decoding, question.choices)

    def _decoding(self, item: BenchmarkItem, protocol: Protocol) -> Decoding:
        # A seed of its own for each question: with one for all, every answer begins with the same
        # draw.
        digest = hashlib.sha256(f"{self.seed}/{item.id}".encode()).digest()
        return Decoding.of(protocol.decoding, self._tokens(protocol), int.from_bytes(digest[:6]))

    def _tokens(self, protocol: Protocol) -> int:
        fixed = int(protocol.decoding.get("max_new_tokens", 0)) or self.default_tokens
        return self.max_new_tokens or min(fixed, self.default_tokens)

    def _decoding_hash(self, protocol: Protocol, decoding: Decoding) -> str:
        """Hash what the protocol fixes, with the values that were really taken."""
        taken = {**asdict(decoding), "do_sample": decoding.sampling is not None}
        return input_hash(
            {
                name: value if taken[name] == value else taken[name]
                for name, value in protocol.decoding.items()
            }
        )


def named_protocols(
    benchmark: str, names: Sequence[str], *, calibrated: bool = False
) -> list[Protocol]:
    """Return the protocols that a run is asked in.

    Args:
        benchmark: Name in `BENCHMARKS`.
        names: Of the protocols, or ``"all"``: every one that can be asked.
        calibrated: A calibration says which findings come first.

    Raises:
        PolicyError: There is no runner for the benchmark, no such protocol, none is named, or a
            calibration is missing or not used.
    """
    if benchmark not in BENCHMARKS:
        raise PolicyError(
            f"There is no runner for {benchmark!r}.",
            remedy=f"Choose one of {', '.join(BENCHMARKS)}.",
            code="benchmark.name",
        )
    every = PROTOCOLS[benchmark]
    if not names:
        raise PolicyError(
            "No protocol is named, and a score means nothing without one.",
            remedy=f"Choose one of {', '.join(every)}, or {ALL}.",
            code="benchmark.protocol",
        )
    able = [each.name for each in every.values() if calibrated or not each.findings_first]
    wanted = [each for name in names for each in (able if name == ALL else (name,))]
    found = [find_protocol(benchmark, name) for name in wanted]
    if any(protocol.findings_first for protocol in found) != calibrated:
        raise PolicyError(
            "No protocol that is named takes findings first, so the calibration has no use."
            if calibrated
            else "Findings cannot come first without a calibration: a margin says nothing of presence.",
            remedy="Name findings-first of ct-rate/reports together with --calibration, the file "
            "that `longllava calibrate` wrote for this model.",
            code="benchmark.calibration",
        )
    return list({protocol.name: protocol for protocol in found}.values())
