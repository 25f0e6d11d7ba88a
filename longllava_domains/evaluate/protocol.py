"""`Protocol`: a named, versioned way to ask and to score, so that a number means something."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from longllava_domains.evaluate.predictions import Row, Source
from longllava_domains.evaluate.result import Result


@dataclass(frozen=True)
class Protocol:
    """One way to score a benchmark.

    Attributes:
        benchmark: Name of the benchmark.
        name: Name of the protocol.
        version: The commit, paper or number of the scorer that it equals.
        summary: One line: what it does, and whose numbers it made.
        score: Called as ``score(predictions, references, protocol=..., how=..., **settings)``
            with a `Matching` as `how`; its keyword arguments are the protocol's settings.
        prompts: Kind of question -> text with ``{question}`` and, where there are some,
            ``{options}``; empty where the source publishes none.
        decoding: Generation settings, likewise.
        baselines: From references to predictions that need no model, by name: the oracle and
            constant answers.
        findings_first: The prompt names the findings that a calibration called present before:
            only a run that asked so can be scored under it.
    """

    benchmark: str
    name: str
    version: str
    summary: str
    score: Callable[..., Result]
    prompts: Mapping[str, str] = field(default_factory=dict)
    decoding: Mapping[str, float | int | bool] = field(default_factory=dict)
    baselines: Callable[[Source], Mapping[str, Sequence[Row]]] | None = None
    findings_first: bool = False

    @property
    def label(self) -> str:
        """Name and version as a card shows them."""
        return f"{self.name}@{self.version}"
