"""Converted checkpoints load and equal a slow conversion in memory."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_released
import torch
from golden import GOLDEN
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from longllava_domains.errors import OutputError, PolicyError, QuantizationError
from longllava_domains.model import inspect_checkpoint, load_checkpoint, load_model
from longllava_domains.model.checkpoint.adapter.merge import merge_adapter
from longllava_domains.model.checkpoint.convert import convert_checkpoint
from longllava_domains.model.checkpoint.downcycle import REFERENCE_DOWN_SCALE
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.model.checkpoint.write import save_quantized

IDS = torch.tensor([[1, 7, 900, 30, 31, 32, 5]])


@pytest.fixture
def moe(tmp_path: Path) -> Path:
    tiny_released.write_released(tmp_path / "moe", experts=4)
    return tmp_path / "moe"


def slow_dense(tensors: dict, method: str, down_scale: float) -> dict:
    """Read it all, combine it all: what the streamed conversion must equal."""
    dense = {}
    for name, tensor in tensors.items():
        if ".moe.router." in name:
            continue
        if ".moe.experts." not in name or name.replace(".experts.0.", ".experts.1.") not in tensors:
            if ".moe.experts." not in name or ".experts.0." in name:
                dense[name] = tensor
            continue
        if ".experts.0." not in name:
            continue
        same = [tensors[name.replace(".experts.0.", f".experts.{e}.")].float() for e in range(4)]
        if method == "mean":
            result = torch.stack(same).mean(0)
        elif method == "spherical":
            direction = torch.stack([each / each.norm() for each in same]).mean(0)
            length = torch.stack([each.norm() for each in same]).mean()
            result = direction / direction.norm() * length
        else:
            result = same[int(method[-1])]
        scale = down_scale if "down_proj" in name else 1
        dense[name] = (result * scale).to(tensor.dtype)
    return dense


def read_all(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        found |= load_file(path)
    return found


@pytest.mark.parametrize("method", ["expert-0", "expert-3", "mean", "spherical"])
def test_a_dense_model_equals_the_slow_conversion(moe: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "dense"
    convert_checkpoint(
        moe, out, experts=method, down_scale=REFERENCE_DOWN_SCALE, shard_bytes=100_000
    )
    assert len(list(out.glob("model-*.safetensors"))) > 1
    expected = slow_dense(read_all(moe), method, REFERENCE_DOWN_SCALE)
    found = read_all(out)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, rtol=1e-6, atol=1e-7), name
    network = load_checkpoint(out)
    assert network.config.text_config.num_experts == 1
    assert torch.isfinite(network(input_ids=IDS).logits).all()


@torch.no_grad()
def test_a_single_kept_expert_is_that_expert(moe: Path, tmp_path: Path) -> None:
    """The dense network computes what its one expert did."""
    convert_checkpoint(moe, tmp_path / "dense", experts="expert-2")
    sparse, dense = load_checkpoint(moe), load_checkpoint(tmp_path / "dense")
    experts = sparse.model.language_model.layers[1].feed_forward.experts
    hidden = torch.randn(5, 24)
    alone = experts(hidden, torch.full((5, 1), 2), torch.ones(5, 1))
    assert torch.allclose(
        dense.model.language_model.layers[1].feed_forward(hidden), alone, atol=1e-6
    )


@torch.no_grad()
@pytest.mark.parametrize("experts", [1, 4])
def test_the_released_layout_goes_through_unchanged(tmp_path: Path, experts: int) -> None:
    weights = tiny_released.write_released(tmp_path / "in", experts=experts)
    convert_checkpoint(tmp_path / "in", tmp_path / "out")
    found = read_all(tmp_path / "out")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    before, after = load_checkpoint(tmp_path / "in"), load_checkpoint(tmp_path / "out")
    assert torch.equal(before(input_ids=IDS).logits, after(input_ids=IDS).logits)
    assert after.config.trained_length == before.config.trained_length


@torch.no_grad()
def test_our_own_layout_becomes_the_released_one(moe: Path, tmp_path: Path) -> None:
    network = load_checkpoint(moe)
    network.save_pretrained(tmp_path / "own")
    convert_checkpoint(tmp_path / "own", tmp_path / "out")
    assert inspect_checkpoint(tmp_path / "out").layout == "released"
    assert read_all(tmp_path / "out").keys() == read_all(moe).keys()
    again = load_checkpoint(tmp_path / "out")
    assert torch.equal(again(input_ids=IDS).logits, network(input_ids=IDS).logits)


@torch.no_grad()
def test_an_adapter_is_merged_into_the_result(moe: Path, tmp_path: Path) -> None:
    adapted = get_peft_model(
        load_checkpoint(moe),
        LoraConfig(
            r=2, target_modules=r".*language_model.*\.(in_proj|q_proj)", init_lora_weights=False
        ),
    )
    adapted.save_pretrained(str(tmp_path / "adapter"))
    convert_checkpoint(moe, tmp_path / "out", adapter=tmp_path / "adapter")
    expected = merge_adapter(load_checkpoint(moe), tmp_path / "adapter")(input_ids=IDS).logits
    found = load_checkpoint(tmp_path / "out")(input_ids=IDS).logits
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, load_checkpoint(moe)(input_ids=IDS).logits, atol=1e-3)


@torch.no_grad()
def test_8_bits_are_saved_once_and_for_all(moe: Path, tmp_path: Path) -> None:
    convert_checkpoint(moe, tmp_path / "q", quantization="int8")
    direct = load_checkpoint(moe, quantization="int8")(input_ids=IDS).logits
    assert torch.equal(load_checkpoint(tmp_path / "q")(input_ids=IDS).logits, direct)
    with pytest.raises(QuantizationError):
        convert_checkpoint(tmp_path / "q", tmp_path / "r")


def test_the_demo_stays_a_demo_and_keeps_its_tokenizer(tmp_path: Path) -> None:
    from longllava_domains.model.checkpoint.source import locate

    convert_checkpoint(locate("demo").folder, tmp_path / "out", experts="mean")
    model = load_model(tmp_path / "out", device="cpu")
    assert model.provenance["demo"] is True
    assert model.provenance["trained"] is load_model("demo", device="cpu").provenance["trained"]
    assert model.answer(None, "Hello?", max_new_tokens=2).provenance["demo"] is True


def test_no_path_of_the_source_is_written(moe: Path, tmp_path: Path) -> None:
    convert_checkpoint(moe, tmp_path / "out")
    text = (tmp_path / "out" / "config.json").read_text()
    assert "somebody" not in text
    assert str(tmp_path) not in text
    assert json.loads(text)["mm_vision_tower"] == "vision_tower"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"experts": "expert-4"}, "convert.method"),
        ({"experts": "median"}, "convert.method"),
        ({"down_scale": 0.045}, "convert.options"),
        ({"experts": "mean", "quantization": "int8"}, "convert.options"),
    ],
)
def test_options_without_sense_are_refused(
    moe: Path, tmp_path: Path, options: dict, code: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        convert_checkpoint(moe, tmp_path / "out", **options)
    assert caught.value.code == code


def test_a_dense_model_has_no_experts_to_combine(tmp_path: Path) -> None:
    tiny_released.write_released(tmp_path / "dense", experts=1)
    with pytest.raises(PolicyError, match="dense already"):
        convert_checkpoint(tmp_path / "dense", tmp_path / "out", experts="mean")


def test_nothing_is_overwritten(moe: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept")
    with pytest.raises(OutputError):
        convert_checkpoint(moe, tmp_path / "out")
    with pytest.raises(OutputError):
        save_quantized(load_checkpoint(moe, quantization="int8"), tmp_path / "out")


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """As on a disk that is nearly full, files above 100 kB cannot be written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("quantization", [None, "int8"])
def test_a_full_disk_is_our_error_without_the_path(
    tmp_path: Path, quantization: str | None, small_files_only: None
) -> None:
    with pytest.raises(OutputError, match="cannot be written") as caught:
        convert_checkpoint(locate("demo").folder, tmp_path / "new", quantization=quantization)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden is absent; tiny ones are above")
def test_the_golden_sparse_model_becomes_dense(tmp_path: Path) -> None:
    source = GOLDEN / "reference_moe"
    convert_checkpoint(
        source, tmp_path / "out", experts="expert-0", down_scale=REFERENCE_DOWN_SCALE
    )
    expected = slow_dense(read_all(source), "expert-0", REFERENCE_DOWN_SCALE)
    found = read_all(tmp_path / "out")
    language = {name for name in expected if "vision_tower" not in name}
    assert language <= found.keys()
    assert all(torch.equal(found[name], expected[name]) for name in language)
    assert load_checkpoint(tmp_path / "out").config.text_config.num_experts == 1
