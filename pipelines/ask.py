"""One question of one input, whatever its domain."""

from typing import Any

from longllava_domains.pipelines.domains.domain import Domain, OnProgress, Told
from longllava_domains.pipelines.left_out import left_out_text
from longllava_domains.units import counted
from longllava_domains.vision_language import Sampling, VisionLanguageModel


def ask_input(
    model: VisionLanguageModel,
    opened: Any,
    question: str,
    domain: Domain,
    settings: Any,
    *,
    max_new_tokens: int = 256,
    sampling: Sampling | None = None,
    on_progress: OnProgress | None = None,
) -> Told:
    """Ask one question of an open input, shown as its domain's default shows it.

    Args:
        model: A loaded model.
        opened: What `Domain.open` returned.
        question: The question, sent as it stands.
        domain: What the input is, see `decide_domain`.
        settings: The user's wishes, an object of the type ``domain.settings``.
        max_new_tokens: Longest answer.
        sampling: How tokens are drawn; None for the most likely one.
        on_progress: Called with (stage, done, total).

    Raises:
        PolicyError: A setting that cannot be followed.
        ModelError: The model cannot run on it.
    """
    policy = domain.policy(settings, model.view_format)
    return domain.ask(
        model,
        opened,
        question,
        policy,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        on_progress=on_progress,
    )


def shown_line(answer: Told) -> str:
    """Return in one line how many views the model saw, how sharp, and what was left out."""
    made = answer.provenance
    line = f"Shown: {counted(int(made.get('views', 0)), 'view')}"
    resolution_m = made.get("resolution_m")
    if resolution_m is not None:
        line += f", the scene at {resolution_m:.3g} m per pixel"
    line += f"; left out: {left_out_text(made.get('left_out') or {})}."
    cut = made.get("stop") == "length"
    return f"{line} The answer was cut short: raise --max-new-tokens." if cut else line
