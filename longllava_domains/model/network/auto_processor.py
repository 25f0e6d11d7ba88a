"""`LongLlavaProcessor`: what `AutoProcessor` and pipelines of transformers find for this network.

The ids are those of `Processor`: text is cut at images and control tokens and spelled piece by
piece through tokenizer.json, which `AutoTokenizer` of transformers does not do.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoProcessor, BatchFeature, PreTrainedTokenizerFast
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.processing_utils import ProcessorMixin
from transformers.utils.hub import cached_file

from longllava_domains.errors import OutputError, PromptError, TokenizerError
from longllava_domains.model.network.config import LongLlavaConfig
from longllava_domains.model.network.messages import Conversation, read_messages
from longllava_domains.model.network.preprocess import Picture, pixel_values
from longllava_domains.prompt import Mark, Prompt, PromptTokenizer, compose_turns, encode_training
from longllava_domains.prompt.training import render_training

# The same text as `apply_chat_template` writes, for tools that show a template.
CHAT_TEMPLATE: Final = (
    "{% for m in messages %}{% if m.role == 'user' %}<|startoftext|><|User|>\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'image' %}<img><image></img>{% else %}"
    "{% if not loop.first and loop.previtem.type == 'image' and not c.text.startswith('\n') %}\n"
    "{% endif %}{{ c.text }}{% endif %}{% endfor %}{% endif %}\n<|startoftext|><|Assistant|>\n"
    "{% else %}{{ m.content if m.content is string else m.content[0].text }}"
    "{% if not loop.last %}\n{% endif %}{% endif %}{% endfor %}"
)
_CONTROL: Final = re.compile("|".join(re.escape(mark.value) for mark in Mark))
_HUB: Final = ("revision", "token", "cache_dir", "local_files_only", "force_download")


class LongLlavaImageProcessor(ImageProcessingMixin):
    """Images to pixels as the original pads, resizes and normalises them.

    Args:
        view_px: Side of the square that the tower takes, pixels.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012 - transformers reads it so

    def __init__(self, view_px: int = 336, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.view_px = view_px

    def __call__(self, images: Any, **_: Any) -> BatchFeature:
        """Return ``pixel_values`` (images, 3, view_px, view_px), float32."""
        return BatchFeature({"pixel_values": pixel_values(_listed(images), self.view_px)})


class LongLlavaProcessor(ProcessorMixin):
    """Messages, or text and images, to the network's inputs.

    Args:
        image_processor: Prepares images.
        tokenizer: A transformers view of tokenizer.json; its ids are not used for prompts.
        speller: Spells prompts.
        config: Gives the image id and the tokens of an image.
    """

    def __init__(
        self,
        image_processor: LongLlavaImageProcessor,
        tokenizer: PreTrainedTokenizerFast,
        *,
        speller: PromptTokenizer,
        config: LongLlavaConfig,
    ) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.chat_template = CHAT_TEMPLATE
        self._speller, self._config = speller, config

    @classmethod
    def build(cls, speller: PromptTokenizer, config: LongLlavaConfig) -> Self:
        """Make the processor of a network from its tokenizer."""
        return cls(
            LongLlavaImageProcessor(config.view_px),
            _as_transformers(speller),
            speller=speller,
            config=config,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load the processor of a checkpoint: its tokenizer.json and its config.json.

        Raises:
            TokenizerError: No usable tokenizer.
            CheckpointError: The configuration of another model.
        """
        where = {name: kwargs[name] for name in _HUB if kwargs.get(name) is not None}
        name = str(pretrained_model_name_or_path)
        config = AutoConfig.from_pretrained(name, **where)
        found = cached_file(
            name, "tokenizer.json", **where, _raise_exceptions_for_missing_entries=False
        )
        if found is None:
            raise TokenizerError(
                "The checkpoint has no tokenizer.json.",
                remedy="Put the tokenizer.json of the released checkpoint beside config.json.",
                code="tokenizer.missing",
            )
        return cls.build(PromptTokenizer.from_file(found), config)

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Write tokenizer files, the chat template, and the settings of images.

        Raises:
            OutputError: The folder cannot be written.
        """
        try:
            self._write(Path(save_directory))
        except OSError:
            raise OutputError(
                "The processor cannot be written there.",
                remedy="Check that the folder is yours to write and that the disk is not full.",
                code="checkpoint.output",
            ) from None

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(str(folder))
        settings = {
            "processor_class": type(self).__name__,
            "image_processor_type": type(self.image_processor).__name__,
            "view_px": self.image_processor.view_px,
            "tokens_per_image": self._config.tokens_per_image,
        }
        text = json.dumps(settings, indent=2) + "\n"
        (folder / "processor_config.json").write_text(text, "utf-8")
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> BatchFeature:
        """Encode text that `apply_chat_template` wrote, with the images that it places.

        Args:
            images: Images of all texts, in order.
            text: One text or a list; ``<image>`` and control tokens are read as such.
            **kwargs: ``return_tensors`` is "pt"; rows are padded on the left.

        Raises:
            PromptError: Images and ``<image>`` differ in number, or the text is no text.
        """
        texts = [text] if isinstance(text, str) else list(text or ())
        shown = _listed(images)
        prompts = [_prompt_of(each) for each in texts]
        placed = sum(prompt.image_count for prompt in prompts)
        if placed != len(shown):
            raise PromptError(
                f"The text places {placed} images with <image>, and there are {len(shown)}.",
                remedy="Write the text with apply_chat_template, or one <img><image></img> an image.",
                code="prompt.markers",
            )
        return self._inputs(prompts, shown)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        *,
        tokenize: bool = False,
        continue_final_message: bool = False,
        return_dict: bool = False,
        **_: Any,
    ) -> Any:
        """Write messages as the original's template does; see `read_messages`.

        Args:
            conversation: Messages, or a list of conversations.
            chat_template: Not possible: the template belongs to the weights.
            tokenize: Return the network's inputs instead of text.
            continue_final_message: The last message is the beginning of the answer.
            return_dict: Return `BatchFeature` rather than ids alone, where tokenized.
            **_: Of no account here.

        Raises:
            PromptError: Messages that make no prompt, or a template of one's own.
        """
        if chat_template is not None:
            raise PromptError(
                "The template belongs to the weights and cannot be replaced.",
                remedy="Leave chat_template out.",
                code="prompt.template",
            )
        many = bool(conversation) and not isinstance(conversation[0], Mapping)
        read = [read_messages(each) for each in (conversation if many else [conversation])]
        prompts = [_render(each, continue_final_message) for each in read]
        if not tokenize:
            texts = [prompt.text for prompt in prompts]
            return texts if many else texts[0]
        inputs = self._inputs(prompts, [image for each in read for image in each.images])
        return inputs if return_dict else inputs["input_ids"]

    def training_example(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return ``input_ids``, ``labels`` and ``pixel_values`` of one conversation to learn.

        Learned are the answers and the token that ends each, as in the original; see
        `prompt.render_training`.
        """
        read = read_messages(messages)
        text = render_training(read.rounds, len(read.images))
        ids = encode_training(
            text,
            self._speller,
            tokens_per_image=self._config.tokens_per_image,
            image_token_id=self._config.image_token_id,
        )
        pixels = self.image_processor(read.images)["pixel_values"]
        return {
            "input_ids": torch.tensor(ids.input_ids),
            "labels": torch.tensor(ids.labels),
            "pixel_values": pixels,
        }

    def decode(self, token_ids: Any, **kwargs: Any) -> str:
        """Return the text of ids; images have none."""
        image_id = self._config.image_token_id
        kept = [
            token for token in torch.as_tensor(token_ids).flatten().tolist() if token != image_id
        ]
        return self._speller.decode(kept, kwargs.get("skip_special_tokens", True))

    def batch_decode(self, sequences: Any, **kwargs: Any) -> list[str]:
        """Return the text of each row."""
        return [self.decode(row, **kwargs) for row in sequences]

    def post_process_image_text_to_text(self, generated_outputs: Any, **kwargs: Any) -> list[str]:
        """Return the text of each row; pipelines call this."""
        return self.batch_decode(generated_outputs, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """The arguments of the network that come from here."""
        return ["input_ids", "attention_mask", "pixel_values"]

    def __repr__(self) -> str:
        config = self._config
        return f"LongLlavaProcessor(view_px={config.view_px}, tokens_per_image={config.tokens_per_image})"

    def _inputs(self, prompts: Sequence[Prompt], images: Sequence[Picture]) -> BatchFeature:
        rows = [
            self._speller.encode(
                prompt,
                tokens_per_image=self._config.tokens_per_image,
                image_token_id=self._config.image_token_id,
            )
            for prompt in prompts
        ]
        longest = max(map(len, rows), default=0)
        padded = [[self._speller.pad_id] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        inputs = {"input_ids": torch.tensor(padded), "attention_mask": torch.tensor(mask)}
        if images:
            inputs |= self.image_processor(images)
        return BatchFeature(inputs)


def _listed(images: Any) -> list[Picture]:
    """Return images that may come alone, in a list, or in a list for each text."""
    if images is None:
        return []
    if not isinstance(images, (list, tuple)):
        return [images]
    return [image for each in images for image in _listed(each)]


def _as_transformers(speller: PromptTokenizer) -> PreTrainedTokenizerFast:
    """Return a transformers tokenizer over the same vocabulary, for padding, decoding and saving."""
    names = {"bos_token": speller.bos_id, "eos_token": speller.eos_id,
             "pad_token": speller.pad_id, "unk_token": speller.unk_id}  # fmt: skip
    pieces = {name: speller.decode([token], skip_special=False) for name, token in names.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(speller.to_json()),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        **pieces,
    )


def _prompt_of(text: Any) -> Prompt:
    if not isinstance(text, str):
        raise PromptError("The text is no text.", remedy="Pass a str.", code="prompt.text")
    pieces: list[Mark | str] = []
    end = 0
    for found in _CONTROL.finditer(text):
        pieces += [text[end : found.start()], Mark(found[0])]
        end = found.end()
    return Prompt((*pieces, text[end:]))


def _render(read: Conversation, continued: bool) -> Prompt:
    whole = compose_turns(read.questions, read.answers, len(read.images))
    ends_with_answer = len(read.answers) == len(read.questions)
    return whole if continued or not ends_with_answer else Prompt((*whole.pieces, Mark.EOS))


# A pipeline otherwise says that it does not support a model which it then runs.
MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.setdefault(
    LongLlavaConfig.model_type, "LongLlavaForConditionalGeneration"
)
AutoProcessor.register(LongLlavaConfig, LongLlavaProcessor)
