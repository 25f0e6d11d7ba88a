"""Natural mistakes with the model's Python API end in our errors, before anything expensive."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_longllava import count_encoded, tiny_model, views

from longllava_domains.errors import LongLlavaError
from longllava_domains.model import answer_many, load_checkpoint, load_model
from longllava_domains.prompt import compose

MODEL = tiny_model()
SEQUENCE = views(2)
SESSION = MODEL.open(SEQUENCE)

MISTAKES: dict[str, Callable[[], object]] = {
    "open a path": lambda: MODEL.open("scan.nii.gz"),
    "open an image": lambda: MODEL.open(Image.new("RGB", (28, 28))),
    "open an array": lambda: MODEL.open(np.zeros((28, 28, 3), np.uint8)),
    "open a list": lambda: MODEL.open([SEQUENCE]),
    "open with a text for tokens": lambda: MODEL.open(SEQUENCE, chunk_tokens="512"),
    "open with half a view": lambda: MODEL.open(SEQUENCE, view_batch=0.5),
    "open with bytes before": lambda: MODEL.open(SEQUENCE, preamble=b"x"),
    "open with another protocol": lambda: MODEL.open(SEQUENCE, protocol="llava"),
    "answer a path": lambda: MODEL.answer("scan.nii.gz", "What?"),
    "answer bytes": lambda: MODEL.answer(None, b"What?"),
    "answer with a text as history": lambda: MODEL.answer(None, "What?", history="before"),
    "answer with flat history": lambda: MODEL.answer(None, "What?", history=["q", "a"]),
    "answer with half a round": lambda: MODEL.answer(None, "What?", history=[("q",)]),
    "answer with bytes in history": lambda: MODEL.answer(None, "What?", history=[("q", b"a")]),
    "ask nothing": lambda: SESSION.ask(None),
    "ask with a dict": lambda: SESSION.ask("What?", sampling={"temperature": 0.7}),
    "ask with a readout of words": lambda: SESSION.ask("What?", readout="yes"),
    "open with a function": lambda: MODEL.open(SEQUENCE, watch=print),
    "ask many of a text": lambda: answer_many("What?"),
    "ask for no length": lambda: SESSION.ask("What?", max_new_tokens=None),
    "score one text": lambda: SESSION.score("Is it?", "Yes"),
    "score numbers": lambda: SESSION.score("Is it?", (1, 2)),
    "score half a character": lambda: SESSION.score("Is it?", ("\ud800",)),
    "extend by a path": lambda: SESSION.extend("more.nii.gz"),
    "extend by nothing": lambda: SESSION.extend(None),
    "compose bytes": lambda: compose(None, b"x"),
    "compose nothing": lambda: compose(None, None),
    "load nothing": lambda: load_model(None),
    "load a number": lambda: load_model(9),
    "load an empty name": lambda: load_model(""),
    "load with a missing adapter": lambda: load_model("demo", adapter="nowhere", device="cpu"),
    "load in another precision": lambda: load_model("demo", dtype="int4", device="cpu"),
    "load onto nothing": lambda: load_model("demo", device="tpu:9"),
    "load onto a list": lambda: load_model("demo", device=["cpu"]),
    "load a checkpoint of nothing": lambda: load_checkpoint("nowhere"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_an_error_with_a_remedy(mistake: str, monkeypatch) -> None:
    batches = count_encoded(monkeypatch, MODEL)
    with pytest.raises(LongLlavaError) as refusal:
        MISTAKES[mistake]()
    assert refusal.value.remedy
    assert batches == []


def test_an_adapter_that_is_no_number_is_named(tmp_path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({"x": torch.full((2, 2), float("nan"))}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(LongLlavaError, match="NaN or infinity"):
        load_model("demo", adapter=tmp_path, device="cpu")
