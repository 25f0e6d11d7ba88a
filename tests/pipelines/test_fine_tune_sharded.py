"""Two processes that share the model out by FSDP2 (on gloo) train what one process trains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_sets
from safetensors.torch import load_file
from write_tiny import write_tiny

from longllava_domains import load_model
from longllava_domains.adapters.launch import FOLDER
from longllava_domains.adapters.training.checkpoints import checkpoints
from longllava_domains.adapters.training.sharding import shard
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.fine_tune import FineTune

CHANGES = {"tokens_per_row": 160, "epochs": 2, "learning_rate": 1e-3, "rows_per_step": 2}
NAMES = {"pubmedvision": "model.safetensors", "pubmedvision-lora": "adapter_model.safetensors"}
SCRIPT = """
import json, shutil, sys
from pathlib import Path
import torch.distributed as dist
from longllava_domains.adapters.training.checkpoints import checkpoints
from longllava_domains.pipelines.fine_tune import FineTune

base, data, output, changes = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
for name in sys.argv[5:]:
    tune = FineTune.from_recipe(name, base=base, **changes)
    tune(data, output / name, sharded=True, save_every_steps=1)
    dist.barrier()
    if dist.get_rank() == 0:  # as if it had been killed in its last step
        shutil.copytree(output / name, output / f"{name}-resumed")
        shutil.rmtree(checkpoints(output / f"{name}-resumed")[-1])
    dist.barrier()
    tune(data, output / f"{name}-resumed", sharded=True, save_every_steps=1, resume=True)
dist.destroy_process_group()
"""


def test_processes_that_share_the_model_train_what_one_trains(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base")
    data = training_sets.write_pubmedvision(tmp_path / "data", rows=3)
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         tmp_path / "train.py", base, data, tmp_path / "two", json.dumps(CHANGES), *NAMES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name, file in NAMES.items():
        FineTune.from_recipe(name, base=base, **CHANGES)(data, tmp_path / "one" / name)
        one, two, resumed = (
            load_file(tmp_path / place / file)
            for place in (f"one/{name}", f"two/{name}", f"two/{name}-resumed")
        )
        assert one.keys() == two.keys()
        assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-6
        assert all(two[key].equal(resumed[key]) for key in two)
        newest = checkpoints(tmp_path / "two" / name)[-1]
        assert {path.name for path in newest.glob("share_*")} == {
            "share_0_of_2.pt", "share_1_of_2.pt"
        }  # fmt: skip
    # A checkpoint of theirs is a model, or an adapter, like any other.
    load_model(checkpoints(tmp_path / "two" / "pubmedvision")[-1], tokenizer=base)
    load_model(base, adapter=newest)


def test_what_is_shipped_starts_processes_and_does_not_shard_twice() -> None:
    names = {path.name for path in FOLDER.iterdir() if path.suffix in (".yaml", ".json")}
    assert names == {"accelerate_fsdp2.yaml", "deepspeed_zero3.json"}
    assert "distributed_type: MULTI_GPU" in (FOLDER / "accelerate_fsdp2.yaml").read_text()
    zero = json.loads((FOLDER / "deepspeed_zero3.json").read_text())
    assert zero["_comment"].startswith("NOT RUN HERE")
    assert zero["zero_optimization"]["stage"] == 3


def test_sharing_out_over_one_process_is_refused() -> None:
    with pytest.raises(PolicyError, match="there is one process"):
        shard(torch.nn.Linear(2, 2))
