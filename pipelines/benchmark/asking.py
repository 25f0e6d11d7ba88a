"""`Ask` and `Reply`: one prompt about one thing shown, and what a model made of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from longllava_domains.vision_language import Sampling

NOISE_TOKENS: Final = 16
"""Longest answer of an untrained model, which writes noise: a little is enough."""

DEFAULT_TOKENS: Final = 256


@dataclass(frozen=True)
class Decoding:
    """How an answer is generated.

    Attributes:
        max_new_tokens: Longest answer.
        temperature: 0 takes the most likely token each time.
        repetition_penalty: As in `Sampling`; 1 for none.
        seed: Of the draws; means nothing where nothing is drawn.
    """

    max_new_tokens: int
    temperature: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0

    @classmethod
    def of(
        cls, fixed: Mapping[str, float | int | bool], max_new_tokens: int, seed: int
    ) -> "Decoding":
        """Return what a protocol asks for.

        Args:
            fixed: The protocol's own generation settings; ``do_sample=False`` is greedy.
            max_new_tokens: Longest answer.
            seed: Of this question's draws, used only where the protocol draws.
        """
        drawn = fixed.get("do_sample", True)
        temperature = float(fixed.get("temperature", 0)) if drawn else 0.0
        penalty = float(fixed.get("repetition_penalty", 1))
        return cls(max_new_tokens, temperature, penalty, seed if temperature else 0)

    @property
    def sampling(self) -> Sampling | None:
        """How tokens are drawn; None where the most likely one is taken."""
        if self.temperature == 0 and self.repetition_penalty == 1:
            return None
        return Sampling(self.temperature, 1.0, self.repetition_penalty, self.seed)


@dataclass(frozen=True)
class Ask:
    """One prompt about one thing shown.

    Attributes:
        shown: Name of what is shown, None for a blind prompt.
        prompt: Sent as it stands.
        decoding: How the answer is generated.
        choices: Answers that are scored in place of generating one; the first is the affirmative.
    """

    shown: str | None
    prompt: str
    decoding: Decoding
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What tells this prompt from all others of a run: equal ones are generated once."""
        parts: list[Any] = [self.shown, self.prompt, self.choices]
        parts += [None] if self.choices else [asdict(self.decoding)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Reply:
    """What a model made of one prompt.

    Attributes:
        text: The answer; empty where choices were scored.
        stopped: As in `Answer`.
        logprobs: Log-probability of each choice, summed over its tokens.
        seconds: For this prompt, without the time in which the views were read.
    """

    text: str = ""
    stopped: str = ""
    logprobs: tuple[float, ...] = ()
    seconds: float = 0.0

    @property
    def margin(self) -> float:
        """Log-probability of the first choice less that of the second."""
        return self.logprobs[0] - self.logprobs[1]
