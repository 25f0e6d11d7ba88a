"""From tokens that were generated to an `Answer` that says how it came about."""

import time
from dataclasses import asdict
from datetime import UTC, datetime

from longllava_domains.answer import Answer
from longllava_domains.model.kernels.report import kernel_report
from longllava_domains.model.loaded import LoadedModel
from longllava_domains.model.session.decoding import Decoded
from longllava_domains.model.session.prefill import StepSizes
from longllava_domains.prompt import Prompt, PromptProtocol
from longllava_domains.provenance import Provenance, notices_for
from longllava_domains.vision_language import Sampling
from longllava_domains.visual import VisualSequence


def build_answer(
    model: LoadedModel,
    sequence: VisualSequence | None,
    prompt: Prompt,
    decoded: Decoded,
    *,
    protocol: PromptProtocol,
    steps: StepSizes,
    max_new_tokens: int,
    sampling: Sampling | None,
    began: float,
) -> Answer:
    """Put what was generated into an `Answer` that says how it came about.

    Args:
        model: Whose answer it is.
        sequence: What was shown.
        prompt: The whole prompt.
        decoded: What was generated.
        protocol: How views were spelled.
        steps: Tokens and views of one step.
        max_new_tokens: Longest answer allowed.
        sampling: How tokens were drawn.
        began: `time.perf_counter` when the question was asked.
    """
    tokens = len(model.processor.encode(prompt))
    made = _prompt_provenance(model, sequence, prompt, tokens).with_(
        protocol=protocol,
        max_new_tokens=max_new_tokens,
        sampling="greedy" if sampling is None else asdict(sampling),
        stop=decoded.stopped,
        kv_cache_dtype=model.kv_cache_dtype,
        chunk_tokens=steps.chunk_tokens,
        view_batch=steps.view_batch,
        out_of_memory_retries=steps.retries,
        kernels=kernel_report(model.device),
        seconds=round(time.perf_counter() - began, 3),
    )
    text = model.processor.tokenizer.decode(decoded.tokens).strip()
    return Answer(text, tuple(decoded.tokens), decoded.stopped, tuple(decoded.logprobs), made)


def _prompt_provenance(
    model: LoadedModel, sequence: VisualSequence | None, prompt: Prompt, tokens: int
) -> Provenance:
    shown = Provenance() if sequence is None else sequence.provenance
    notices = [*shown.get("notices", ()), *model.provenance["notices"]]
    config = model.network.config
    beyond = max(0, tokens - config.trained_length) if config.trained else 0
    if beyond:
        notices.append("Beyond the length the model was trained on.")
    made = shown.with_(**model.provenance).with_(notices=notices)
    return made.with_(
        views=0 if sequence is None else len(sequence),
        prompt_sha256=prompt.sha256(),
        tokens=tokens,
        beyond_trained_length=beyond,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        notices=notices_for(made),
    )
