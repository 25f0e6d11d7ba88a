"""Doors to other toolkits: lmms-eval's model and tasks, and exports that others read."""

import csv
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml as yaml_library
from other_family import OtherModel
from PIL import Image

from longllava_domains.adapters.phantoms import write_benchmark
from longllava_domains.errors import InputError, PolicyError
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.harness.exports import TOOLKITS, export_predictions
from longllava_domains.pipelines.harness.lmms_tasks import TASKS, write_lmms_tasks


@pytest.fixture
def lmms_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-in for lmms-eval 0.7, which is not installed here: the names that our plugin touches.

    docs/evaluate_harness.md says what was run with the real one, and what was not.
    """

    class lmms:
        def __init__(self) -> None:
            self.task_dict: dict[str, Any] = {}

    class ModelManifest(SimpleNamespace):
        pass

    contents = {
        "lmms_eval": {}, "lmms_eval.api": {}, "lmms_eval.api.model": {"lmms": lmms},
        "lmms_eval.models": {}, "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }  # fmt: skip
    for name, inside in contents.items():
        module = ModuleType(name)
        vars(module).update(inside)
        monkeypatch.setitem(sys.modules, name, module)
    for ours in ("lmms_model", "lmms_plugin"):
        monkeypatch.delitem(
            sys.modules, f"longllava_domains.pipelines.harness.{ours}", raising=False
        )


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys; import longllava_domains.pipelines.harness.lmms_plugin; "
        "assert not {'torch', 'transformers', 'lmms_eval'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lmms_eval_finds_our_model_and_gets_answers(lmms_eval, monkeypatch) -> None:
    plugin = importlib.import_module("longllava_domains.pipelines.harness.lmms_plugin")
    found = plugin.manifest()
    assert found.model_id == "longllava_domains"
    module, _, name = found.simple_class_path.rpartition(".")
    loaded = importlib.import_module(module)
    monkeypatch.setattr(loaded, "load", lambda model, options: OtherModel())
    model = getattr(loaded, name)(pretrained="other", batch_size="1")
    model.task_dict = {"t": {"test": [{"n": 2}, {"n": 0}]}}
    pictures = lambda doc: [Image.new("L", (8, 6))] * doc["n"]  # noqa: E731
    asked = [
        SimpleNamespace(
            args=("What?", {"until": [","], "max_new_tokens": 4}, pictures, k, "t", "test")
        )
        for k in (0, 1)
    ]
    assert model.generate_until(asked) == ["2 views", "0 views"]
    scored = [SimpleNamespace(args=("What?", "yes", pictures, 0, "t", "test"))]
    assert model.loglikelihood(scored) == [(-1.0, False)]
    sampling = loaded.sampling_of({"temperature": 0.2, "top_p": 0.9})
    assert (sampling.temperature, sampling.top_p) == (0.2, 0.9)
    assert loaded.sampling_of({"temperature": 0, "do_sample": False}) is None


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_of_lmms_eval_has_prompts_truths_and_views(name: str, tmp_path: Path) -> None:
    data = write_benchmark(name, tmp_path / "data", size=2)
    (tmp_path / "tasks").mkdir()
    yaml, table, functions = write_lmms_tasks(name, data, tmp_path / "tasks")
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert all(row["prompt"] and row["answer"] for row in rows)
    assert all(Path(path).is_file() for row in rows for path in row["images"])
    assert f"!function {functions.stem}.visuals" in yaml.read_text()
    names: dict[str, Any] = {}
    exec(functions.read_text(), names)
    assert names["process"](rows[0], [f" {rows[0]['answer'].upper()}."]) == {"exact_match": 1.0}
    assert names["visuals"](rows[0])[0].mode == "RGB"
    task = task_of(yaml)
    assert set(task) >= {"task", "dataset_path", "test_split", "output_type", "doc_to_visual",
                         "doc_to_text", "doc_to_target", "process_results", "metric_list"}  # fmt: skip
    assert task["dataset_kwargs"]["data_files"] == {"test": str(table)}
    called = [task["doc_to_visual"], task["doc_to_text"], task["process_results"]]
    called += [each["aggregation"] for each in task["metric_list"] if each["aggregation"] != "mean"]
    assert all(each.partition(".")[0] == functions.stem for each in called)
    assert all(each.partition(".")[2] in names for each in called)
    scored = names[task["process_results"].partition(".")[2]](rows[0], [rows[0]["answer"]])
    assert {each["metric"] for each in task["metric_list"]} == set(scored)


def task_of(path: Path) -> dict[str, Any]:
    """Read a task as lmms-eval's loader does: plain YAML, and names of functions beside it."""
    loader = type("Loader", (yaml_library.SafeLoader,), {})
    loader.add_constructor("!function", lambda reader, node: reader.construct_scalar(node))
    return yaml_library.load(path.read_text(), loader)  # noqa: S506 - a safe loader


def test_findings_of_ct_rate_are_questions_counted_by_precision_and_recall(tmp_path: Path) -> None:
    data = write_benchmark("ct-rate", tmp_path / "data", size=2)
    (tmp_path / "tasks").mkdir()
    _, table, functions = write_lmms_tasks("ct-rate", data, tmp_path / "tasks")
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == 2 * 18
    truths = {row["id"] for row in rows if row["answer"] == "yes"}
    assert truths == {"valid_1_a_1/9", "valid_2_a_1/12"}  # a nodule, an effusion
    names: dict[str, Any] = {}
    exec(functions.read_text(), names)
    said = {"valid_1_a_1/9": "Yes, there is.", "valid_1_a_1/0": "yes"}
    pairs = [
        names["process_finding"](row, [said.get(row["id"], "No.")])["micro_f1"] for row in rows
    ]
    found = [names[name](pairs) for name in ("micro_precision", "micro_recall", "micro_f1")]
    assert found == [0.5, 0.5, 0.5]
    assert names["micro_f1"]([[False, False]]) == 0.0


def test_there_is_no_task_of_what_is_no_question(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        write_lmms_tasks("ct-rate/reports", tmp_path, tmp_path)


REFERENCES = [{"qid": k, "question": f"Q\t{k}?", "answer": "yes"} for k in range(3)]
ANSWERS = [{"question_id": str(k), "prediction": "No,\nnever" if k else ""} for k in range(3)]


@pytest.mark.parametrize("toolkit", sorted(TOOLKITS))
def test_exports_hold_every_answer(toolkit: str, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    assert export_predictions(ANSWERS, REFERENCES, path, toolkit) == 3
    text = path.read_text()
    if toolkit == "vlmevalkit":
        rows = list(csv.DictReader(path.open(newline=""), delimiter="\t"))
        said = [row["prediction"] for row in rows]
        assert rows[1]["question"] == "Q\t1?"
    elif toolkit == "lmms-eval":
        said = [json.loads(line)["filtered_resps"][0] for line in text.splitlines()]
    else:
        said = [row["response"] for row in json.loads(text)]
    assert said == ["", "No,\nnever", "No,\nnever"]


def test_what_does_not_fit_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        export_predictions(ANSWERS, REFERENCES, tmp_path / "o", "other")
    with pytest.raises(InputError):
        export_predictions([{"qid": 9, "prediction": "x"}], REFERENCES, tmp_path / "o", "lmms-eval")


def test_the_commands_write_files(tmp_path: Path, capfd) -> None:
    data = write_benchmark("path-vqa", tmp_path / "data", size=2)
    answers = "".join(json.dumps({"question_id": k, "prediction": "yes"}) + "\n" for k in range(6))
    (tmp_path / "p.jsonl").write_text(answers)
    command = ["evaluate", "export", "path-vqa", str(tmp_path / "p.jsonl"), "--data", str(data)]
    out = tmp_path / "o.tsv"
    assert run([*command, "--for", "vlmevalkit", "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 7
    task = [
        "evaluate",
        "lmms-task",
        "path-vqa",
        "--data",
        str(data),
        "--output",
        str(tmp_path / "t"),
    ]
    assert run(task) == 0
