"""`LongLlavaConfig`: what a checkpoint's config.json says, in one form for all layouts."""

import dataclasses
import logging
import math
from typing import Any, Final, Literal, get_args

from transformers import CLIPVisionConfig, JambaConfig, LlavaConfig

from longllava_domains.errors import CheckpointError
from longllava_domains.model.network.config_entries import data_entries
from longllava_domains.vision_language import TRAINED_TOKENS

logger = logging.getLogger(__name__)

Pooling = Literal["2d", "4x4", "none", "1d"]

# Tokens that one pooled token stands for.
_REDUCTION: Final[dict[str, int]] = {"2d": 4, "4x4": 16, "none": 1, "1d": 4}

# "<|reserved_1023|>", the last of the reserved pieces of the Jamba vocabulary: never trained on,
# never produced by the tokenizer from text.
JAMBA_IMAGE_TOKEN_ID: Final = 1539

# openai/clip-vit-large-patch14-336, the tower of every released checkpoint.
CLIP_LARGE_336: Final[dict[str, Any]] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}


class LongLlavaConfig(LlavaConfig):
    """A Jamba language model behind a CLIP tower with pooled patches.

    Attributes:
        text_config: The language model; a `JambaConfig`.
        vision_config: The tower; a `CLIPVisionConfig`. By default CLIP ViT-L/14 at 336 pixels.
        pooling: How the patch grid is reduced before the projector: ``"2d"`` averages 2 x 2
            patches (released weights), ``"4x4"`` averages 4 x 4 (the paper's needle test), ``"1d"``
            averages patches 4i+1 and 4i+2 of the flattened grid (the paper's ablation), ``"none"``
            keeps every patch.
        image_token_index: Vocabulary id that stands for one image token; also called
            ``image_token_id``.
        trained_length: Tokens of the longest sequence in training. A fact for the user; nothing
            is ever cut to it.
        quantization: What the weights are stored in, such as ``"int8"``; None for plain weights.
        trained: False for weights that were never trained.
        demo: True for the packaged demonstration model.
        chips_px: Side and overlap of the chips of scenes that boxes were learned from, raster pixels;
            None where that is not known.

    Raises:
        CheckpointError: The parts do not fit together.
    """

    model_type = "longllava"

    text_config: Any = None
    vision_config: Any = None
    pooling: str = "2d"
    image_token_index: int = JAMBA_IMAGE_TOKEN_ID
    trained_length: int = TRAINED_TOKENS
    quantization: str | None = None
    trained: bool = True
    demo: bool = False
    chips_px: list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.text_config = _as_config(JambaConfig, self.text_config, {})
        self.vision_config = _as_config(CLIPVisionConfig, self.vision_config, CLIP_LARGE_336)
        super().__post_init__(**kwargs)
        self._check()
        self.image_seq_length = self.tokens_per_image

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Read our own JSON; transformers calls this, and would take any other model's too.

        Raises:
            CheckpointError: It is the configuration of a checkpoint in another layout.
        """
        if config_dict.get("model_type", cls.model_type) != cls.model_type:
            raise _config_error(
                "from_pretrained reads only what save_pretrained of this package wrote.",
                "Use longllava_domains.model.load_checkpoint for released and stock checkpoints.",
            )
        return super().from_dict(data_entries(config_dict), **kwargs)

    def _check(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise _config_error(
                f"There is no pooling {self.pooling!r}.",
                f"Use one of {', '.join(get_args(Pooling))}.",
            )
        side = {"2d": 2, "4x4": 4}.get(self.pooling, 1)
        patches = self.patch_grid**2
        if self.patch_grid % side or patches % _REDUCTION[self.pooling]:
            raise _config_error(
                f"A grid of {self.patch_grid} x {self.patch_grid} patches cannot be pooled by "
                f"{self.pooling}.",
                "Choose another pooling or an image size that divides.",
            )
        text = self.text_config
        if not 1 <= text.num_experts_per_tok <= text.num_experts:
            raise _config_error(
                f"{text.num_experts_per_tok} of {text.num_experts} experts cannot be chosen for a token.",
                "Set num_experts_per_tok to 1 or more, and to num_experts at most.",
            )
        chips = self.chips_px
        if chips is not None and not (len(chips) == 2 and 0 <= chips[1] < chips[0]):
            raise _config_error(
                "chips_px is no side and overlap of chips.",
                "Give two numbers of pixels, the second below the first, or leave it out.",
            )
        if not 0 <= self.image_token_index < self.text_config.vocab_size:
            raise _config_error(
                f"The image token id {self.image_token_index} lies outside the vocabulary of "
                f"{self.text_config.vocab_size}.",
                "Set image_token_index to a reserved id of this vocabulary.",
            )

    @property
    def patch_grid(self) -> int:
        """Patches along one side of an image."""
        return int(self.vision_config.image_size // self.vision_config.patch_size)

    @property
    def tokens_per_image(self) -> int:
        """Language-model tokens that one image becomes."""
        return self.patch_grid**2 // _REDUCTION[self.pooling]

    @property
    def view_px(self) -> int:
        """Side of the square image that the tower takes, pixels."""
        return int(self.vision_config.image_size)


def _as_config(kind: type[Any], given: Any, default: dict[str, Any]) -> Any:
    """Return a sub-configuration that may come as an object, as JSON, or not at all."""
    if isinstance(given, kind):
        return given
    entries = default if given is None else given
    return kind(**{key: value for key, value in entries.items() if key != "model_type"})


def from_released(entries: dict[str, Any], vision: CLIPVisionConfig) -> LongLlavaConfig:
    """Read the flat config.json of a released checkpoint (``model_type`` ``llava_jamba``).

    Args:
        entries: The JSON object. Keys of the language model stand beside the ``mm_*`` keys.
        vision: The tower, which config.json only hints at (``mm_vision_tower``).

    Returns:
        The configuration. ``tokenizer_model_max_length`` becomes `trained_length` and limits
        nothing: the original code cut prompts to it, and with them the question.

    Raises:
        CheckpointError: The checkpoint asks for a feature that LongLLaVA never had.
    """
    _refuse_other_llava(entries)
    # Only what describes a Jamba model: not the mm_* hints, which may hold someone's paths.
    known = {field.name for field in dataclasses.fields(JambaConfig)} - {"architectures"}
    text = {key: value for key, value in entries.items() if key in known}
    # Not a choice any more: kernels are picked by device (kernels.py).
    text.pop("use_mamba_kernels", None)
    longest = entries.get("tokenizer_model_max_length")
    config = LongLlavaConfig(
        text_config=JambaConfig(**text, torch_dtype=entries.get("torch_dtype")),
        vision_config=vision,
        pooling=_pooling_of(entries),
        image_token_index=entries.get("image_token_index", JAMBA_IMAGE_TOKEN_ID),
        trained_length=TRAINED_TOKENS if longest is None else longest,
        trained=entries.get("trained", True),
        demo=entries.get("demo", False),
        tie_word_embeddings=bool(entries.get("tie_word_embeddings", False)),
        vision_feature_layer=entries.get("mm_vision_select_layer", -2),
    )
    config.dtype = config.text_config.dtype
    return config


def from_stock_llava(entries: dict[str, Any]) -> LongLlavaConfig:
    """Read the config.json of a stock transformers Llava composite around Jamba.

    Stock Llava pools nothing; ``image_seq_length`` tells whether whoever saved it pooled.

    Raises:
        CheckpointError: The language model is not Jamba, or the length fits no pooling.
    """
    text = entries.get("text_config") or {}
    if text.get("model_type") != "jamba":
        raise _config_error(
            "The language model of this Llava checkpoint is not Jamba.",
            "LongLLaVA needs a Jamba language model.",
        )
    known = {key: value for key, value in entries.items() if key not in ("model_type", "pooling")}
    unpooled = LongLlavaConfig(**{**known, "pooling": "none"}).tokens_per_image
    reduction = unpooled / (entries.get("image_seq_length") or unpooled)
    pooling = entries.get("pooling") or {1: "none", 4: "2d", 16: "4x4"}.get(math.floor(reduction))
    if pooling is None or reduction != math.floor(reduction):
        raise _config_error(
            f"image_seq_length {entries.get('image_seq_length')} fits no pooling of {unpooled} patches.",
            "Set it to the tokens of one image, or add a pooling key.",
        )
    return LongLlavaConfig(**{**known, "pooling": pooling})


def _pooling_of(entries: dict[str, Any]) -> str:
    """Return the pooling; a missing key means 2d, which every released checkpoint was trained with."""
    value = entries.get("resamplePooling", entries.get("pooling"))
    if value is None:
        logger.warning("The checkpoint names no pooling; using 2d, as the released weights do.")
        return "2d"
    return str(value) if value else "none"


def _refuse_other_llava(entries: dict[str, Any]) -> None:
    """Refuse options of the Llava family that change the maths and that no released weights use."""
    expected: dict[str, tuple[object, ...]] = {
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_vision_select_feature": ("patch",),
        "mm_patch_merge_type": ("flat",),
        "mm_use_im_start_end": (False,),
        "mm_use_im_patch_token": (False,),
        "mamba_inner_layernorms": (True,),
    }
    for key, values in expected.items():
        if key in entries and entries[key] not in values:
            raise _config_error(
                f"The configuration sets {key} to a value that LongLLaVA never used.",
                f"Only {values[0]!r} is supported.",
            )


def _config_error(message: str, remedy: str) -> CheckpointError:
    return CheckpointError(message, remedy=remedy, code="checkpoint.config")
