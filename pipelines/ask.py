"""One question of one input, whatever its domain."""

from collections.abc import Callable

from longllava_domains.answer import Answer
from longllava_domains.errors import UnsupportedInputError
from longllava_domains.model import LongLlava
from longllava_domains.pipelines.ct_report import CTReport
from longllava_domains.pipelines.domain import Domain
from longllava_domains.pipelines.remote_sensing_qa import RemoteSensingQA


def ask_input(
    model: LongLlava,
    path: str,
    question: str,
    domain: Domain,
    *,
    max_new_tokens: int = 256,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Answer:
    """Ask one question of a CT or a raster, shown as its domain's default shows it.

    Args:
        model: A loaded model.
        path: The input.
        question: The question, sent as it stands.
        domain: What the input is, see `decide_domain`.
        max_new_tokens: Longest answer.
        on_progress: Called with (stage, done, total).

    Raises:
        InputError: The input cannot be read.
        ModelError: The model cannot run on it.
    """
    if domain == "ct":
        return CTReport(model).ask(
            path, question, max_new_tokens=max_new_tokens, on_progress=on_progress
        )
    if domain == "remote_sensing":
        return RemoteSensingQA(model)(path, question, max_new_tokens=max_new_tokens).answer
    raise UnsupportedInputError(
        "This is a pathology slide, which this version does not read yet.",
        remedy="Slides come with a later release; see CHANGELOG.md.",
        code="pathology.later",
    )
