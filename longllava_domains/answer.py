"""`Answer`: what a model said to one question, and how it came about."""

from dataclasses import dataclass, field
from typing import Any

from longllava_domains.html.facts import facts_table
from longllava_domains.provenance import Provenance, research_notice


@dataclass(frozen=True)
class Answer:
    """One answer of a model.

    Attributes:
        text: The decoded text, special tokens left out.
        token_ids: The tokens generated, the stop token left out.
        stopped: ``"end"`` (the model ended its answer) or ``"length"`` (max_new_tokens reached).
        token_logprobs: Log-probability of each generated token, in order.
        provenance: How the answer was made.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    stopped: str = "end"
    token_logprobs: tuple[float, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """Return a table for a notebook: the notice, the text, and what it rests on."""
        return facts_table(
            "Answer",
            {
                "notice": research_notice(self.provenance),
                "text": self.text,
                "stopped": self.stopped,
                "model": self.provenance.get("model"),
                "views": self.provenance.get("views"),
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON, with the research notice."""
        return {
            "notice": research_notice(self.provenance),
            "text": self.text,
            "stopped": self.stopped,
            "provenance": self.provenance.to_json(),
        }
