"""The network shared out over processes by FSDP2: who holds what, and how that is kept.

PyTorch's own `fully_shard` is applied, one unit for each layer, on gloo as on NCCL: what is tested on
two processors is then what runs on GPUs. (accelerate would shard on GPUs alone.)
"""

from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_map

from longllava_domains.errors import PolicyError, TrainingError

# What has a unit of its own, by the name of its class in transformers.
_UNITS: Final = ("JambaAttentionDecoderLayer", "JambaMambaDecoderLayer", "CLIPEncoderLayer")


def shard(model: nn.Module) -> nn.Module:
    """Share a network out over all processes of the run, in place.

    Args:
        model: The network or the peft model around it, on a processor; it moves to the device of its
            process a layer at a time.

    Raises:
        PolicyError: There is one process only.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        raise PolicyError(
            "The network cannot be shared out: there is one process.",
            remedy="Start several with torchrun --nproc-per-node, or leave --sharded out.",
            code="training.sharding",
        )
    device = "cuda" if torch.cuda.is_available() and dist.get_backend() != "gloo" else "cpu"
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for module in list(model.modules()):
        if type(module).__name__ in _UNITS:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def gathered(model: nn.Module, *, keep: bool) -> dict[str, Tensor]:
    """Return whole weights on the processor, gathered one at a time; every process must call it.

    Args:
        model: A network that is shared out.
        keep: Whether this process wants them; another gets an empty dictionary.
    """
    found = {}
    for name, value in model.state_dict().items():
        whole = whole_tensor(value)
        if keep:
            found[name] = whole.detach().cpu()
    return found


def whole_tensor(value: Tensor) -> Tensor:
    """Return a tensor as one process would have it; every process must call it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def save_share(model: nn.Module, optimizer: Any, path: Path) -> None:
    """Save what this process holds of the trained weights and of the optimizer's state."""
    kept = {
        "weights": {name: p.detach() for name, p in model.named_parameters() if p.requires_grad},
        "optimizer": optimizer.state_dict(),
    }
    torch.save(tree_map(_local, kept), path)


def load_share(model: nn.Module, optimizer: Any, path: Path) -> None:
    """Restore what `save_share` saved.

    Raises:
        TrainingError: It is absent, or of another network.
    """
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError):
        raise TrainingError(
            "The share of a process is missing from the checkpoint, or damaged.",
            remedy="Resume from the checkpoint before it.",
            code="training.checkpoint",
        ) from None
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if kept["weights"].keys() != trained.keys():
        raise TrainingError(
            "The checkpoint is of another network.",
            remedy="Resume with the recipe and the base that the run began with.",
            code="training.checkpoint",
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            _local(parameter).copy_(kept["weights"][name])
    places = [p for group in optimizer.param_groups for p in group["params"]]
    for number, state in kept["optimizer"]["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.ndim:
                state[name] = _shared_like(places[number], value)
    optimizer.load_state_dict(kept["optimizer"])


def _local(value: Any) -> Any:
    return value.to_local() if isinstance(value, DTensor) else value


def _shared_like(parameter: Tensor, local: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return local
    made: Tensor = DTensor.from_local(
        local.to(parameter.device), parameter.device_mesh, parameter.placements,
        run_check=False, shape=parameter.shape, stride=parameter.stride(),
    )  # fmt: skip
    return made
