"""`load_model`: names to models, and answers that say where they came from."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

import longllava_domains
from longllava_domains.errors import (
    CheckpointError,
    NetworkError,
    PolicyError,
    PromptError,
    QuantizationError,
    TokenizerError,
)
from longllava_domains.model import LongLlava, load_checkpoint, load_model
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.visual import SlicePlace, View, VisualSequence

DEMO = Path(longllava_domains.__file__).parent / "model/demo"


@pytest.fixture(scope="module")
def demo() -> LongLlava:
    return load_model("demo", device="cpu", dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DEMO, tmp_path / "Jane Doe")
    return tmp_path / "Jane Doe"


def views(count: int) -> VisualSequence:
    rng = np.random.default_rng(count)
    grey = rng.integers(0, 256, (count, 64, 64, 1), np.uint8)
    return VisualSequence(
        tuple(
            View(np.broadcast_to(plane, (64, 64, 3)), SlicePlace(index, 0.0, 1.0, "lung"))
            for index, plane in enumerate(grey)
        )
    )


def test_the_demonstration_model_answers_and_says_what_it_is(demo: LongLlava) -> None:
    answer = demo.answer(views(2), "What is seen?", max_new_tokens=4)
    assert len(answer.token_ids) <= 4
    assert len(answer.token_logprobs) == len(answer.token_ids)
    assert all(value <= 0 for value in answer.token_logprobs)
    made = answer.provenance
    assert (made["model"], made["demo"], made["views"]) == ("demo", True, 2)
    assert made["tokens"] > 2 * made["tokens_per_image"] > 0
    assert RESEARCH_NOTICE in made["notices"]
    assert any("emonstration" in notice for notice in made["notices"])
    assert answer.to_json()["provenance"]["dtype"] == "float32"


def test_answers_are_those_of_a_plain_forward(demo: LongLlava) -> None:
    asked = views(1), "Where is it?"
    answer = demo.answer(*asked, max_new_tokens=1)
    inputs = demo.processor(*asked)
    with torch.no_grad():
        logits = demo.network(input_ids=inputs.input_ids, pixel_values=inputs.pixel_values).logits
    best = logits[0, -1].log_softmax(-1).max(-1)
    spoken = answer.token_ids or (demo.processor.tokenizer.eos_id,)
    assert spoken == (int(best.indices),)
    if answer.token_logprobs:
        assert answer.token_logprobs[0] == pytest.approx(float(best.values), abs=1e-5)


def test_text_alone_and_a_history_can_be_asked(demo: LongLlava) -> None:
    first = demo.answer(None, "Hello", max_new_tokens=2)
    second = demo.answer(None, "And now?", history=[("Hello", first.text)], max_new_tokens=2)
    assert second.provenance["views"] == 0
    assert second.provenance["tokens"] > first.provenance["tokens"]


def test_a_prompt_that_places_too_few_views_is_refused(demo: LongLlava) -> None:
    with pytest.raises(PromptError):
        demo.answer(views(2), "Compare <image> with nothing.", max_new_tokens=1)


def test_a_folder_is_named_by_its_fingerprint_and_never_by_its_path(folder: Path) -> None:
    model = load_model(folder, device="cpu", dtype="bf16")
    made = json.dumps(model.provenance.to_json())
    assert model.provenance["model"] == f"local:{model.provenance['model_sha256'][:8]}"
    assert model.provenance["dtype"] == "bfloat16"
    assert "Jane" not in made
    assert str(folder.parent) not in made


def test_a_tokenizer_of_another_folder_can_be_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    shutil.move(folder / "tokenizer.json", tmp_path / "words" / "tokenizer.json")
    with pytest.raises(TokenizerError):
        load_model(folder, device="cpu")
    assert load_model(folder, tokenizer=tmp_path / "words", device="cpu").processor.tokenizer


def test_a_tokenizer_that_knows_more_than_the_network_is_refused(folder: Path) -> None:
    entries = json.loads((folder / "tokenizer.json").read_text())
    last = max(entries["model"]["vocab"].values())
    entries["model"]["vocab"]["one too many"] = last + 1
    (folder / "tokenizer.json").write_text(json.dumps(entries))
    with pytest.raises(TokenizerError, match="the network only"):
        load_model(folder, device="cpu")


def test_a_hub_id_that_cannot_be_reached_is_an_error_of_ours(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NetworkError) as caught:
        load_model("FreedomIntelligence/LongLLaVA-9B")
    assert "name the folder" in caught.value.remedy
    assert not {"Error", "Enabled"} & set(re.findall("[A-Z][a-z]+", str(caught.value)))


@pytest.mark.parametrize("name", ["nothing", "/no/such/folder", "a/b/c", "../up"])
def test_a_name_of_nothing_is_refused_without_asking_the_hub(name: str, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("longllava_domains.model.checkpoint.source.snapshot_download", refuse)
    with pytest.raises(CheckpointError) as caught:
        load_model(name, device="cpu")
    assert caught.value.remedy
    with pytest.raises(PolicyError, match="is an empty path"):
        load_model("", device="cpu")


def test_a_hub_model_is_fetched_as_data_and_its_absent_tower_with_it(
    folder: Path, monkeypatch
) -> None:
    commit = folder.rename(folder.with_name("0123456789abcdef0123456789abcdef01234567"))
    # This checkpoint names a tower but does not hold it.
    entries = json.loads((commit / "config.json").read_text())
    (commit / "config.json").write_text(json.dumps(entries | {"mm_vision_tower": "some/clip"}))
    tower = commit.with_name("clip")
    load_checkpoint(commit).model.vision_tower.save_pretrained(tower)
    weights = load_file(commit / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "vision_tower" not in name}
    save_file(kept, commit / "model.safetensors")
    asked: list[tuple[str, tuple[str, ...]]] = []

    def fetch(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, tuple(allow_patterns)))
        return str({"someone/longllava": commit, "some/clip": tower}[hub_id])

    monkeypatch.setattr("longllava_domains.model.checkpoint.source.snapshot_download", fetch)
    model = load_model("someone/longllava", device="cpu")
    data = ("*.json", "*.safetensors", "README.md")  # the card says what the model was taught
    assert asked == [("someone/longllava", data), ("some/clip", data)]
    assert model.provenance["model"] == "someone/longllava"
    assert model.provenance["model_revision"] == commit.name


def test_unknown_precisions_are_refused(demo: LongLlava) -> None:
    with pytest.raises(PolicyError):
        load_model("demo", device="cpu", dtype="int3")
    with pytest.raises(QuantizationError):
        load_model("demo", device="cpu", quantization="int3")


def test_an_absent_demonstration_model_says_how_to_get_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("longllava_domains.model.checkpoint.source.files", lambda _: tmp_path)
    with pytest.raises(CheckpointError, match="train_demo"):
        load_model("demo")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA on linear layers and on the fused experts, with weights that act."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=2,
        target_modules=r".*language_model.*\.(q_proj|in_proj|out_proj)",
        target_parameters=["experts.gate_up_proj", "experts.down_proj"],
    )
    adapted = get_peft_model(load_checkpoint(DEMO, dtype="float32"), config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    inputs = torch.arange(4, 14)[None]
    with torch.no_grad():
        torch.save(adapted.eval()(input_ids=inputs).logits, tmp_path / "expected.pt")
    return tmp_path / "adapter"


def test_an_adapter_is_merged_and_recorded(adapter: Path, demo: LongLlava) -> None:
    model = load_model("demo", adapter=adapter, device="cpu", dtype="float32")
    assert type(model.network) is type(demo.network)
    expected = torch.load(adapter.parent / "expected.pt")
    inputs = torch.arange(4, 14)[None]
    with torch.no_grad():
        found = model.network(input_ids=inputs).logits
        plain = demo.network(input_ids=inputs).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - plain).abs().max() > 1e-3
    assert model.provenance["adapter"].startswith("local:")
    assert len(model.provenance["adapter_sha256"]) == 64


def test_an_adapter_that_does_not_fit_is_refused(adapter: Path, tmp_path: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="no readable adapter"):
        load_model("demo", adapter=adapter, device="cpu")
    weights.write_bytes(data)
    entries = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(entries | {"r": 3}))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_model("demo", adapter=adapter, device="cpu")
    narrow = {"target_modules": r".*language_model.*\.(q_proj|in_proj)"}
    (adapter / "adapter_config.json").write_text(json.dumps(entries | narrow))
    with pytest.raises(CheckpointError, match="no place"):
        load_model("demo", adapter=adapter, device="cpu")
    with pytest.raises(CheckpointError, match="no readable adapter"):
        load_model("demo", adapter=tmp_path, device="cpu")


def test_loading_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    load_model("demo", device="cpu", on_progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}
