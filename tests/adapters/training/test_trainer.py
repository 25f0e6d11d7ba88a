"""A killed and resumed run equals an uninterrupted one bit for bit."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_training
import torch
from tiny_training import killed_and_resumed, recipe_of, trained_whole, trainer_of, weights_of
from training_rows import samples

from longllava_domains.adapters.data.batch import pack
from longllava_domains.adapters.training import checkpoints
from longllava_domains.adapters.training.checkpoints import newest_checkpoint
from longllava_domains.adapters.training.loss import prepare_loss, summed_loss
from longllava_domains.adapters.training.trainable import make_trainable
from longllava_domains.adapters.training.trainer import RowTrainer, resume
from longllava_domains.errors import NotFoundError, PolicyError, TrainingError

FULL = {"trained": "language_model", "lora": None, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_training.write_data(tmp_path_factory.mktemp("data"))


def equal(one: RowTrainer, other: RowTrainer) -> bool:
    first, second = weights_of(one), weights_of(other)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize(
    ("changes", "how", "step"),
    [
        ({}, {}, 1),
        ({}, {"augment": tiny_training.turned}, 2),
        (
            {"packing": "none", "rows_per_step": 4},
            {"augment": tiny_training.turned, "threads": 2},
            2,
        ),
        (FULL, {}, 2),
    ],
    ids=["dropout", "augmentation in the second epoch", "threads and a filled step", "full"],
)
def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(
    data: Path, tmp_path: Path, changes: dict[str, Any], how: dict[str, Any], step: int
) -> None:
    recipe = recipe_of(**changes)
    whole = trained_whole(data, tmp_path / "whole", recipe, **how)
    resumed = killed_and_resumed(data, tmp_path / "killed", recipe, step, **how)
    assert whole.state.global_step == resumed.state.global_step > step
    assert equal(whole, resumed)
    start = weights_of(trainer_of(data, tmp_path / "start", recipe))
    moved = [name for name, weight in weights_of(whole).items() if not weight.equal(start[name])]
    assert len(moved) > len(start) / 2


def test_a_process_killed_by_the_kernel_is_resumed_exactly(data: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tiny_training import Stop, recipe_of, trainer_of\n"
        "data, output = map(Path, sys.argv[2:])\n"
        "trainer_of(data, output, recipe_of(), callbacks=[Stop(2, kill=True)]).train()\n"
    )
    builders = Path(tiny_training.__file__).parent
    killed = subprocess.run(
        [sys.executable, "-c", script, str(builders), str(data), str(tmp_path / "killed")],
        capture_output=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]
    resumed = trainer_of(data, tmp_path / "killed", recipe_of())
    resume(resumed, newest_checkpoint(tmp_path / "killed"))
    assert equal(resumed, trained_whole(data, tmp_path / "whole", recipe_of()))


def test_a_checkpoint_says_what_run_it_is_of(data: Path, tmp_path: Path) -> None:
    trainer = trained_whole(data, tmp_path, recipe_of())
    kept = checkpoints.checkpoints(tmp_path)
    assert [path.name for path in kept] == ["checkpoint-2", "checkpoint-3"]
    saved = json.loads((kept[-1] / "recipe.json").read_text())
    assert saved["name"] == "pubmedvision-lora-modified"
    assert "Not a medical device" in saved["notice"]
    assert json.loads((kept[-1] / "loader.json").read_text())["position"] == len(trainer.rows)
    assert (kept[-1] / "adapter_model.safetensors").is_file()
    assert not list(tmp_path.glob(".part-*"))
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(entry["tokens_per_second"] > 0 for entry in logged)
    assert logged[-1]["epoch"] == 2.0


def test_a_disk_that_fills_up_loses_no_checkpoint(data: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    trainer = trainer_of(data, tmp_path, recipe_of())
    save = torch.save
    calls = iter(range(100))
    # Each checkpoint is written by several calls; let the first one pass.
    monkeypatch.setattr(torch, "save", lambda *a, **k: save(*a, **k) if next(calls) < 5 else full())
    with pytest.raises(TrainingError, match="No space left") as caught:
        trainer.train()
    assert caught.value.code == "training.write"
    assert str(tmp_path) not in str(caught.value)
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == ["checkpoint-1"]
    assert not list(tmp_path.glob(".part-*"))


def test_a_half_written_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".part-checkpoint-9").mkdir()
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-2").mkdir()
    assert newest_checkpoint(tmp_path).name == "checkpoint-10"
    checkpoints.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-10", "checkpoint-2"}
    with pytest.raises(NotFoundError):
        newest_checkpoint(tmp_path / "checkpoint-2")


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_before_it_reaches_the_weights(
    data: Path, tmp_path: Path, where: str
) -> None:
    trainer = trainer_of(data, tmp_path, recipe_of(**{"lora.dropout": 0.0}))
    before = weights_of(trainer)
    name, poisoned = next((n, p) for n, p in trainer.model.named_parameters() if p.requires_grad)
    if where == "loss":
        with torch.no_grad():
            poisoned.fill_(math.inf)
            before[name] = poisoned.clone()
    else:
        poisoned.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match=f"The {where} of step 1 is not finite"):
        trainer.train()
    assert all(torch.equal(before[n], w) for n, w in weights_of(trainer).items())


def test_a_run_does_not_resume_with_other_settings(data: Path, tmp_path: Path) -> None:
    trained_whole(data, tmp_path, recipe_of(epochs=1))
    other = trainer_of(data, tmp_path, recipe_of(epochs=1, seed=1))
    with pytest.raises(PolicyError, match="had another seed"):
        resume(other, newest_checkpoint(tmp_path))
    other = trainer_of(data, tmp_path, recipe_of(epochs=1, learning_rate=1e-3))
    with pytest.raises(PolicyError, match="had another learning_rate"):
        resume(other, newest_checkpoint(tmp_path))
    (newest_checkpoint(tmp_path) / "loader.json").unlink()
    with pytest.raises(TrainingError, match="lacks the state of its rows"):
        resume(other, newest_checkpoint(tmp_path))


@pytest.mark.parametrize("changes", [{"lora.dropout": 0.0}, FULL], ids=["adapter", "full"])
def test_mixed_precision_trains_float32_weights_to_nearly_the_same(
    data: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = recipe_of(epochs=1, **changes)
    made = {
        bf16: trained_whole(data, tmp_path / str(bf16), recipe, arguments={"bf16": bf16})
        for bf16 in (False, True)
    }
    first = [trainer.state.log_history[0]["loss"] for trainer in made.values()]
    assert first[1] == pytest.approx(first[0], rel=1e-2)
    assert first[1] != first[0]
    assert {weight.dtype for weight in weights_of(made[True]).values()} == {torch.float32}


def test_an_adapter_on_a_base_in_sixteen_bits_is_trained_in_float32() -> None:
    network = tiny_training.tiny_model().network.to(torch.bfloat16).train()
    head = prepare_loss(network)
    model, lines = make_trainable(network, recipe_of())
    with torch.autocast("cpu", torch.bfloat16):
        summed_loss(model, head, pack(samples(network, torch.bfloat16))).backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    assert all(parameter.grad is not None for parameter in trained)
    assert any("projector" in n for n, p in model.named_parameters() if p.requires_grad)
    assert "parameters are trained" in lines[-1]


def test_sharding_that_would_not_take_place_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        trainer_of(data, tmp_path, recipe_of(), arguments={"fsdp": True})
    assert caught.value.code == "training.sharding"


def test_activations_that_wait_elsewhere_change_nothing(data: Path, tmp_path: Path) -> None:
    made = [
        trained_whole(data, tmp_path / str(away), recipe_of(epochs=1, offload_activations=away))
        for away in (False, True)
    ]
    assert equal(*made)


def test_packed_rows_train_to_the_same_weights_as_single_samples(
    data: Path, tmp_path: Path
) -> None:
    """All samples in one step: token-weighted, it does not matter how they are packed."""
    settings = {"epochs": 1, "lora.dropout": 0.0, "learning_rate": 1e-3, "tokens_per_row": 400}
    steps = {"isolated": 2, "none": 6}
    made = {
        packing: trained_whole(
            data, tmp_path / packing, recipe_of(packing=packing, rows_per_step=rows, **settings)
        )
        for packing, rows in steps.items()
    }
    assert {trainer.state.global_step for trainer in made.values()} == {1}
    losses = [t.state.log_history[0]["loss"] for t in made.values()]
    norms = [t.state.log_history[0]["grad_norm"] for t in made.values()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
