"""Chat messages, as transformers' processors take them, to the turns of our template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers.image_utils import load_image

from longllava_domains.errors import PromptError
from longllava_domains.model.network.preprocess import Picture
from longllava_domains.prompt.layouts import MARKER
from longllava_domains.prompt.pieces import Mark

# Keys under which a message's part may hold its image; a URL is fetched because the user wrote it.
_IMAGE_KEYS = ("image", "url", "path", "base64")
# What people would read as the control tokens themselves, once it is a string.
_RESERVED = (Mark.BOS.value, Mark.EOS.value, MARKER)


@dataclass(frozen=True)
class Conversation:
    """Turns of a conversation.

    Attributes:
        questions: The user's turns, with a marker for each image.
        answers: The assistant's turns; one less than questions where an answer is awaited.
        images: All images, in order.
    """

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    images: tuple[Picture, ...]

    @property
    def rounds(self) -> list[tuple[str, str]]:
        """The (question, answer) pairs."""
        return list(zip(self.questions, self.answers, strict=False))


def read_messages(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Read messages of the roles user and assistant, by turns.

    An image is spelled as ``<image>`` where it stands; before text it is followed by a newline, as
    in the original's data.

    Raises:
        PromptError: Another role or order (there is no system prompt), a part that is neither text
            nor image, or text that spells a control token.
    """
    turns: tuple[list[str], list[str]] = ([], [])
    images: list[Picture] = []
    for position, message in enumerate(messages):
        if message.get("role") != ("user", "assistant")[position % 2]:
            raise _unusable(
                f"message {position} is not the {('user', 'assistant')[position % 2]}'s"
            )
        text, shown = _read_content(message.get("content"), position)
        if shown and position % 2:
            raise _unusable(f"message {position} is an answer and shows an image")
        turns[position % 2].append(text)
        images += shown
    if not turns[0]:
        raise _unusable("there is no message")
    return Conversation(tuple(turns[0]), tuple(turns[1]), tuple(images))


def _read_content(content: Any, position: int) -> tuple[str, list[Picture]]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, (list, tuple)):
        raise _unusable(f"message {position} has no content")
    text, images = "", []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            words = part["text"]
            if any(word in words for word in _RESERVED):
                raise _unusable(f"message {position} spells a control token as text")
            if text.endswith(MARKER) and not words.startswith("\n"):
                text += "\n"
            text += words
        elif kind == "image":
            text += MARKER
            images.append(_image_of(part, position))
        else:
            raise _unusable(f"message {position} has a part that is neither text nor image")
    return text, images


def _image_of(part: Mapping[str, Any], position: int) -> Picture:
    given = next((part[key] for key in _IMAGE_KEYS if part.get(key) is not None), None)
    if given is None:
        raise _unusable(f"message {position} names no image")
    if not isinstance(given, str):
        picture: Picture = given
        return picture
    try:
        loaded: Picture = load_image(given)
        return loaded
    except (OSError, ValueError):
        raise PromptError(
            f"The image of message {position} cannot be read.",
            remedy="Open it yourself and pass the PIL image.",
            code="prompt.image",
        ) from None  # it may quote a path


def _unusable(found: str) -> PromptError:
    return PromptError(
        f"The messages make no prompt of this model: {found}.",
        remedy="Write user and assistant by turns, the user first; each content a text, or a list of "
        '{"type": "text", "text": ...} and {"type": "image", "image": ...}.',
        code="prompt.messages",
        facts={},
    )
