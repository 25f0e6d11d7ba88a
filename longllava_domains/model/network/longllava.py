"""`LongLlavaForConditionalGeneration`: the whole network, as transformers composes it."""

import functools
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    CLIPVisionModel,
    JambaModel,
    LlavaForConditionalGeneration,
    LlavaModel,
    LlavaPreTrainedModel,
    LogitsProcessorList,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from longllava_domains.errors import PolicyError, PromptError, QuantizationError
from longllava_domains.model.kernels.cpu_guard import keep_cuda_kernels_off_cpu
from longllava_domains.model.layers.carried_state import use_exact_state, with_masked_labels
from longllava_domains.model.network.config import LongLlavaConfig
from longllava_domains.model.network.generation import (
    FiniteLogits,
    fresh_images,
    fresh_tokens,
    require_left_padding,
)
from longllava_domains.model.network.offload import device_of
from longllava_domains.model.network.storage import storage
from longllava_domains.model.network.vision import (
    Projector,
    in_micro_batches,
    patch_features,
    pool_patches,
)


class LongLlavaModel(LlavaModel):
    """Tower, projector and language model, without the output head.

    Attributes:
        images_per_batch: Images that pass through the tower together; bounds its memory.
    """

    config_class = LongLlavaConfig

    def __init__(self, config: LongLlavaConfig) -> None:
        # The stock constructor would build its own projector first; go to its parent.
        super(LlavaPreTrainedModel, self).__init__(config)
        self.vision_tower = CLIPVisionModel(config.vision_config)
        self.multi_modal_projector = Projector(config)
        self.language_model = use_exact_state(JambaModel(config.text_config))
        self.images_per_batch = 8
        self.post_init()

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Turn images into language-model tokens, a micro-batch at a time.

        Args:
            pixel_values: (images, 3, view_px, view_px), normalised.

        Returns:
            (images, tokens_per_image, hidden).

        Raises:
            PromptError: The pixels are not of the tower's size.
        """
        self._check_pixels(pixel_values)
        first = self.vision_tower.embeddings.patch_embedding
        device, dtype = device_of(first, first.weight), first.weight.dtype  # never quantised
        encoded = []
        for pixels in in_micro_batches(pixel_values, self.images_per_batch):
            features = patch_features(
                self.vision_tower,
                pixels.to(device, dtype),
                self.config.vision_feature_layer,
            )
            encoded.append(self.multi_modal_projector(pool_patches(features, self.config.pooling)))
        return torch.cat(encoded)

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Encode images in the form that `generate` passes around (``pooler_output``, a list)."""
        return BaseModelOutputWithPooling(pooler_output=list(self.encode_images(pixel_values)))

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the network up to the last hidden state.

        Args:
            input_ids: (batch, tokens); ``image_token_id`` stands ``tokens_per_image`` times for
                each image, in order.
            pixel_values: (images, 3, view_px, view_px); the images of all rows, in order.
            mm_encoder_outputs: Images that `generate` has already encoded.
            **kwargs: As in `LlavaModel.forward`; packed rows as in `use_exact_state`.

        Raises:
            PromptError: Placeholders and images do not match.
            PolicyError: An argument that would be ignored, or packing that cannot be followed.
        """
        pixel_values = _none_if_empty(pixel_values)
        if input_ids is not None:
            self.check_placeholders(input_ids, pixel_values, mm_encoder_outputs)
        self._check_vision_arguments(kwargs)
        if (
            self.training
            and torch.is_grad_enabled()
            and pixel_values is None
            and input_ids is not None
        ):
            kwargs["inputs_embeds"] = self.get_input_embeddings()(input_ids) + self._no_image()
            input_ids = None
        return super().forward(
            input_ids=input_ids,
            pixel_values=pixel_values,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )

    def _no_image(self) -> Tensor:
        """Return zero, computed by what text alone leaves unused.

        So every rank of a distributed run has a gradient for the projector and, if it is trained,
        the tower.
        """
        weight = self.vision_tower.embeddings.patch_embedding.weight  # never quantised
        if any(parameter.requires_grad for parameter in self.vision_tower.parameters()):
            side = self.config.view_px
            return self.encode_images(weight.new_zeros(1, 3, side, side)).sum() * 0
        blank: Tensor = self.multi_modal_projector(weight.new_zeros(1, len(weight)))
        return blank.sum() * 0

    def _check_vision_arguments(self, kwargs: dict[str, Any]) -> None:
        """Refuse what would be ignored: the tower's features follow from the configuration."""
        for name in ("vision_feature_layer", "vision_feature_select_strategy", "image_sizes"):
            given = kwargs.pop(name, None)
            if given is not None and given != getattr(self.config, name, None):
                raise PolicyError(
                    f"{name} is fixed by the configuration of this network.",
                    remedy="Leave it out.",
                    code="network.argument",
                )

    def check_placeholders(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        mm_encoder_outputs: dict[str, Any] | None = None,
    ) -> None:
        """Raise `PromptError` where image placeholders and images do not match in number."""
        encoded = mm_encoder_outputs or {}
        each = self.config.tokens_per_image
        found = (input_ids == self.config.image_token_id).sum(1)
        if pixel_values is not None:
            images = pixel_values.shape[0]
            whole = bool((found % each == 0).all()) and int(found.sum()) == images * each
            if not whole:
                raise _mismatch(found, images, each)
        elif encoded.get("image") is not None:
            # A chunk of a prompt may begin or end inside an image, so only the sum can be checked.
            tokens = sum(len(image) for image in encoded["image"].pooler_output)
            if int(found.sum()) != tokens:
                raise _mismatch(found, tokens // each, each)
        elif input_ids.shape[1] > 1 and int(found.sum()):
            # One token alone is a step of generation, which may produce any id.
            raise _mismatch(found, 0, each)

    def _check_pixels(self, pixel_values: Tensor) -> None:
        side = self.config.view_px
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (3, side, side):
            raise PromptError(
                f"Pixels must be (images, 3, {side}, {side}); found {tuple(pixel_values.shape)}.",
                remedy="Prepare images with longllava_domains.model.network.preprocess.pixel_values.",
                code="prompt.pixels",
            )


class LongLlavaForConditionalGeneration(LlavaForConditionalGeneration):
    """LongLLaVA: call it with ``input_ids`` and ``pixel_values``, or use `generate`.

    ``network.config.image_token_id`` stands ``network.config.tokens_per_image`` times for each
    image, in order; ``.logits`` are (batch, tokens, vocabulary). Batches of unequal prompts are
    padded on the left, with an attention mask.

    Attributes:
        allowed_unexpected: The pattern that excused left-over tensors when the weights were
            loaded, None where nothing was excused.
    """

    config_class = LongLlavaConfig
    # A scan cannot go back over tokens that were rejected: transformers then refuses assisted and
    # prompt-lookup decoding.
    _is_stateful = True

    def __init__(self, config: LongLlavaConfig) -> None:
        if config.quantization is not None:
            raise QuantizationError(
                f"The configuration says that the weights are in {config.quantization}; a network "
                "cannot be made so from nothing.",
                remedy="Use from_pretrained or load_checkpoint, or set config.quantization to None.",
                code="quantization.constructor",
            )
        super(LlavaPreTrainedModel, self).__init__(config)
        self.model = LongLlavaModel(config)
        self.lm_head = torch.nn.Linear(
            config.text_config.hidden_size, config.text_config.vocab_size, bias=False
        )
        self.allowed_unexpected: str | None = None
        self.post_init()

    # Not a hook: peft calls `forward` itself.
    @functools.wraps(LlavaForConditionalGeneration.forward)
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run as `LlavaForConditionalGeneration.forward`; labels where packed samples begin are masked."""
        return super().forward(*args, **with_masked_labels(args, kwargs))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> Self:
        """Load what `save_pretrained` wrote, a released checkpoint, or one in 8 bits.

        The last two are read as by `load_checkpoint`, strictly; see docs/hugging_face.md for the
        options that go with them.

        Raises:
            CheckpointError: Weights that do not fill the network exactly.
            PolicyError: An option that the checkpoint cannot be loaded with.
        """
        if storage().reads(pretrained_model_name_or_path, kwargs):
            loaded: Self = storage().load(pretrained_model_name_or_path, kwargs)
            return loaded
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[no-any-return]

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save the weights as they are held; in 8 bits as `save_quantized` writes them.

        Raises:
            OutputError: A network in 8 bits cannot be written there.
            PolicyError: An option that a network in 8 bits cannot be saved with.
        """
        if self.config.quantization is not None:
            storage().save(self, save_directory, kwargs)
            return
        super().save_pretrained(save_directory, *args, **kwargs)

    @property
    def input_device(self) -> torch.device:
        """Device of token ids and hidden states, also while weights wait elsewhere."""
        embedding = self.get_input_embeddings()
        return device_of(embedding, embedding.weight)

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Turn images into language-model tokens; see `LongLlavaModel.encode_images`."""
        return self.model.encode_images(pixel_values)

    def generate(
        self, inputs: Tensor | None = None, *, pixel_values: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Generate as transformers does; ``pixel_values=None`` is a prompt without images.

        With a kept ``past_key_values`` the images are those of the new tokens, or of the whole
        sequence, of which those seen before are not looked at again.

        Raises:
            PromptError: Placeholders and images do not match, or a row is padded on the right.
            ModelError: The network gave something that is no number.
        """
        prompt = inputs if inputs is not None else kwargs.get("input_ids")
        pixel_values = _none_if_empty(pixel_values)
        require_left_padding(kwargs.get("attention_mask"))
        if pixel_values is not None and prompt is not None:
            fresh = fresh_tokens(prompt, kwargs)
            image_id, each = self.config.image_token_id, self.config.tokens_per_image
            pixel_values = fresh_images(prompt, fresh, pixel_values, image_id, each)
            if len(pixel_values):
                self.model.check_placeholders(fresh, pixel_values)
        if pixel_values is not None and len(pixel_values):
            kwargs["pixel_values"] = pixel_values
        checks = LogitsProcessorList(
            [FiniteLogits(), *(kwargs.pop("logits_processor", None) or ())]
        )
        return super().generate(inputs, logits_processor=checks, **kwargs)


def _none_if_empty(pixel_values: Tensor | None) -> Tensor | None:
    return None if pixel_values is None or not len(pixel_values) else pixel_values


def _mismatch(found: Tensor, images: int, each: int) -> PromptError:
    counts = tuple(int(count) for count in found.tolist())
    return PromptError(
        f"The prompt has {sum(counts)} image placeholders for {images} images of {each} tokens.",
        remedy=f"Repeat image_token_id {each} times for each image, and give the images in order.",
        code="prompt.images",
        facts={"placeholders": counts, "images": images, "tokens_per_image": each},
    )


keep_cuda_kernels_off_cpu()
AutoConfig.register("longllava", LongLlavaConfig)
AutoModelForImageTextToText.register(LongLlavaConfig, LongLlavaForConditionalGeneration)
