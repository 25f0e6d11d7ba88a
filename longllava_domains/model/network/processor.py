"""`Processor`: a visual sequence and a question become the network's inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longllava_domains.errors import TokenizerError
from longllava_domains.model.network.config import LongLlavaConfig
from longllava_domains.model.network.preprocess import pixel_values
from longllava_domains.prompt import Prompt, PromptProtocol, PromptTokenizer, compose
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True)
class Inputs:
    """What the network is called with, and the prompt it came from.

    Attributes:
        input_ids: int64 (1, tokens), the image id repeated for each image.
        pixel_values: float32 (images, 3, view_px, view_px), None without images.
        prompt: The prompt as composed.
    """

    input_ids: Tensor
    pixel_values: Tensor | None
    prompt: Prompt


class Processor:
    """Prepares views and text for one network.

    Args:
        tokenizer: Spells text as token ids.
        config: Gives the image id, the tokens of an image and the size of a view.

    Raises:
        TokenizerError: The tokenizer's vocabulary is larger than the network's.
    """

    def __init__(self, tokenizer: PromptTokenizer, config: LongLlavaConfig) -> None:
        if tokenizer.vocab_size > config.text_config.vocab_size:
            raise TokenizerError(
                f"The tokenizer has {tokenizer.vocab_size} ids, the network only "
                f"{config.text_config.vocab_size}.",
                remedy="Use the tokenizer that the checkpoint was trained with.",
                code="tokenizer.vocabulary",
            )
        self.tokenizer = tokenizer
        self.config = config

    def __call__(
        self,
        sequence: VisualSequence | None,
        question: str,
        history: Sequence[tuple[str, str]] = (),
        *,
        protocol: PromptProtocol = "reference",
    ) -> Inputs:
        """Compose, tokenise and preprocess one prompt; see `prompt.compose` for the arguments.

        Raises:
            PromptError: Views and text do not make a prompt.
        """
        prompt = compose(sequence, question, history, protocol=protocol)
        pixels = None if sequence is None else pixel_values(sequence, self.config.view_px)
        return Inputs(torch.tensor([self.encode(prompt)]), pixels, prompt)

    def encode(self, prompt: Prompt) -> list[int]:
        """Return the ids of a prompt, or of a part of one, for this network."""
        return self.tokenizer.encode(
            prompt,
            tokens_per_image=self.config.tokens_per_image,
            image_token_id=self.config.image_token_id,
        )
