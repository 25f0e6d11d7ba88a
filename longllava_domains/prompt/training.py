"""The two texts of a training conversation: what the model reads, and what it should have said.

The input shows a newline after every answer but the last; the label shows EOS there, so the
model learns to stop where the input goes on. Both have the same number of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longllava_domains.arguments import checked
from longllava_domains.errors import PromptError, TokenizerError
from longllava_domains.prompt.layouts import Arrangement, place_views
from longllava_domains.prompt.pieces import Mark, Piece, Prompt
from longllava_domains.prompt.protocol import ASSISTANT_HEADER, Round, check_text, user_turn
from longllava_domains.prompt.tokens import PromptTokenizer
from longllava_domains.vision_language import PromptProtocol
from longllava_domains.visual import VisualSequence

IGNORED: Final = -100
"""The label of a position that is not learned, as in PyTorch's cross-entropy."""


@dataclass(frozen=True)
class TrainingText:
    """A conversation as the model is trained on it.

    Learned are the tokens of each answer and the EOS that ends it, in the label; the role
    strings up to and including the assistant's header, the questions and the views are not.

    Attributes:
        input: What the model reads.
        label: The same with EOS after every answer.
    """

    input: Prompt
    label: Prompt


@dataclass(frozen=True)
class TrainingIds:
    """Token ids of a training conversation.

    Attributes:
        input_ids: What the model reads.
        labels: The id at each learned position (not shifted), `IGNORED` elsewhere.
    """

    input_ids: list[int]
    labels: list[int]


@checked
def render_training(
    conversation: Sequence[Round],
    sequence: VisualSequence | int | None = None,
    *,
    protocol: PromptProtocol = "reference",
) -> TrainingText:
    """Write input and label of a training conversation.

    Args:
        conversation: (question, answer) rounds, one at least. An answer that already ends with
            ``<|endoftext|>``, as in the original's packed data, gets no second end and no
            newline, in either text.
        sequence: The views of the whole conversation, or the number of separate images;
            markers place them as in `compose`.
        protocol: As in `compose`.

    Returns:
        Input and label, of equal length once tokenised.

    Raises:
        PromptError: No round, an empty answer, or anything that `compose` refuses.
    """
    questions = [question for question, _ in conversation]
    answers = [answer for _, answer in conversation]
    check_text([*questions, *answers])
    _check_answers(answers)
    inputs: list[Piece] = []
    labels: list[Piece] = []
    turns = place_views(questions, Arrangement.of(sequence, protocol))
    for position, (turn, answer) in enumerate(zip(turns, answers, strict=True)):
        spoken = answer.removesuffix(Mark.EOS.value)
        ended = spoken != answer or position == len(answers) - 1
        inputs += [*user_turn(turn), spoken, Mark.EOS if ended else "\n"]
        labels += [*user_turn(turn), spoken, Mark.EOS]
    return TrainingText(Prompt(tuple(inputs)), Prompt(tuple(labels)))


@checked
def encode_training(
    training: TrainingText,
    tokenizer: PromptTokenizer,
    *,
    tokens_per_image: int,
    image_token_id: int,
) -> TrainingIds:
    """Tokenise a training conversation and mask what is not learned.

    Raises:
        TokenizerError: Input and label differ in length: the vocabulary is not one that this
            template was made for.
    """
    input_ids = tokenizer.encode(
        training.input, tokens_per_image=tokens_per_image, image_token_id=image_token_id
    )
    header = len(tokenizer.encode_text(ASSISTANT_HEADER))
    labels: list[int] = []
    before: Piece = ""
    answering = False
    for piece in training.label.pieces:
        ids = tokenizer.encode(
            Prompt((piece,)), tokens_per_image=tokens_per_image, image_token_id=image_token_id
        )
        if isinstance(piece, str):
            # Only the template puts a header right after BOS; a user's text cannot.
            answering = before is Mark.BOS and piece.startswith(ASSISTANT_HEADER)
            learned = ids[header:] if answering else []
        else:
            learned = ids if answering and piece is Mark.EOS else []
        labels += [IGNORED] * (len(ids) - len(learned)) + learned
        before = piece
    if len(labels) != len(input_ids):
        raise TokenizerError(
            f"Input and label of a training conversation have {len(input_ids)} and "
            f"{len(labels)} tokens; a newline is not one token in this vocabulary.",
            remedy="Train with the tokenizer that came with the checkpoint.",
            code="tokenizer.template",
            facts={"input": len(input_ids), "label": len(labels)},
        )
    return TrainingIds(input_ids, labels)


def _check_answers(answers: Sequence[str]) -> None:
    if not answers:
        raise PromptError(
            "The training conversation has no round.",
            remedy="Give one question with its answer at least.",
            code="prompt.empty",
        )
    for position, answer in enumerate(answers):
        if not answer.removesuffix(Mark.EOS.value):
            raise PromptError(
                f"Answer {position} of the training conversation is empty.",
                remedy="Drop the round; there is nothing to learn from it.",
                code="prompt.empty",
                facts={"round": position},
            )
