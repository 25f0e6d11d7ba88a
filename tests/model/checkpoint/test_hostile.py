"""Configurations, tokenizers and adapters from strangers: data is read, orders are dropped."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_folders import reconfigure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from longllava_domains.errors import CheckpointError, LongLlavaError, TokenizerError
from longllava_domains.model import load_checkpoint
from longllava_domains.model.checkpoint.adapter.merge import merge_adapter
from longllava_domains.model.checkpoint.load import open_checkpoint
from longllava_domains.model.checkpoint.pickled import load_pickled
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.prompt import PromptTokenizer

ODD_TEXTS = ["[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, "", "\0", "[1]", "9" * 5000]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note every attempt to reach another machine, and let none succeed."""
    tried: list[object] = []

    def refuse(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise OSError("offline")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: refuse(None, where))  # type: ignore[arg-type]
    return tried


def test_orders_in_a_configuration_are_dropped_at_every_level(
    released: Path, offline: list[object]
) -> None:
    orders = {
        "_attn_implementation": "kernels-community/evil",
        "attn_implementation": "kernels-community/evil",
        "experts_implementation": "kernels-community/evil",
        "auto_map": {"AutoModel": "evil.Model"},
        "_name_or_path": "someone/private",
        "quantization_config": {"quant_method": "evil"},
    }
    reconfigure(released, **orders, text_config=dict(orders), vision_config=dict(orders))
    network = load_checkpoint(released)
    text = network.config.to_json_string(use_diff=False)
    assert "evil" not in text
    assert "private" not in text
    assert offline == []


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_experts", "vocab_size", "hidden_size"])
@pytest.mark.parametrize("value", [10**9, -(10**9), 1e300])
def test_sizes_beyond_any_model_are_refused_before_anything_is_built(
    released: Path, key: str, value: float
) -> None:
    reconfigure(released, **{key: value})
    with pytest.raises(CheckpointError, match=key):
        open_checkpoint(released)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_files_that_are_no_configuration_are_refused(released: Path, text: str) -> None:
    (released / "config.json").write_text(text)
    with pytest.raises(CheckpointError):
        open_checkpoint(released)
    (released / "tokenizer.json").write_text(text)
    with pytest.raises(TokenizerError):
        PromptTokenizer.from_folder(released)


def test_pipes_are_not_waited_for(released: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (released / name).unlink(missing_ok=True)
        os.mkfifo(released / name)
    with pytest.raises(CheckpointError):
        open_checkpoint(released)
    with pytest.raises(TokenizerError):
        PromptTokenizer.from_folder(released)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ODD = (
    VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(st.text(max_size=5), VALUES, max_size=3)
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_an_odd_configuration_is_read_or_refused_in_our_words(
    released: Path, data: st.DataObject
) -> None:
    path = released / "config.json"
    kept = path.read_text()
    entries = json.loads(kept)
    for _ in range(data.draw(st.integers(1, 3))):
        entries[data.draw(st.sampled_from(sorted(entries)))] = data.draw(ODD)
    path.write_text(json.dumps(entries))
    try:
        open_checkpoint(released)
    except LongLlavaError:
        pass
    finally:
        path.write_text(kept)


@pytest.fixture
def adapter(released: Path, tmp_path: Path) -> Path:
    config = LoraConfig(r=2, target_modules=["q_proj", "k_proj"])
    adapted = get_peft_model(load_checkpoint(released), config)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def rewrite(adapter: Path, **changes: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_adapter_asks_no_hub_for_its_base_and_imports_nothing(
    released: Path, adapter: Path, offline: list[object]
) -> None:
    rewrite(
        adapter,
        base_model_name_or_path="someone/private",
        auto_mapping={"base_model_class": "A", "parent_library": "antigravity"},
        megatron_core="antigravity",
    )
    merge_adapter(load_checkpoint(released), adapter)
    assert offline == []


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "IA3"},
        {"peft_type": ["LORA"]},
        {"megatron_config": {"a": 1}, "megatron_core": "antigravity"},
        {"trainable_token_indices": [1]},
        {"r": 10**9},
        {"rank_pattern": {"q_proj": 10**9}},
        {"rank_pattern": [1]},
        {"target_modules": "(a+)+$"},
        {"target_modules": "(.*)*x"},
        {"target_modules": "(|)" * 60 + "x"},
        {"target_modules": "a?" * 60 + "x"},
        {"target_modules": "["},
        {"target_modules": 3},
        {"target_modules": [["q_proj"]]},
        {"lora_alpha": "a lot"},
    ],
)
def test_odd_adapters_are_refused(released: Path, adapter: Path, changes: dict[str, Any]) -> None:
    rewrite(adapter, **changes)
    with pytest.raises(CheckpointError):
        merge_adapter(load_checkpoint(released), adapter)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_files_that_are_no_adapter_configuration_are_refused(
    released: Path, adapter: Path, text: str
) -> None:
    (adapter / "adapter_config.json").write_text(text)
    with pytest.raises(CheckpointError):
        merge_adapter(load_checkpoint(released), adapter)


@pytest.mark.parametrize(
    "name", ["runs/med", "here/mode1", "checkpoints/last", "~nobody/x", "a" * 5000]
)
def test_a_misspelled_folder_does_not_reach_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here/model").mkdir(parents=True)
    with pytest.raises(CheckpointError):
        locate(name)
    with pytest.raises(CheckpointError):
        locate(Path("owner/name"))
    assert offline == []


@pytest.mark.parametrize("inside", ["data.pkl", "data/0"])
def test_a_bomb_inside_a_bin_file_is_refused_before_it_is_read(tmp_path: Path, inside: str) -> None:
    """1.5 MB that inflated to as many orders as keep torch's reader busy for minutes."""
    import zipfile

    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(3)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            filling = b"0" * 100_000_000 if name.endswith(inside) else b""
            archive.writestr(name, data + filling)
    with pytest.raises(CheckpointError) as refused:
        load_pickled(path, "A weight file")
    assert refused.value.code == "checkpoint.bomb"
