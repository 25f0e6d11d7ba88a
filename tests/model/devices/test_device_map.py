"""Networks that lie on several devices, rehearsed on the CPU."""

import pytest
import tiny_released
import torch
from accelerate import cpu_offload

from longllava_domains.errors import DeviceError
from longllava_domains.model import load_checkpoint, load_model
from longllava_domains.model.devices.device_map import device_for

IDS = torch.tensor([[1, 7, 900, 30, 31, 32, 5]])


def test_a_parameter_goes_where_its_closest_module_goes() -> None:
    devices = {"model": "cpu", "model.layers.1": "meta"}
    assert device_for(devices, "model.layers.1.mamba.in_proj.weight").type == "meta"
    assert device_for(devices, "model.layers.10.mamba.in_proj.weight").type == "cpu"
    with pytest.raises(KeyError):
        device_for(devices, "lm_head.weight")


@torch.no_grad()
@pytest.mark.parametrize("quantization", [None, "int8"])
def test_a_network_whose_weights_wait_elsewhere_computes_the_same(tmp_path, quantization) -> None:
    """accelerate's hooks bring each layer's weights when it runs; int8 weights are buffers."""
    tiny_released.write_released(tmp_path / "moe")
    network = load_checkpoint(tmp_path / "moe", quantization=quantization)
    expected = network(input_ids=IDS).logits
    waiting = cpu_offload(network, execution_device=torch.device("cpu"), offload_buffers=True)
    assert waiting.model.language_model.layers[0].mamba.in_proj.weight.device.type == "meta"
    assert torch.equal(waiting(input_ids=IDS).logits, expected)


def test_auto_is_the_processor_where_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    model = load_model("demo", device="auto")
    assert model.device.type == "cpu"
    assert model.answer(None, "Hello?", max_new_tokens=2).provenance["device"] == "cpu"


def test_a_device_that_is_not_there_is_refused(tmp_path) -> None:
    tiny_released.write_released(tmp_path / "dense", experts=1)
    with pytest.raises(DeviceError):
        load_checkpoint(tmp_path / "dense", device="cuda:77")
