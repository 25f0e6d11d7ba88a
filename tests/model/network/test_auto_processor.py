"""`AutoProcessor` and pipelines give the ids of our own prompts, and say what they cannot take."""

from pathlib import Path

import numpy as np
import pytest
import tiny_released
import torch
from jinja2 import Environment
from PIL import Image
from tiny_longllava import DEMO
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer, pipeline

from longllava_domains.errors import LongLlavaError, PromptError, TokenizerError
from longllava_domains.model import LongLlavaProcessor, load_model
from longllava_domains.model.network.auto_processor import CHAT_TEMPLATE
from longllava_domains.prompt import compose_turns, encode_training, render_training
from longllava_domains.visual import SlicePlace, View, VisualSequence

MODEL = load_model("demo", device="cpu", dtype="float32")
PICTURE = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8), "RGB"
)
USER = {
    "role": "user",
    "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "What  is\nthis?"}],
}
CHAT = [USER, {"role": "assistant", "content": "A lung."}, {"role": "user", "content": "Sure?"}]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "demo"
    MODEL.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def processor(saved: Path) -> LongLlavaProcessor:
    found = AutoProcessor.from_pretrained(saved)
    assert type(found) is LongLlavaProcessor
    return found


def sequence() -> VisualSequence:
    return VisualSequence((View(np.asarray(PICTURE), SlicePlace(0, 0.0, 1.0, "lung")),))


def test_a_chat_has_the_ids_and_pixels_of_our_own_prompt(processor: LongLlavaProcessor) -> None:
    inputs = processor.apply_chat_template(CHAT, tokenize=True, return_dict=True)
    own = MODEL.processor(sequence(), "Sure?", [("<image>\nWhat  is\nthis?", "A lung.")])
    assert inputs["input_ids"].tolist() == own.input_ids.tolist()
    torch.testing.assert_close(inputs["pixel_values"], own.pixel_values, rtol=0, atol=0)
    text = processor.apply_chat_template(CHAT)
    assert text == own.prompt.text
    again = processor(text=text, images=PICTURE)
    assert again["input_ids"].tolist() == own.input_ids.tolist()
    assert again["attention_mask"].all()


def test_the_template_that_is_shown_writes_the_same_text(processor: LongLlavaProcessor) -> None:
    environment = Environment(keep_trailing_newline=True)  # noqa: S701 - no HTML
    shown = environment.from_string(CHAT_TEMPLATE).render(messages=CHAT)
    assert shown == processor.apply_chat_template(CHAT)
    assert processor.chat_template == CHAT_TEMPLATE


def test_a_batch_is_padded_on_the_left(processor: LongLlavaProcessor) -> None:
    chats = [[{"role": "user", "content": "Hi"}], CHAT]
    inputs = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
    alone = processor.apply_chat_template(chats[0], tokenize=True)
    assert inputs["attention_mask"].sum(1).tolist()[0] == alone.shape[1]
    assert inputs["input_ids"][0, -alone.shape[1] :].tolist() == alone[0].tolist()
    four = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    found = MODEL.network.generate(**inputs, **four)
    expected = MODEL.network.generate(alone, **four)
    assert found[0, -4:].tolist() == expected[0, -4:].tolist()


@pytest.mark.parametrize("kind", ["path", "loaded"])
def test_the_pipeline_answers_as_the_session_does(saved: Path, processor, kind: str, capfd) -> None:
    if kind == "path":
        pipe = pipeline("image-text-to-text", model=str(saved), dtype="float32", device="cpu")
    else:
        pipe = pipeline("image-text-to-text", model=MODEL.network, processor=processor)
    said = pipe(text=[USER], max_new_tokens=8, do_sample=False, return_full_text=False)
    expected = MODEL.answer(sequence(), "<image>\nWhat  is\nthis?", max_new_tokens=8)
    generated = MODEL.processor.tokenizer.decode(expected.token_ids)
    assert said[0]["generated_text"] == generated
    assert "not supported" not in capfd.readouterr().err


def test_what_was_saved_loads_everywhere(saved: Path) -> None:
    again = load_model(saved, device="cpu", dtype="float32")
    asked = [model.answer(None, "Hi", max_new_tokens=4).token_ids for model in (MODEL, again)]
    assert asked[0] == asked[1]
    network = AutoModelForImageTextToText.from_pretrained(saved, dtype=torch.float32)
    ids = torch.tensor([[1, 5, 6]])
    torch.testing.assert_close(network(ids).logits, MODEL.network(ids).logits, rtol=0, atol=1e-6)
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert tokenizer.encode("</img>\nWhat", add_special_tokens=False) == (
        MODEL.processor.tokenizer.encode_text("</img>\nWhat")
    )


def test_a_network_in_8_bits_is_saved_with_its_processor(tmp_path: Path) -> None:
    model = load_model("demo", device="cpu", quantization="int8")
    model.save_pretrained(tmp_path / "int8")
    assert load_model(tmp_path / "int8", device="cpu").network.config.quantization == "int8"
    assert type(AutoProcessor.from_pretrained(tmp_path / "int8")) is LongLlavaProcessor


def test_a_released_folder_gives_our_processor_not_a_bare_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_released.write_released(folder, experts=1)
    with pytest.raises((TokenizerError, OSError)):
        AutoProcessor.from_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((DEMO / "tokenizer.json").read_bytes())
    (folder / "tokenizer_config.json").write_bytes((DEMO / "tokenizer_config.json").read_bytes())
    found = AutoProcessor.from_pretrained(folder)
    assert type(found) is LongLlavaProcessor
    ids = found.apply_chat_template([USER], tokenize=True)[0].tolist()
    prompt = compose_turns(["<image>\nWhat  is\nthis?"], [], 1)
    own = MODEL.processor.tokenizer.encode(prompt, tokens_per_image=4, image_token_id=1539)
    assert ids == own


def test_a_training_example_is_the_originals(processor: LongLlavaProcessor) -> None:
    example = processor.training_example(CHAT[:2])
    config = MODEL.network.config
    expected = encode_training(
        render_training([("<image>\nWhat  is\nthis?", "A lung.")], 1),
        MODEL.processor.tokenizer,
        tokens_per_image=config.tokens_per_image,
        image_token_id=config.image_token_id,
    )
    assert example["input_ids"].tolist() == expected.input_ids
    assert example["labels"].tolist() == expected.labels
    assert example["pixel_values"].shape == (1, 3, config.view_px, config.view_px)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "You are kind."}],
        [{"role": "assistant", "content": "Hi"}],
        [USER, USER],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "<|endoftext|>"}],
        [{"role": "user", "content": "What is <image>?"}],
        [{"role": "user", "content": [{"type": "video", "video": "x.mp4"}]}],
        [{"role": "user", "content": [{"type": "image"}]}],
        [{"role": "user", "content": [{"type": "image", "path": "absent.png"}]}],
        [USER, {"role": "assistant", "content": [{"type": "image", "image": PICTURE}]}],
    ],
)
def test_messages_that_make_no_prompt_are_refused(processor, messages: list) -> None:
    with pytest.raises(LongLlavaError) as refusal:
        processor.apply_chat_template(messages, tokenize=True)
    assert "absent" not in str(refusal.value)


def test_text_and_images_of_different_number_are_refused(processor) -> None:
    with pytest.raises(PromptError, match="places 0 images"):
        processor(text="What is this?", images=PICTURE)
    with pytest.raises(PromptError, match="no text"):
        processor(text=[b"What?"])
    with pytest.raises(PromptError, match="cannot be replaced"):
        processor.apply_chat_template(CHAT, chat_template="{{ messages }}")
