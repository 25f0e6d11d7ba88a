"""Every parameter can be spelled in every layout and found again, at the real sizes too."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import JambaConfig

from longllava_domains.model import LongLlavaConfig
from longllava_domains.model.checkpoint.files import TensorHeader
from longllava_domains.model.checkpoint.load import empty_network
from longllava_domains.model.checkpoint.match import match_tensors
from longllava_domains.model.checkpoint.names import (
    Destination,
    NameMap,
    is_derived,
    layout_of,
    spell,
    tower_destination,
)

DENSE = LongLlavaConfig(text_config=JambaConfig(num_experts=1, num_experts_per_tok=1))
SPARSE = LongLlavaConfig(text_config=JambaConfig())


def shapes_of(config: LongLlavaConfig) -> dict[str, tuple[int, ...]]:
    return {name: tuple(w.shape) for name, w in empty_network(config).named_parameters()}


SHAPES = {"9B": shapes_of(DENSE), "53B-A13B": shapes_of(SPARSE)}
CONFIGS = {"9B": DENSE, "53B-A13B": SPARSE}


def destinations(shapes: dict[str, tuple[int, ...]]) -> list[Destination]:
    found = []
    for name, shape in shapes.items():
        if ".feed_forward.experts." not in name:
            found.append(Destination(name))
            continue
        parts = ("down",) if name.endswith("down_proj") else ("gate", "up")
        found += [Destination(name, e, part) for e in range(shape[0]) for part in parts]
    return found


@cache
def released_headers(model: str) -> dict[str, TensorHeader]:
    headers = {}
    for place in destinations(SHAPES[model]):
        shape = SHAPES[model][place.parameter]
        if place.expert is not None:
            shape = shape[1:] if place.part == "down" else (shape[1] // 2, shape[2])
        headers[spell(place, "released")] = TensorHeader(shape, torch.bfloat16, 0)
    return headers


@pytest.mark.parametrize("model", ["9B", "53B-A13B"])
@pytest.mark.parametrize("layout", ["released", "stock", "own"])
def test_a_spelled_name_leads_back_to_its_parameter(model: str, layout: str) -> None:
    names = NameMap(CONFIGS[model])
    places = destinations(SHAPES[model])
    spelled = [spell(place, layout) for place in places]
    assert len(set(spelled)) == len(spelled)
    assert [names.destination(name) for name in spelled] == places
    assert layout_of(spelled) == layout


@pytest.mark.parametrize(("model", "tensors"), [("9B", 515), ("53B-A13B", 1251)])
def test_the_language_models_have_as_many_tensors_as_were_released(
    model: str, tensors: int
) -> None:
    names = released_headers(model)
    others = [name for name in names if "mm_projector" in name or "vision_tower" in name]
    assert len(names) - len(others) == tensors
    assert len(others) == 391 + 4


def test_released_names_are_those_of_the_fact_sheet() -> None:
    names = released_headers("53B-A13B").keys()
    assert {
        "model.embed_tokens.weight",
        "model.layers.4.self_attn.k_proj.weight",
        "model.layers.0.mamba.B_layernorm.weight",
        "model.layers.0.moe.experts.0.down_proj.weight",
        "model.layers.31.moe.experts.15.gate_proj.weight",
        "model.layers.31.moe.router.weight",
        "model.layers.31.pre_moe_layernorm.weight",
        "model.mm_projector.2.bias",
        "model.vision_tower.vision_tower.vision_model.encoder.layers.23.mlp.fc2.weight",
    } <= names
    assert not any("feed_forward" in name or "pre_ff" in name for name in names)


@pytest.mark.parametrize("model", ["9B", "53B-A13B"])
def test_a_released_checkpoint_of_the_real_size_fits(model: str) -> None:
    found = match_tensors(released_headers(model), SHAPES[model], NameMap(CONFIGS[model]))
    found.require_clean()
    assert found.layout == "released"


@given(st.sampled_from(sorted(released_headers("53B-A13B"))))
@settings(max_examples=40, deadline=None)
def test_any_one_missing_tensor_is_found_by_its_own_name(name: str) -> None:
    headers = dict(released_headers("53B-A13B"))
    del headers[name]
    found = match_tensors(headers, SHAPES["53B-A13B"], NameMap(SPARSE))
    assert found.missing == [name]
    assert not found.unexpected


@pytest.mark.parametrize(
    "name",
    [
        "transformer.wte.weight",
        "model.norm.weight",
        "model.layers.1.moe.experts.16.up_proj.weight",
        "model.layers.0.moe.experts.1.up_proj.weight",
        "model.layers.0.feed_forward.experts.0.up_proj.weight",
        "model.mm_projector.1.weight",
        "",
    ],
)
def test_names_of_nothing_are_left_over(name: str) -> None:
    headers = {name: TensorHeader((1,), torch.float32, 0)}
    found = match_tensors(headers, SHAPES["53B-A13B"], NameMap(SPARSE))
    assert found.unexpected == [name]


def test_only_the_vision_half_of_a_clip_checkpoint_has_a_place() -> None:
    ours = Destination("model.vision_tower.pre_layrnorm.bias")
    assert tower_destination("vision_model.pre_layrnorm.bias") == ours
    assert tower_destination("pre_layrnorm.bias") == ours
    assert tower_destination("text_model.encoder.layers.0.mlp.fc1.bias") is None
    assert tower_destination("visual_projection.weight") is None
    assert is_derived("model.vision_tower.vision_tower.vision_model.embeddings.position_ids")
