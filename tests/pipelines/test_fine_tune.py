"""From data in its published layout to an adapter that a pipeline loads."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import raster_builder
import torch
import training_sets
from safetensors.torch import load_file
from write_tiny import write_tiny

from longllava_domains import ct, load_model, pipelines
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.training.checkpoints import checkpoints
from longllava_domains.errors import (
    CheckpointError,
    NotFoundError,
    OutputError,
    PolicyError,
    QuantizationError,
)
from longllava_domains.pipelines.fine_tune import FineTune

ROOT = Path(__file__).parents[2]
SMALL = {"rows_per_step": 1, "tokens_per_row": 160, "recompute_layers": False}
LORA = {"rank": 2, "alpha": 4, "dropout": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def medical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_sets.write_pubmedvision(tmp_path_factory.mktemp("data"), rows=3)


def tuning(base: Path, name: str = "pubmedvision-lora", **changes: object) -> FineTune:
    lora = {"lora": LORA} if name.endswith("-lora") else {}
    return pipelines.FineTune.from_recipe(name, base=base, **{**SMALL, **lora, **changes})


def test_an_adapter_comes_with_a_card_and_loads(base: Path, medical: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made = tuning(base)(medical, tmp_path / "run", use_cpu=True, say=said.append)
    folder = made.folder
    assert (made.steps, made.damaged) == (3, 0)
    for place in (folder, checkpoints(folder)[-1]):
        assert not json.loads((place / "adapter_config.json").read_text())[
            "base_model_name_or_path"
        ]
    model = load_model(base, adapter=folder)
    plain = load_model(base)
    changed = [
        name
        for (name, one), two in zip(
            model.network.named_parameters(), plain.network.parameters(), strict=True
        )
        if not torch.equal(one, two)
    ]
    assert any("projector" in name for name in changed)
    assert not any("vision_tower" in name or "dt_proj" in name for name in changed)
    card = (folder / "README.md").read_text()
    for line in ('library_name: "peft"', 'license: "apache-2.0"', "Not a medical device",
                 "No quality was measured", "overlap is not known", "6 of 6 rows"):  # fmt: skip
        assert line in card
    assert str(tmp_path) not in card + "".join(said)
    assert "step 3 of 3: loss" in said[-1]
    assert any("Terms of PubMedVision" in line for line in said)
    assert any("rows of 160 tokens" in line for line in said)
    assert any("Planned, not measured" in line for line in said)


def test_a_hub_base_is_named_and_nothing_is_asked_of_the_hub(
    base: Path, medical: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *where, **_: asked.append(where) or [])
    tune = tuning(base)
    tune.source = replace(tune.source, hub_id="owner/name")
    folder = tune(medical, tmp_path / "run", use_cpu=True).folder
    named = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert (named, asked) == ("owner/name", [])
    assert 'base_model: "owner/name"' in (folder / "README.md").read_text()


def test_a_fully_trained_model_is_a_model(base: Path, medical: Path, tmp_path: Path) -> None:
    made = tuning(base, "pubmedvision", learning_rate=1e-3)(medical, tmp_path / "run", use_cpu=True)
    before, after = load_model(base).network, load_model(made.folder).network
    assert not torch.equal(before.lm_head.weight, after.lm_head.weight)
    tower = [model.model.vision_tower.state_dict() for model in (before, after)]
    assert all(torch.equal(tower[0][name], tower[1][name]) for name in tower[0])
    assert load_model(made.folder).processor.tokenizer.vocab_size > 0


def test_a_projector_alone_can_be_trained(base: Path, medical: Path, tmp_path: Path) -> None:
    made = tuning(base, "pubmedvision", trained="projector")(
        medical, tmp_path / "run", use_cpu=True
    )
    before, after = (load_model(place).network.state_dict() for place in (base, made.folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("multi_modal_projector" in name for name in changed)


def test_a_run_resumes_in_its_folder_and_nowhere_else(
    base: Path, medical: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(NotFoundError, match="no checkpoint to resume from"):
        tuning(base)(medical, run, use_cpu=True, resume=True)
    whole = tuning(base)(medical, run, use_cpu=True, save_every_steps=1)
    expected = load_file(run / "adapter_model.safetensors")
    newest = checkpoints(run)[-1]
    newest.rename(tmp_path / "later")
    with pytest.raises(OutputError, match="not empty"):
        tuning(base)(medical, run, use_cpu=True)
    resumed = tuning(base)(medical, run, use_cpu=True, resume=True)
    assert resumed.steps == whole.steps
    found = load_file(run / "adapter_model.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    again = tuning(base)(medical, run, use_cpu=True, resume=True)  # nothing is left to do
    assert again.loss == whole.loss


def test_rows_of_an_evaluation_set_are_left_out_and_the_card_says_so(
    base: Path, tmp_path: Path
) -> None:
    data = training_sets.write_vqa_rad(tmp_path / "data", "prepared")
    test = open_data(f"{data}#test", "vqa-rad")
    tune = tuning(base, "vqa-rad-lora", epochs=1)
    made = tune(
        data, tmp_path / "run", evaluation=[test], use_cpu=True, evaluate_every_steps=1,
        evaluate_rows=2,
    )  # fmt: skip
    plain = tune(data, tmp_path / "plain", evaluation=[test], use_cpu=True, evaluate_rows=0)
    weights = [load_file(run.folder / "adapter_model.safetensors") for run in (made, plain)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    card = (made.folder / "README.md").read_text()
    assert "- VQA-RAD, 2 rows (vqa-rad strict): loss " in card
    front = card.split("---")[1]
    (model,) = json.loads(front.split("model-index: ")[1].splitlines()[0])
    metrics = {each["type"]: each["value"] for each in model["results"][0]["metrics"]}
    assert 0 <= metrics["accuracy"] <= 1 < metrics["loss"]
    logged = json.loads((made.folder / "log.json").read_text())
    seen = [entry["step"] for entry in logged if "held_out/VQA-RAD/loss" in entry]
    assert seen == [*range(1, made.steps + 1), made.steps]  # the last once more, at the end
    assert "No quality was measured" in (plain.folder / "README.md").read_text()
    assert "Rows that stand in VQA-RAD were left out." in card
    assert "1 dropped (in_evaluation)" in card
    assert 'license: "cc0-1.0"' in card


def test_the_pipelines_of_both_domains_load_what_was_trained(
    base: Path, medical: Path, tmp_path: Path
) -> None:
    chips = training_sets.write_fit_rs(tmp_path / "data", rows=2)
    scenes = tuning(base, "skysensegpt-lora")(chips, tmp_path / "scenes", use_cpu=True)
    assert scenes.recipe.name == "skysensegpt-lora-modified"
    assert 'license: "cc-by-nc-4.0"' in (scenes.folder / "README.md").read_text()
    qa = pipelines.RemoteSensingQA.from_pretrained(str(base), adapter=str(scenes.folder))
    scene = raster_builder.smaller_than_a_tile(tmp_path / "scene.tif")
    answer = qa(str(scene), "What is this?", max_new_tokens=2)
    assert answer.to_json()["provenance"]["adapter_sha256"]
    scans = tuning(base)(medical, tmp_path / "scans", use_cpu=True)
    report = pipelines.CTReport.from_pretrained(base, adapter=scans.folder)
    few = ct.SlicePolicy(count=2, windows=("lung",), view_px=28)
    drafted = report(ROOT / "examples/chest_phantom", policy=few, max_new_tokens=2)
    assert drafted.provenance["adapter_sha256"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"base": "no/where/at/all"}, CheckpointError),
        ({"name": "no-such-recipe"}, PolicyError),
        ({"lora": {"targets": ["cross_attn.q"], "rank": 2}}, PolicyError),
        ({"tokens_per_row": 4}, PolicyError),
    ],
)
def test_what_cannot_be_trained_is_refused(
    base: Path, medical: Path, tmp_path: Path, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        tuning(**{"base": base, **changes})(medical, tmp_path / "run", use_cpu=True)  # type: ignore[arg-type]


def test_a_base_in_eight_bits_is_refused(base: Path, tmp_path: Path) -> None:
    from longllava_domains.model.checkpoint.convert import convert_checkpoint

    convert_checkpoint(base, tmp_path / "int8", quantization="int8")
    with pytest.raises((PolicyError, QuantizationError)):
        tuning(tmp_path / "int8")
