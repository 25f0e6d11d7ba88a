"""What a run asks: every item under each protocol, with its image, blind, and with another image."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from longllava_domains.evaluate.predictions.inputs import INPUTS_FIELD, input_hash
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.pipelines.benchmark.asking import Ask, Decoding, Reply
from longllava_domains.pipelines.benchmark.controls import other_images
from longllava_domains.pipelines.benchmark.material import Item, Material

RUNS: Final = ("image", "blind", "shuffled")
"""The run that is scored, and the two that stand beside it."""


@dataclass(frozen=True)
class RunPlan:
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
        """Yield every prompt; equal ones have equal keys."""
        for protocol in self.protocols:
            for run in self.runs:
                for item, shown in self._shown(run):
                    yield from self._asks(item, shown, protocol)

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
            asks = list(self._asks(item, shown, protocol))
            replies = [found.get(ask.key) for ask in asks]
            if None in replies:
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

    def _shown(self, run: str) -> Iterator[tuple[Item, str | None]]:
        others = other_images(self.material.items, self.seed) if run == "shuffled" else {}
        for item in self.material.items:
            yield item, None if run == "blind" else others.get(item.id, item.shown)

    def _asks(self, item: Item, shown: str | None, protocol: Protocol) -> Iterator[Ask]:
        # A seed of its own for each question: with one for all, every answer begins with the same
        # draw.
        digest = hashlib.sha256(f"{self.seed}/{item.id}".encode()).digest()
        decoding = Decoding.of(
            protocol.decoding, self._tokens(protocol), int.from_bytes(digest[:6])
        )
        for question in self.material.questions(item, protocol):
            yield Ask(shown, question.prompt, decoding, question.choices)

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
