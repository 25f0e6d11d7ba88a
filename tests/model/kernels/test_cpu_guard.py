"""On the CPU no CUDA kernel is called, even where the packages can be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

# What mamba_ssm and causal_conv1d offer, as a CUDA kernel behaves on CPU tensors.
STUB = """
def _refuse(*args, **kwargs):
    raise RuntimeError("Expected x.is_cuda() to be true, but got false.")

{names} = {refusals}
"""
FILES = {
    "causal_conv1d/__init__.py": ("causal_conv1d_fn", "causal_conv1d_update"),
    "mamba_ssm/__init__.py": ("selective_scan_fn", "mamba_inner_fn", "selective_state_update"),
    "mamba_ssm/ops/__init__.py": ("placeholder",),
    "mamba_ssm/ops/selective_scan_interface.py": ("selective_scan_fn", "mamba_inner_fn"),
    "mamba_ssm/ops/triton/__init__.py": ("placeholder",),
    "mamba_ssm/ops/triton/selective_state_update.py": ("selective_state_update",),
}
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from transformers import JambaConfig, JambaForCausalLM
import causal_conv1d, mamba_ssm

text = JambaConfig(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, attn_layer_period=2, attn_layer_offset=1,
    num_experts=1, num_experts_per_tok=1, mamba_dt_rank=4)
ids = torch.arange(3, 9)[None]

def generated(network):
    made = network.eval().generate(ids, min_new_tokens=3, max_new_tokens=3, do_sample=False)
    return made.shape[1] - ids.shape[1]

try:
    generated(JambaForCausalLM(text))
except RuntimeError as error:
    print("unguarded:", error)

from longllava_domains.model import LongLlavaConfig, LongLlavaForConditionalGeneration

config = LongLlavaConfig(text_config=text, image_token_index=39, vision_config=dict(hidden_size=8,
    intermediate_size=8, num_hidden_layers=2, num_attention_heads=1, image_size=28, patch_size=14))
print("guarded stock:", generated(JambaForCausalLM(text)))
print("ours:", generated(LongLlavaForConditionalGeneration(config)))
"""


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    for name, functions in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        names, refusals = ", ".join(functions), ", ".join(["_refuse"] * len(functions))
        file.write_text(STUB.format(names=names, refusals=refusals) + "__version__ = '9.9'\n")
    (tmp_path / "mamba_ssm/__init__.py").write_text(
        (tmp_path / "mamba_ssm/__init__.py").read_text() + "from mamba_ssm import ops\n"
    )
    return tmp_path


def test_a_cpu_forward_never_meets_the_kernels(stubs: Path) -> None:
    """The danger is real: before the guard is there, transformers alone calls the stubs."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(stubs)], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    unguarded, *guarded = found.stdout.splitlines()
    assert unguarded.startswith("unguarded: Expected x.is_cuda()")
    assert guarded == ["guarded stock: 3", "ours: 3"]


def test_other_devices_still_get_what_transformers_picked() -> None:
    import torch

    from longllava_domains.model.kernels.cpu_guard import _by_device

    def reference(tensor: torch.Tensor) -> str:
        return "torch"

    def picked(tensor: torch.Tensor) -> str:
        return "kernel"

    picked.__wrapped__ = reference
    guarded = _by_device(picked)
    assert guarded(torch.zeros(1)) == "torch"
    assert guarded(torch.zeros(1, device="meta")) == "kernel"
