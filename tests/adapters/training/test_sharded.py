"""Two processes that share the network by FSDP2 (on gloo) give the gradients of one."""

import subprocess
import sys
from pathlib import Path

import training_rows

SCRIPT = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
sys.path.insert(0, sys.argv[1])
from training_rows import network_of, samples
from longllava_domains.adapters.data.batch import pack
from longllava_domains.adapters.training.loss import learned_tokens, prepare_loss, summed_loss

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
mesh = dist.init_device_mesh("cpu", (world,))
every = samples(network_of(torch.float64), torch.float64)
rows = [pack(every[:3]), pack(every[3:])]  # each has images
learned = sum(map(learned_tokens, rows))

whole = network_of(torch.float64)
whole.model.vision_tower.requires_grad_(False)
head = prepare_loss(whole)
for row in rows:
    (summed_loss(whole, head, row) / learned).backward()

sharded = network_of(torch.float64)
sharded.model.vision_tower.requires_grad_(False)
head = prepare_loss(sharded)
for layer in sharded.model.language_model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(sharded, mesh=mesh)
(summed_loss(sharded, head, rows[rank]) * (world / learned)).backward()
expected = {name: p.grad for name, p in whole.named_parameters() if p.grad is not None}
found = {name: p.grad.full_tensor() for name, p in sharded.named_parameters() if p.grad is not None}
assert found.keys() == expected.keys()
worst = max(float((found[n] - expected[n]).norm() / expected[n].norm().clamp(min=1e-8)) for n in found)
Path(sys.argv[2], f"worst_{rank}").write_text(repr(worst))  # a shared stdout mixes two lines
dist.destroy_process_group()
"""


def test_sharded_gradients_equal_those_of_one_process(tmp_path: Path) -> None:
    script = tmp_path / "sharded.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", "2", str(script), str(Path(training_rows.__file__).parent), str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    worst = [float((tmp_path / f"worst_{rank}").read_text()) for rank in range(2)]
    assert max(worst) < 1e-11
