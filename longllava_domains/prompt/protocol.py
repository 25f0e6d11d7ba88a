"""The conversation template: roles, turns, and where the views go.

There is no system prompt. The role strings carry a literal BOS, so it occurs twice in each
round; past rounds are joined by a newline, not by EOS (that is what the training input shows).
Everything except `Mark` pieces is plain text for the tokenizer.
"""

from collections.abc import Sequence
from typing import Final

from longllava_domains.arguments import checked
from longllava_domains.errors import PromptError
from longllava_domains.prompt.layouts import MARKER, Arrangement, place_views
from longllava_domains.prompt.pieces import Mark, Piece, Prompt
from longllava_domains.vision_language import PromptProtocol
from longllava_domains.visual import VisualSequence

USER_HEADER: Final = "<|User|>\n"
ASSISTANT_HEADER: Final = "<|Assistant|>\n"

Round = tuple[str, str]
"""A question and its answer."""


@checked
def compose(
    sequence: VisualSequence | None,
    question: str,
    history: Sequence[Round] = (),
    *,
    protocol: PromptProtocol = "reference",
) -> Prompt:
    r"""Write the prompt that asks one question about a sequence of views.

    ``<image>`` markers in the questions, one for each view, place the views. Without markers
    the views lead the first question. Nothing is ever shortened.

    Args:
        sequence: What the model looks at; None for a question about text alone.
        question: What is asked now.
        history: Past (question, answer) rounds, oldest first. An answer is always plain text.
        protocol: ``reference`` sends what the original code sends, its slips included;
            ``repaired`` mends the tags; ``paper`` follows the figures of the paper.

    Returns:
        The prompt, ending where the answer begins.

    Raises:
        PromptError: Markers and views differ in number, an unknown protocol, or text that is
            not Unicode.

    Example:
        >>> compose(None, "Hello").text
        '<|startoftext|><|User|>\nHello\n<|startoftext|><|Assistant|>\n'
    """
    _check_rounds(history)
    questions = [*(past for past, _ in history), question]
    return compose_turns(questions, [answer for _, answer in history], sequence, protocol=protocol)


@checked
def compose_turns(
    questions: Sequence[str],
    answers: Sequence[str],
    shown: VisualSequence | int | None,
    *,
    protocol: PromptProtocol = "reference",
) -> Prompt:
    """Write a conversation of given turns.

    Args:
        questions: The user's turns, one at least.
        answers: The assistant's; as many, or one less where an answer is awaited.
        shown: All views, or the number of separate images; placed as in `compose`.
        protocol: As in `compose`.

    Returns:
        The prompt, ending where an answer begins or, with as many answers, behind the last.

    Raises:
        PromptError: As of `compose`.
    """
    check_text([*questions, *answers])
    turns = place_views(questions, Arrangement.of(shown, protocol))
    pieces: list[Piece] = []
    for position, turn in enumerate(turns):
        pieces += user_turn(turn)
        if position < len(answers):
            pieces += [answers[position], "" if position == len(turns) - 1 else "\n"]
    return Prompt(tuple(pieces))


def _check_rounds(history: object) -> None:
    rounds = history if isinstance(history, (list, tuple)) else [None]
    if not all(isinstance(each, (list, tuple)) and len(each) == 2 for each in rounds):
        raise PromptError(
            "The history is no list of (question, answer) rounds.",
            remedy='Pass it as [("What is shown?", "A lung.")].',
            code="prompt.history",
        )


def compose_next(question: str) -> Prompt:
    """Write what a session adds to ask once more, right after the last id of its answer.

    Args:
        question: What is asked now; the views were shown before, so it places none.

    Returns:
        The newline that closes the past answer, the new question, and the assistant's header.

    Raises:
        PromptError: The question has an ``<image>`` marker, or is not Unicode.
    """
    check_text([question])
    turns = place_views([question], Arrangement.of(None, "reference"))
    return Prompt(("\n", *user_turn(turns[0])))


def user_turn(text: str) -> tuple[Piece, ...]:
    """Wrap a user's text, whose markers are views, in the role strings up to the answer."""
    pieces: list[Piece] = [Mark.BOS, USER_HEADER]
    for position, chunk in enumerate(text.split(MARKER)):
        pieces += [Mark.IMAGE, chunk] if position else [chunk]
    return (*pieces, "\n", Mark.BOS, ASSISTANT_HEADER)


def check_text(texts: Sequence[str]) -> None:
    """Refuse what is no text, or text that UTF-8 cannot hold, which no tokenizer takes.

    Raises:
        PromptError: Bytes or another object; a lone surrogate, as badly decoded file names have.
    """
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise PromptError(
                f"Text {position} of the prompt is no text; found {type(text).__name__}.",
                remedy="Pass a str; decode bytes with their encoding first.",
                code="prompt.text",
                facts={"text": position},
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise PromptError(
                f"Text {position} of the prompt is not Unicode: character {error.start} is half "
                "of a surrogate pair.",
                remedy="Decode the text with its real encoding before asking.",
                code="prompt.unicode",
                facts={"text": position, "character": error.start},
            ) from None
