"""`PromptTokenizer`: prompts to token ids and back, through ``tokenizer.json`` alone.

``AutoTokenizer`` of transformers 5.x is wrong for this vocabulary: it ignores the pipeline in
``tokenizer.json`` and puts a space before every chunk. The `tokenizers` library reads the file
as it is. Control strings inside a text are ordinary characters here.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from longllava_domains.arguments import checked
from longllava_domains.errors import TokenizerError
from longllava_domains.formats.regular_file import BadDocumentError, parse_json, read_bounded
from longllava_domains.prompt.pieces import Mark, Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A chunk after an image begins with "</img>"; a tokenizer that adds a space to it, squeezes
# whitespace or lacks byte fallback spoils every prompt, and none of the three says so.
_SAMPLE: Final = "</img>\n a  b \ue123"
_GET_IT: Final = (
    "Take tokenizer.json from the repository that the checkpoint came from; "
    "both released models have one."
)


class PromptTokenizer:
    """Encodes prompts exactly as the original code does, and decodes answers.

    Args:
        tokenizer: A tokenizer of the `tokenizers` library; it is kept and configured.

    Raises:
        TokenizerError: A control token is missing, or text does not survive the round trip.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        tokenizer.encode_special_tokens = True  # a user's text is never a control token
        tokenizer.no_truncation()  # a saved file can carry both settings
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.vocab_size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self.pad_id = self._control("<|pad|>")
        self.bos_id = self._control(Mark.BOS.value)
        self.eos_id = self._control(Mark.EOS.value)
        self.unk_id = self._control("<|unk|>")
        if self.decode(self.encode_text(_SAMPLE)) != _SAMPLE:
            raise TokenizerError(
                "The tokenizer changes text: tags and spaces do not survive a round trip.",
                remedy=_GET_IT,
                code="tokenizer.roundtrip",
            )

    @classmethod
    @checked
    def from_folder(cls, folder: str | Path) -> "PromptTokenizer":
        """Load the ``tokenizer.json`` of a model folder.

        Raises:
            TokenizerError: The folder has no ``tokenizer.json``, or it is damaged.
        """
        file = Path(folder) / "tokenizer.json"
        if file.is_file():
            return cls.from_file(file)
        if file.with_suffix(".model").is_file():
            raise TokenizerError(
                "The folder has tokenizer.model but no tokenizer.json, and converting the one "
                "into the other goes wrong for runs of spaces.",
                remedy=_GET_IT,
                code="tokenizer.sentencepiece",
            )
        raise TokenizerError(
            "There is no tokenizer.json at that place.", remedy=_GET_IT, code="tokenizer.missing"
        )

    @classmethod
    @checked
    def from_file(cls, file: str | Path) -> "PromptTokenizer":
        """Load one ``tokenizer.json``.

        Raises:
            TokenizerError: The file cannot be read or is no tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            data = read_bounded(file)
            parse_json(data)
            text = data.decode("utf-8")
        except (OSError, BadDocumentError):
            raise TokenizerError(
                "tokenizer.json cannot be read: it is absent, cut short or not JSON.",
                remedy=_GET_IT,
                code="tokenizer.damaged",
            ) from None
        try:
            return cls(Tokenizer.from_str(text))
        except (TokenizerError, KeyboardInterrupt):
            raise
        except BaseException:  # the library raises nothing narrower, and even panics
            raise TokenizerError(
                "tokenizer.json is JSON but does not describe a tokenizer.",
                remedy=_GET_IT,
                code="tokenizer.damaged",
            ) from None

    def to_json(self) -> str:
        """Return the tokenizer as the text of a tokenizer.json."""
        return str(self._tokenizer.to_str())

    @cached_property
    def image_token_id(self) -> int:
        """The id to stand for views: the last ``<|reserved_i|>`` piece, which no text reaches.

        Raises:
            TokenizerError: The vocabulary reserves no piece.
        """
        named = (
            re.fullmatch(r"<\|reserved_(\d+)\|>", piece) for piece in self._tokenizer.get_vocab()
        )
        for found in sorted(filter(None, named), key=lambda match: -int(match[1])):
            token_id = self._control(found[0])
            if self.encode_text(found[0]) != [token_id]:
                return token_id
        raise TokenizerError(
            "The vocabulary reserves no piece that could stand for views.",
            remedy="Name an unused id as image_token_id in the model's configuration.",
            code="tokenizer.reserved",
        )

    def encode_text(self, text: str) -> list[int]:
        """Return the ids of plain text: no BOS, and control strings as ordinary characters.

        As in every SentencePiece vocabulary the character U+2581 reads as a space; all other
        text survives a round trip.
        """
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, prompt: Prompt, *, tokens_per_image: int, image_token_id: int) -> list[int]:
        """Return the ids of a prompt.

        Args:
            prompt: From `compose`, or a part of one.
            tokens_per_image: How many positions each view takes, for example 144.
            image_token_id: The id that fills them.

        Raises:
            TokenizerError: Some text of the prompt encodes to ``image_token_id``.
        """
        marks = {
            Mark.BOS: [self.bos_id],
            Mark.EOS: [self.eos_id],
            Mark.IMAGE: [image_token_id] * tokens_per_image,
        }
        ids: list[int] = []
        for piece in prompt.pieces:
            if isinstance(piece, Mark):
                ids += marks[piece]
                continue
            chunk = self.encode_text(piece)
            if image_token_id in chunk:
                raise TokenizerError(
                    f"Ordinary text encodes to {image_token_id}, the id that stands for views.",
                    remedy="Choose a reserved id; PromptTokenizer.image_token_id suggests one.",
                    code="tokenizer.image_id",
                    facts={"image_token_id": image_token_id},
                )
            ids += chunk
        return ids

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """Return the text of token ids.

        Args:
            ids: Token ids; bytes that do not make a character yet read as U+FFFD.
            skip_special: Leave out pad, BOS, EOS and unknown.

        Raises:
            TokenizerError: An id lies outside the vocabulary.
        """
        for position, token_id in enumerate(ids):
            if not 0 <= token_id < self.vocab_size:
                raise TokenizerError(
                    f"Id {token_id} at position {position} lies outside the vocabulary "
                    f"of {self.vocab_size}.",
                    remedy="Use the tokenizer of the model that produced the ids.",
                    code="tokenizer.range",
                    facts={"id": token_id, "position": position, "vocab_size": self.vocab_size},
                )
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def _control(self, piece: str) -> int:
        token_id = self._tokenizer.token_to_id(piece)
        if token_id is None:
            raise TokenizerError(
                f"The vocabulary has no control token {piece}.",
                remedy=_GET_IT,
                code="tokenizer.control",
            )
        return int(token_id)
