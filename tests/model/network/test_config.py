"""One configuration for all layouts; what does not fit together is refused."""

import pytest
import tiny_released
from transformers import CLIPVisionConfig, JambaConfig

from longllava_domains.errors import CheckpointError
from longllava_domains.model import LongLlavaConfig
from longllava_domains.model.checkpoint.tower import tower_config
from longllava_domains.model.network.config import from_released, from_stock_llava

VISION = CLIPVisionConfig(**tiny_released.TOWER)


def released(**changes: object) -> LongLlavaConfig:
    return from_released({**tiny_released.config_of(4), **changes}, VISION)


def test_the_default_is_the_released_53b() -> None:
    config = LongLlavaConfig()
    text = config.text_config
    assert (text.hidden_size, text.num_hidden_layers, text.num_experts) == (4096, 32, 16)
    assert (config.view_px, config.patch_grid, config.tokens_per_image) == (336, 24, 144)
    assert config.vision_config.num_attention_heads == 16
    assert config.image_token_id == config.image_token_index == 1539


@pytest.mark.parametrize(
    ("pooling", "tokens"), [("2d", 144), ("4x4", 36), ("none", 576), ("1d", 144)]
)
def test_the_tokens_of_an_image_follow_from_the_pooling(pooling: str, tokens: int) -> None:
    config = LongLlavaConfig(pooling=pooling)
    assert config.tokens_per_image == config.image_seq_length == tokens
    assert LongLlavaConfig.from_dict(config.to_dict()).tokens_per_image == tokens


@pytest.mark.parametrize("chips", [[112], [112, 112], [72, 112], [112, -1], [0, 0]])
def test_chips_that_leave_no_step_are_refused(chips: list[int]) -> None:
    assert LongLlavaConfig(chips_px=[112, 72]).chips_px == [112, 72]
    with pytest.raises(CheckpointError, match="chips_px"):
        LongLlavaConfig(chips_px=chips)


def test_a_released_configuration_keeps_the_geometry_and_drops_the_hints() -> None:
    config = released()
    assert config.text_config.attn_layer_offset == 2
    assert config.text_config.layers_num_experts == [1, 4, 1, 4]
    assert config.trained_length == 40960
    assert "somebody" not in config.to_json_string()


@pytest.mark.parametrize(
    ("value", "pooling"),
    [("2d", "2d"), ("1d", "1d"), ("4x4", "4x4"), (False, "none"), ("", "none")],
)
def test_released_poolings(value: object, pooling: str) -> None:
    assert released(resamplePooling=value).pooling == pooling


@pytest.mark.parametrize(("length", "pooling"), [(16, "none"), (4, "2d"), (1, "4x4")])
def test_a_stock_llava_tells_its_pooling_by_its_length(length: int, pooling: str) -> None:
    entries = {
        "model_type": "llava",
        "text_config": {**JambaConfig(vocab_size=2000).to_dict()},
        "vision_config": tiny_released.TOWER,
        "image_token_index": 7,
        "image_seq_length": length,
    }
    assert from_stock_llava(entries).pooling == pooling


def test_a_stock_llava_of_another_length_or_language_model_is_refused() -> None:
    entries = {"text_config": JambaConfig().to_dict(), "vision_config": tiny_released.TOWER}
    with pytest.raises(CheckpointError, match="fits no pooling"):
        from_stock_llava({**entries, "image_seq_length": 5})
    with pytest.raises(CheckpointError, match="not Jamba"):
        from_stock_llava({**entries, "text_config": {"model_type": "llama"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "8x8"},
        {"image_token_index": 65536},
        {"image_token_index": -200},
        {"vision_config": {**tiny_released.TOWER, "image_size": 24}},  # 3 x 3 patches
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes: dict) -> None:
    with pytest.raises(CheckpointError) as caught:
        LongLlavaConfig(**changes)
    assert caught.value.code == "checkpoint.config"


@pytest.mark.parametrize(
    "hint",
    ["openai/clip-vit-large-patch14-336", "/internal/models/clip_vit_large_patch14_336", None],
)
def test_a_hint_that_leads_nowhere_means_the_released_tower(tmp_path, hint: str | None) -> None:
    config = tower_config(tmp_path, {"mm_vision_tower": hint, "mm_hidden_size": 1024})
    assert (config.num_hidden_layers, config.image_size, config.patch_size) == (24, 336, 14)
    assert config.hidden_act == "quick_gelu"
