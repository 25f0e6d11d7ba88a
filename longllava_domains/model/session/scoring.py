"""Log-probabilities of given answers: all choices of a question from one cached state."""

from collections.abc import Sequence

import torch
from torch import Tensor

from longllava_domains.errors import PromptError
from longllava_domains.model.kernels.cpu_matmul import fast_products
from longllava_domains.model.kernels.finite import require_finite
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.prompt import PromptTokenizer
from longllava_domains.prompt.protocol import check_text


def encode_choices(tokenizer: PromptTokenizer, choices: Sequence[str]) -> list[list[int]]:
    """Return the ids of each choice, as an answer would hold them.

    Raises:
        PromptError: No choices, one that has no tokens, or something that is no list of texts.
    """
    if isinstance(choices, (str, bytes)) or not all(isinstance(choice, str) for choice in choices):
        raise PromptError(
            "Choices are a list of texts; found one text, or something else.",
            remedy='Pass them as ("Yes", "No"), one alone as ("Yes",).',
            code="session.choices",
        )
    check_text(choices)
    encoded = [tokenizer.encode_text(choice) for choice in choices]
    empty = [position for position, ids in enumerate(encoded) if not ids]
    if not encoded or empty:
        found = f"choice {empty[0]} has no tokens" if empty else "there are none"
        raise PromptError(
            f"Choices need a token each; {found}.",
            remedy='Pass at least one text that is not empty, such as ("Yes", "No").',
            code="session.choices",
            facts={"choices": len(encoded), "empty": tuple(empty)},
        )
    return encoded


@torch.no_grad()
def first_logprobs(network: LongLlavaForConditionalGeneration, hidden: Tensor) -> Tensor:
    """Return the log-probabilities (rows, vocabulary) of the token after each row.

    Args:
        network: The model.
        hidden: Last hidden state of each question (rows, hidden).

    Raises:
        ModelError: The network gave something that is no number.
    """
    logits: Tensor = network.lm_head(hidden).float()
    require_finite(logits)
    return logits.log_softmax(-1)


@torch.no_grad()
def score_choices(
    network: LongLlavaForConditionalGeneration,
    cache: SessionCache,
    first: Tensor,
    choices: Sequence[Sequence[int]],
    rows_together: int,
) -> list[tuple[float, ...]]:
    """Return the log-probability of every token of every choice.

    Args:
        network: The model.
        cache: Holds the question; left as it is.
        first: Log-probabilities (vocabulary,) of the token after the question.
        choices: Ids of each choice.
        rows_together: Choices forwarded at once; bounds memory.

    Raises:
        ModelError: The network gave something that is no number.
    """
    scores: list[tuple[float, ...]] = []
    for start in range(0, len(choices), rows_together):
        batch = choices[start : start + rows_together]
        with fast_products(network):
            following = _following(network, cache, batch)
        for row, ids in enumerate(batch):
            rest = [float(following[row, at, token]) for at, token in enumerate(ids[1:])]
            scores.append((float(first[ids[0]]), *rest))
    return scores


def _following(
    network: LongLlavaForConditionalGeneration,
    cache: SessionCache,
    choices: Sequence[Sequence[int]],
) -> Tensor:
    """Return log-probabilities (choices, tokens - 1, vocabulary) after each token but the last.

    Shorter choices are filled up on the right, where nothing before can see it.
    """
    longest = max(len(ids) for ids in choices) - 1
    device = network.input_device
    if longest == 0:
        return torch.empty(len(choices), 0, network.config.text_config.vocab_size, device=device)
    filled = [[*ids[:-1], *[0] * (longest + 1 - len(ids))] for ids in choices]
    embedding = network.get_input_embeddings()
    embedded = embedding(torch.tensor(filled, device=device))
    run = network.model.language_model(
        inputs_embeds=embedded, past_key_values=cache.repeat(len(choices)), use_cache=True
    )
    logits: Tensor = network.lm_head(run.last_hidden_state).float()
    require_finite(logits)
    return logits.log_softmax(-1)
