"""The adapters of the demonstration model: found by name, and chosen by domain."""

import json
from pathlib import Path

import pytest
import torch

from longllava_domains.errors import CheckpointError, PolicyError
from longllava_domains.model import load_model
from longllava_domains.model.checkpoint.adapter.merge import adapter_folder
from longllava_domains.model.checkpoint.adapter.packaged import (
    DOMAIN_ADAPTERS,
    NO_ADAPTER,
    domain_adapter,
    packaged_folder,
)
from longllava_domains.model.checkpoint.card import card_domains
from longllava_domains.model.int8.quantize import quantize_network


@pytest.mark.parametrize("name", sorted(DOMAIN_ADAPTERS.values()))
def test_a_packaged_adapter_is_found_by_its_name_and_fits_the_demonstration_model(
    name: str,
) -> None:
    assert adapter_folder(name) == packaged_folder(name)
    made = load_model("demo", adapter=name).provenance
    assert made["adapter"] == name
    assert made["demo"]


def test_a_packaged_adapter_names_no_folder_of_the_machine_that_made_it() -> None:
    for name in DOMAIN_ADAPTERS.values():
        folder = packaged_folder(name)
        assert folder is not None
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "demo"
        assert not any(
            isinstance(value, str) and value.startswith("/") for value in config.values()
        )
        assert card_domains(folder) == []  # drawings are no domain


def test_a_folder_here_comes_before_a_packaged_adapter_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "demo-ct"
    own.mkdir()
    (own / "adapter_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert adapter_folder("demo-ct").resolve() == own.resolve()


def test_the_domain_chooses_for_the_demonstration_model_alone() -> None:
    assert domain_adapter("demo", None, "ct") == "demo-ct"
    assert domain_adapter("demo", NO_ADAPTER, "ct") == NO_ADAPTER
    assert domain_adapter("demo", "mine", "ct") == "mine"
    assert domain_adapter("models/demo", None, "ct") is None
    assert domain_adapter("demo", None, "image") is None


def test_a_packaged_adapter_of_another_domain_is_refused() -> None:
    with pytest.raises(PolicyError, match="another domain than ct"):
        domain_adapter("demo", "demo-pathology", "ct")
    assert domain_adapter("demo", "demo-ct", "image") == "demo-ct"


def test_a_misspelt_adapter_is_told_apart_from_an_unreadable_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapter of that name") as caught:
        adapter_folder("demo-ctt")
    assert "Did you mean demo-ct?" in caught.value.remedy
    with pytest.raises(CheckpointError, match="no readable adapter"):
        adapter_folder(tmp_path)


def test_an_adapter_of_experts_is_merged_before_they_are_put_into_8_bits() -> None:
    tuned = load_model("demo", adapter="demo-ct", quantization="int8", dtype="float32")
    expected = load_model("demo", adapter="demo-ct", dtype="float32").network
    quantize_network(expected, "int8")
    wanted = expected.state_dict()
    found = tuned.network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert tuned.provenance["quantization"]["precision"] == "int8"


def test_no_adapter_by_name_is_the_model_as_it_is() -> None:
    assert "adapter" not in load_model("demo", adapter=NO_ADAPTER).provenance
