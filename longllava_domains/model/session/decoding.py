"""Decoding, one answer or many at once, each from its own cache and length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longllava_domains.errors import PolicyError
from longllava_domains.model.kernels.cpu_matmul import fast_products
from longllava_domains.model.kernels.finite import require_finite
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.cache import SessionCache, stack_rows, unstack_rows
from longllava_domains.model.session.sampling import Chooser
from longllava_domains.prompt import PromptTokenizer
from longllava_domains.vision_language import Cancelled, Sampling, cancelled_error

# Longest answer of the original implementation.
MAX_NEW_TOKENS = 768

OnToken = Callable[[int], None]


def require_length(max_new_tokens: object) -> None:
    """Refuse an answer's length that is none, before anything is read.

    Raises:
        PolicyError: It is no whole number of at least 0.
    """
    if (
        not isinstance(max_new_tokens, int)
        or isinstance(max_new_tokens, bool)
        or max_new_tokens < 0
    ):
        raise PolicyError(
            f"An answer cannot have {max_new_tokens!r} tokens.",
            remedy="Leave max_new_tokens out, or give a whole number of at least 0.",
            code="session.max_new_tokens",
        )


@dataclass
class Decoded:
    """The tokens generated for one prompt.

    Attributes:
        tokens: Ids in order, the stop token left out.
        logprobs: Log-probability of each.
        stopped: ``"end"`` or ``"length"``.
    """

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stopped: str = "length"


@torch.no_grad()
def decode(
    network: LongLlavaForConditionalGeneration,
    caches: Sequence[SessionCache],
    hidden: Tensor,
    *,
    stop_id: int,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    on_token: OnToken | None = None,
    cancelled: Cancelled | None = None,
) -> list[Decoded]:
    """Generate one token after another for every row, one at least.

    Rows share every matrix product; each reads its own keys and values, so lengths may differ and
    nothing is padded. A row that has ended leaves the batch.

    Args:
        network: The model.
        caches: One per row, holding its prompt; afterwards each also holds its answer but for
            the last token.
        hidden: Last hidden state of each prompt (rows, hidden).
        stop_id: The id that ends an answer.
        max_new_tokens: Longest answer.
        sampling: How tokens are drawn; None for the most likely one.
        on_token: Called with each token; for one row only.
        cancelled: Asked between tokens; true stops.

    Returns:
        One result per row, in order.

    Raises:
        SessionError: Cancelled.
        ModelError: The network gave something that is no number.
    """
    results = [Decoded() for _ in caches]
    active = list(range(len(caches)))
    together = stack_rows(caches)
    choosers = [Chooser(sampling, stop_id) for _ in caches]
    logits = network.lm_head(hidden).float()
    for step in range(max_new_tokens):
        if cancelled is not None and cancelled():
            raise cancelled_error(step, max_new_tokens)
        require_finite(logits)
        chosen = [
            choosers[row].choose(row_logits, results[row].tokens)
            for row, row_logits in zip(active, logits, strict=True)
        ]
        tokens = torch.tensor(chosen, device=logits.device)
        _record([results[row] for row in active], logits, tokens, stop_id, on_token)
        going = [index for index, token in enumerate(chosen) if token != stop_id]
        if not going or step == max_new_tokens - 1:
            break
        if len(going) < len(active):
            unstack_rows(together, [caches[row] for row in active])
            active = [active[index] for index in going]
            together = stack_rows([caches[row] for row in active])
        logits = step_logits(network, together, tokens[going])
    unstack_rows(together, [caches[row] for row in active])
    return results


def _record(
    results: Sequence[Decoded],
    logits: Tensor,
    tokens: Tensor,
    stop_id: int,
    on_token: OnToken | None,
) -> None:
    """Note the token that each row takes (rows,), or that the row has ended with it."""
    chosen = logits.log_softmax(-1).gather(1, tokens.unsqueeze(1)).flatten().tolist()
    for result, token, logprob in zip(results, tokens.tolist(), chosen, strict=True):
        if token == stop_id:
            result.stopped = "end"
            continue
        result.tokens.append(token)
        result.logprobs.append(logprob)
        if on_token is not None:
            on_token(token)


def step_logits(
    network: LongLlavaForConditionalGeneration, cache: SessionCache, tokens: Tensor
) -> Tensor:
    """Forward one token per row (rows,) and return float32 logits (rows, vocabulary)."""
    embedded = network.get_input_embeddings()(tokens.unsqueeze(1))
    with fast_products(network):
        run = network.model.language_model(
            inputs_embeds=embedded, past_key_values=cache, use_cache=True
        )
        logits: Tensor = network.lm_head(run.last_hidden_state[:, -1]).float()
    return logits


class TextStream:
    """Turns tokens into text as they come; a character is passed on when all its bytes are there.

    Args:
        tokenizer: Spells the tokens.
        on_text: Called with each new piece of text.
    """

    def __init__(self, tokenizer: PromptTokenizer, on_text: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._tokens: list[int] = []
        self._sent = 0

    def __call__(self, token: int) -> None:
        """Take one more token."""
        self._tokens.append(token)
        text = self._tokenizer.decode(self._tokens)
        if not text.endswith("\ufffd"):
            self._send(text)

    def finish(self) -> None:
        """Pass on what is left, complete or not."""
        self._send(self._tokenizer.decode(self._tokens))

    def _send(self, text: str) -> None:
        if len(text) > self._sent:
            self._on_text(text[self._sent :])
            self._sent = len(text)
