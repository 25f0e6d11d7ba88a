"""One question of one input, whatever its domain."""

from collections.abc import Callable
from dataclasses import replace

from longllava_domains.answer import Answer
from longllava_domains.errors import UnsupportedInputError
from longllava_domains.model import LongLlava
from longllava_domains.pipelines.ct.report import CTReport
from longllava_domains.pipelines.domains import Domain
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA


def ask_input(
    model: LongLlava,
    path: str,
    question: str,
    domain: Domain,
    *,
    spacing_mm: float | None = None,
    max_tokens: int | None = None,
    max_new_tokens: int = 256,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Answer:
    """Ask one question of a CT or a raster, shown as its domain's default shows it.

    Args:
        model: A loaded model.
        path: The input.
        question: The question, sent as it stands.
        domain: What the input is, see `decide_domain`.
        spacing_mm: Distance between the slices of a CT; its default's otherwise.
        max_tokens: Budget of a raster's grid, `GridPolicy.max_tokens`; its default's otherwise.
        max_new_tokens: Longest answer.
        on_progress: Called with (stage, done, total).

    Raises:
        InputError: The input cannot be read.
        PolicyError: A spacing or budget that cannot be followed.
        ModelError: The model cannot run on it.
    """
    if domain == "ct":
        report = CTReport(model)
        slices = report.policy(spacing_mm=spacing_mm)
        return report.ask(
            path, question, policy=slices, max_new_tokens=max_new_tokens, on_progress=on_progress
        )
    if domain == "remote_sensing":
        scene = RemoteSensingQA(model)
        grid = scene.policy if max_tokens is None else replace(scene.policy, max_tokens=max_tokens)
        return scene(path, question, policy=grid, max_new_tokens=max_new_tokens).answer
    raise UnsupportedInputError(
        "This is a pathology slide, which this version does not read yet.",
        remedy="Slides come with a later release; see CHANGELOG.md.",
        code="pathology.later",
    )
