"""The stages that train the demonstration model ask as sessions ask, and gradients reach the views."""

import json
import math
import os
import shutil
import sys
from ast import literal_eval
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import longllava_domains
from longllava_domains.adapters.phantoms.labelled_scene import labelled_scene
from longllava_domains.adapters.phantoms.scene_files import write_geotiff
from longllava_domains.model import AttentionReadout, load_checkpoint
from longllava_domains.model.checkpoint.adapter.merge import merge_adapter
from longllava_domains.model.checkpoint.adapter.packaged import DOMAIN_ADAPTERS
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.views.chips import Chips

STAGES = Path(__file__).parents[3] / "scripts/demo"
DEMO = Path(longllava_domains.__file__).parent / "model/demo"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.syspath_prepend(str(STAGES))
    import language_stage

    return language_stage.fresh_network(language_stage.demo_tokenizer())


def test_a_recorded_memory_answers_as_a_session_and_passes_gradients(network) -> None:
    recorded_memory = sys.modules["recorded"].recorded_memory
    language, config = network.model.language_model, network.config.text_config
    torch.manual_seed(0)
    seen = torch.randn(1, 9, config.hidden_size, requires_grad=True)
    asked = torch.randn(3, 5, config.hidden_size)
    read = []
    for memory in (recorded_memory(config), SessionCache(config)):
        with torch.set_grad_enabled(not read):
            language(inputs_embeds=seen, past_key_values=memory, use_cache=True)
            run = language(inputs_embeds=asked, past_key_values=memory.repeat(3), use_cache=True)
        read.append(run.last_hidden_state)
    assert torch.allclose(read[0], read[1], atol=1e-5)
    read[0].sum().backward()
    assert seen.grad is not None
    assert (seen.grad.abs().sum(-1) > 0).all()


def test_what_training_sees_of_attention_is_what_a_readout_adds_up(network) -> None:
    recorded = sys.modules["recorded"]
    language, config = network.model.language_model, network.config.text_config
    torch.manual_seed(1)
    seen, asked = torch.randn(1, 8, config.hidden_size), torch.randn(1, 5, config.hidden_size)
    of_a_view = torch.tensor([False, False] + [True] * 6)
    memory = recorded.recorded_memory(config)
    session, readout = SessionCache(config), AttentionReadout([(2, 4), (4, 6), (6, 8)])
    language(inputs_embeds=seen, past_key_values=memory, use_cache=True)
    memory = memory.repeat(1)
    layers = recorded.keep_attention(memory, torch.tensor([3]))
    language(inputs_embeds=asked, past_key_values=memory, use_cache=True)
    shown = np.array([False, True, False])
    (missed,) = recorded.looked_past(layers, of_a_view, [shown])
    with torch.no_grad():
        for part in (torch.cat([seen, asked[:, :3]], 1), asked[:, 3:4]):
            language(inputs_embeds=part, past_key_values=session, use_cache=True)
            session.read_attention(readout)
    share = readout.per_view[1] / sum(readout.per_view)
    assert math.exp(-float(missed.detach())) == pytest.approx(share, rel=1e-4)
    missed.backward()
    assert len(recorded.looked_past(layers, of_a_view, [None])) == 0


def test_two_processes_share_the_parts_and_average_what_they_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(STAGES))
    import pair
    import paired

    monkeypatch.setattr(os, "environ", dict(os.environ))
    pair.run_pair(paired.learn, tmp_path, tmp_path)
    told = {path.name: literal_eval(path.read_text()) for path in tmp_path.iterdir()}
    assert told == {"0": [2.0, 0, 2, 4], "1": [2.0, 1, 3]}


def test_one_command_draws_teaches_and_packages_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All stages in this process: starting pairs of them takes longer than what they learn here."""
    monkeypatch.syspath_prepend(str(STAGES))
    monkeypatch.syspath_prepend(str(STAGES.parent))
    import pair
    import train_demo

    def alone(work: Callable[..., None], folder: Path, *arguments: Any) -> None:
        pair.join(0, 1, work, str(folder / "meeting"), arguments)
        (folder / "meeting").unlink(missing_ok=True)

    monkeypatch.setattr(train_demo, "run_pair", alone)
    place, package = tmp_path / "work", tmp_path / "package"
    lengths = train_demo.Lengths(
        tower_parts=2, language_parts=1, picture_parts=1, chests=1, scenes=2, slides=2,
        tower_chip_parts=1, tower_steps=1, place_steps=1, language_steps=1, scene_steps=1, adapter_parts=1, chip_parts=1, chip_scenes=1,
        adapter_steps=(1, 1, 1),
    )  # fmt: skip
    train_demo.teach(place, lengths)
    train_demo.main(
        place, package, replace(lengths, tower_steps=2, place_steps=2, language_steps=2)
    )
    curves = json.loads((package / "curves.json").read_text())
    assert [step for step, _ in curves["tower"]] == [1, 2]
    assert [step for step, *_ in curves["places"]] == [1, 2]
    assert [step for step, _ in curves["language"]] == [1, 2]
    shutil.copy(DEMO / "tokenizer.json", package)
    made = load_checkpoint(package, dtype="float32")
    assert made.config.trained
    for name in DOMAIN_ADAPTERS.values():
        assert merge_adapter(made, package / "adapters" / name) is made


def test_a_chip_of_a_drawn_scene_is_the_chip_that_a_search_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(STAGES))
    import chip_stage

    scene = next(one for one in map(labelled_scene, range(99)) if len(one.objects) > 2)
    with open_raster(write_geotiff(scene, tmp_path / "scene.tif")) as raster:
        views = list(Chips(raster, *load_checkpoint(DEMO).config.chips_px))
    for view in views:
        corner = view.place.column, view.place.row
        x, y = corner
        assert np.array_equal(view.pixels, scene.rgb[y : y + 112, x : x + 112])
        for name, boxes in chip_stage.boxes_of(scene, corner).items():
            assert len(boxes) <= len(scene.boxes(name))
            for cx, cy, w, h in boxes:
                assert w / 2 - 0.01 <= cx <= 100.01 - w / 2
                assert h / 2 - 0.01 <= cy <= 100.01 - h / 2


def test_what_a_chip_is_taught_are_the_edges_of_what_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(STAGES))
    import chip_stage
    import place_stage

    scene = next(
        one for one in map(labelled_scene, range(99)) if [o.name for o in one.objects] == ["ship"]
    )
    left, top, right, bottom = next(o.box_px for o in scene.objects if o.name == "ship")
    corner = max(round(left) - 10, 0), max(round(top) - 10, 0)
    shown = chip_stage.boxes_of(scene, corner)
    (box,) = chip_stage.spelled(shown["ship"])
    xs, ys = zip(*box.corners(), strict=True)
    drawn = np.array([left, right, top, bottom]) - np.repeat(corner, 2)
    assert np.array([min(xs), max(xs), min(ys), max(ys)]) * 1.12 == pytest.approx(drawn, abs=1.2)
    there, edges = place_stage.quarters({"ship": shown["ship"]})
    filled = there[:, 0] == 1
    assert filled.any()
    assert np.isnan(edges[~filled]).all()
    assert (edges[filled] == shown["ship"][0]).all()
    codes = place_stage.codes(edges[filled])
    assert np.abs(codes).max() <= 1.0
    assert codes[0, :4] == pytest.approx(np.array(shown["ship"][0]) / 50 - 1, abs=1e-6)


def test_a_quarter_tells_of_the_object_that_covers_most_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(STAGES))
    import place_stage

    large, small, sliver = [25.0, 25.0, 30.0, 30.0], [45.0, 8.0, 10.0, 16.0], [80.0, 48.0, 6.0, 6.0]
    there, edges = place_stage.quarters({"plane": [small], "ship": [large], "building": [sliver]})
    kinds = dict(zip(("ship", "plane", "storage tank", "building"), there.T.tolist(), strict=True))
    assert kinds == {"ship": [1, 0, 0, 0], "plane": [-1, 0, 0, 0], "storage tank": [0, 0, 0, 0],
                     "building": [0, -1, 0, -1]}  # fmt: skip
    assert edges[0].tolist() == large
    assert np.isnan(edges[1:]).all()
