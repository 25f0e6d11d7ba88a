"""`Encoder`: a sample becomes token ids and labels, masked as the original training code does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from longllava_domains.adapters.data.pictures import ONE_VIEW, Shape
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import LossOn
from longllava_domains.errors import PromptError
from longllava_domains.model import LongLlavaConfig
from longllava_domains.prompt import (
    PromptProtocol,
    PromptTokenizer,
    encode_training,
    render_training,
)
from longllava_domains.prompt.layouts import MARKER, Arrangement
from longllava_domains.prompt.protocol import Round
from longllava_domains.prompt.training import IGNORED


@dataclass(frozen=True)
class Encoded:
    """A sample as the network reads it.

    Attributes:
        input_ids: Token ids, the image id repeated for each view.
        labels: The id at each learned position (not shifted), `IGNORED` elsewhere.
        views: Number of views.
    """

    input_ids: list[int]
    labels: list[int]
    views: int

    @property
    def learned(self) -> int:
        """Number of positions that are learned."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True)
class Encoder:
    """Turns samples into ids for one network.

    Attributes:
        tokenizer: The checkpoint's own.
        config: Gives the image id and the tokens of a view.
        loss_on: ``"all"`` learns every answer, ``"last"`` only the last of each conversation.
        protocol: How views are spelled, see `prompt.compose`.
    """

    tokenizer: PromptTokenizer
    config: LongLlavaConfig
    loss_on: LossOn = "all"
    protocol: PromptProtocol = "reference"

    def encode(self, sample: Sample) -> Encoded:
        """Tokenise a sample; its pictures are opened only as far as their shapes need.

        Raises:
            RowError: The text is not Unicode.
            LongLlavaError: A volume or a scene cannot be opened.
        """
        shapes = [picture.shape() for picture in sample.pictures]
        rounds, views = spell_pictures(sample.rounds, shapes, self.protocol)
        try:
            text = render_training(rounds, views, protocol=self.protocol)
        except PromptError as error:
            raise RowError("bad_text" if error.code == "prompt.unicode" else "no_answer") from None
        ids = encode_training(
            text,
            self.tokenizer,
            tokens_per_image=self.config.tokens_per_image,
            image_token_id=self.config.image_token_id,
        )
        labels = ids.labels if self.loss_on == "all" else last_answer_only(ids.labels)
        return Encoded(ids.input_ids, labels, views)

    def show(self, sample: Sample) -> str:
        """Write a sample as it is trained on: what is learned stands between ``[[`` and ``]]``.

        The text is decoded from the label ids themselves, so it shows what the mask does and not
        what it should do. A view reads ``<image>``.
        """
        encoded = self.encode(sample)
        image_id, each = self.config.image_token_id, self.config.tokens_per_image
        shown = ""
        position = 0
        kinds = ("learned" if label != IGNORED else token == image_id
                 for token, label in zip(encoded.input_ids, encoded.labels, strict=True))  # fmt: skip
        for kind, run in groupby(kinds):
            end = position + sum(1 for _ in run)
            if kind == "learned":
                ids = encoded.labels[position:end]
                shown += f"[[{self.tokenizer.decode(ids, skip_special=False)}]]"
            elif kind:
                shown += MARKER * ((end - position) // each)
            else:
                ids = encoded.input_ids[position:end]
                shown += self.tokenizer.decode(ids, skip_special=False)
            position = end
        return shown


def last_answer_only(labels: Sequence[int]) -> list[int]:
    """Mask every answer but the last; answers never touch, so the last unbroken run is it."""
    end = len(labels)
    while end and labels[end - 1] == IGNORED:
        end -= 1
    start = end
    while start and labels[start - 1] != IGNORED:
        start -= 1
    return [IGNORED] * start + list(labels[start:])


def spell_pictures(
    rounds: Sequence[Round], shapes: Sequence[Shape], protocol: PromptProtocol
) -> tuple[list[Round], int]:
    """Write out pictures of many views, where a row has any.

    Args:
        rounds: Questions with a tag for each picture, or with none.
        shapes: What each picture becomes.
        protocol: How views are spelled.

    Returns:
        Rounds with a tag for each view, or with none, and the number of views.
    """
    views = sum(shape.views for shape in shapes)
    if all(shape == ONE_VIEW for shape in shapes):
        return list(rounds), views
    spelled = [Arrangement(s.views, s.layout, s.grid, protocol) for s in shapes]
    if not any(MARKER in question for question, _ in rounds):
        (question, answer), *rest = rounds
        return [("".join(one.lead() for one in spelled) + question, answer), *rest], views
    # A turn that spells the tags itself is left as it is, so every picture is spelled here.
    blocks = iter(spelled)
    written = []
    for question, answer in rounds:
        before, *others = question.split(MARKER)
        for text in others:
            before += next(blocks).block() + text
        written.append((before, answer))
    return written, views
