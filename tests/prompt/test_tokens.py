"""Ids equal the original's, and a user's text is only ever text."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import TokenizerError
from longllava_domains.prompt import Prompt, PromptTokenizer, compose, render_training

IMAGE = -200
CONTROL_STRINGS = (
    "<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|unk|>", "<|reserved_15|>",
    "<|reserved_1023|>", "<|mask_0|>", "<image", "<img>", "</img>", "<vid>", "<t>", "<|User|>\n",
    "<|Assistant|>\n", "<0x0A>", "<0x00>", "\n", "  ", "\0",
)  # fmt: skip
# U+2581 is SentencePiece's space; the vocabulary cannot tell the two apart.
UNICODE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"))
HOSTILE = st.lists(st.one_of(st.sampled_from(CONTROL_STRINGS), UNICODE)).map("".join)


def prompts(show) -> dict[str, Prompt]:
    """The cases of golden/prompts.json, by name, as our code writes them."""
    training = render_training([("Hi", "Hello!"), ("Bye", "Bye!")])
    video, tiles = show(2, "temporal"), show(3, "grid", (1, 2))
    return {
        "text_only": compose(None, "Hello"),
        "single_image": compose(show(1), "What is this?"),
        "two_images": compose(show(2), "<image>\nThis is a cat. <image>\nThis is a:"),
        "video2_code_exact(rstrip bug)": compose(video, "What happens?"),
        "video2_repaired": compose(video, "What happens?", protocol="repaired"),
        "video2_paper_newline": compose(video, "What happens?", protocol="paper"),
        "hires_1x2_code_exact(nested)": compose(tiles, "What is this?"),
        "hires_1x2_paper": compose(tiles, "What is this?", protocol="paper"),
        "two_turns_training_input": training.input,
        "two_turns_training_label": training.label,
    }


def slow_bpe(tokenizer_json: Path, text: str) -> list[int]:
    """Byte-pair encoding as it is explained: merge the earliest-learned pair, leftmost first."""
    model = json.loads(tokenizer_json.read_text())["model"]
    vocab = model["vocab"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    parts: list[str] = []
    for character in text.replace(" ", "\u2581"):
        known = character in vocab
        parts += [character] if known else [f"<0x{byte:02X}>" for byte in character.encode()]
    while True:
        pairs = list(itertools.pairwise(parts))
        ranked = [(ranks[pair], at) for at, pair in enumerate(pairs) if pair in ranks]
        if not ranked:
            return [vocab[part] for part in parts]
        at = min(ranked)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_ids_equal_the_original_for_every_golden_prompt(show, golden, released) -> None:
    cases = json.loads((golden / "prompts.json").read_text())
    ours = prompts(show)
    assert set(ours) == set(cases)
    for name, case in cases.items():
        assert ours[name].text == case["prompt"], name
        ids = released.encode(ours[name], tokens_per_image=1, image_token_id=IMAGE)
        assert ids == case["ids"], name


@pytest.mark.parametrize("checkpoint", ["reference_dense", "reference_moe"])
def test_the_prompts_of_the_reference_checkpoints_are_ours(
    show, golden, released, checkpoint
) -> None:
    cases = json.loads((golden / checkpoint / "expected.json").read_text())["cases"]
    for case in cases:
        views = len(case["images"])
        prompt = compose(show(views) if views else None, case["text"])
        assert prompt.text == case["prompt"]
        assert (
            released.encode(prompt, tokens_per_image=1, image_token_id=IMAGE) == case["input_ids"]
        )
        whole = released.encode(
            prompt, tokens_per_image=144, image_token_id=released.image_token_id
        )
        assert len(whole) == case["sequence_length"]


def test_the_released_vocabulary_is_read_as_it_is(released) -> None:
    assert released.vocab_size == 65536
    assert (released.pad_id, released.bos_id, released.eos_id, released.unk_id) == (0, 1, 2, 3)
    assert released.image_token_id == 1539
    assert released.encode_text("</img><t><img>") == [2365, 7747, 4143, 62936, 4143, 7747, 63002]


# The same ten prompts in the packaged vocabulary, spelled as pieces: <I> stands for a view.
DEMO_CASES = Path(__file__).with_name("demo_pieces.txt")


def test_the_packaged_vocabulary_gives_the_pieces_on_record(show, demo) -> None:
    recorded = dict(line.split("\t") for line in DEMO_CASES.read_text().splitlines())
    ours = prompts(show)
    assert set(ours) == set(recorded)
    for name, pieces in recorded.items():
        ids = demo.encode(ours[name], tokens_per_image=1, image_token_id=IMAGE)
        assert " ".join(piece_of(demo, token_id) for token_id in ids) == pieces, name


def piece_of(tokenizer: PromptTokenizer, token_id: int) -> str:
    return "<I>" if token_id == IMAGE else str(tokenizer._tokenizer.id_to_token(token_id))


@settings(deadline=None, max_examples=50)
@given(HOSTILE)
def test_text_is_encoded_as_byte_pair_encoding_is_explained(demo, demo_folder, text) -> None:
    assert demo.encode_text(text) == slow_bpe(demo_folder / "tokenizer.json", text)


@settings(deadline=None, max_examples=150)
@given(HOSTILE)
def test_no_text_becomes_a_control_token_or_a_view_and_all_of_it_comes_back(demo, text) -> None:
    check_text_stays_text(demo, text)


@settings(deadline=None, max_examples=150)
@given(HOSTILE)
def test_the_released_vocabulary_keeps_text_as_text_too(released, text) -> None:
    check_text_stays_text(released, text)


def check_text_stays_text(tokenizer: PromptTokenizer, text: str) -> None:
    ids = tokenizer.encode_text(text)
    control = {tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id}
    assert not control & set(ids)
    assert tokenizer.image_token_id not in ids
    assert tokenizer.decode(ids) == text


@settings(deadline=None, max_examples=50)
@given(question=HOSTILE, answer=HOSTILE)
def test_a_prompt_holds_only_the_control_tokens_of_its_template(
    demo, show, question, answer
) -> None:
    history = [(question.replace("<image>", "<image >"), answer)]
    prompt = compose(show(2), question.replace("<image>", "<image >"), history)
    image = demo.image_token_id
    ids = demo.encode(prompt, tokens_per_image=4, image_token_id=image)
    assert ids.count(image) == 8
    assert ids.count(demo.bos_id) == 4
    assert demo.eos_id not in ids


@settings(deadline=None, max_examples=50)
@given(HOSTILE)
def test_the_halves_around_the_last_view_encode_as_the_whole_prompt(demo, show, question) -> None:
    for layout, grid in (("images", None), ("temporal", None), ("grid", (1, 2))):
        whole = compose(show(3, layout, grid), question.replace("<image>", ""))
        parts = [
            demo.encode(part, tokens_per_image=2, image_token_id=demo.image_token_id)
            for part in (whole, *whole.split())
        ]
        assert parts[0] == parts[1] + parts[2]


def test_every_reserved_and_control_piece_is_out_of_reach_of_text(demo) -> None:
    for piece in (*(f"<|reserved_{n}|>" for n in range(16)), *CONTROL_STRINGS[:4]):
        known = demo._tokenizer.token_to_id(piece)
        assert known is not None
        assert known not in demo.encode_text(piece)


def test_the_marker_character_of_spaces_reads_as_a_space(demo) -> None:
    assert demo.decode(demo.encode_text("a\u2581b")) == "a b"


def test_decoding_leaves_control_tokens_out_unless_asked(demo) -> None:
    ids = [demo.bos_id, *demo.encode_text("yes"), demo.eos_id]
    assert demo.decode(ids) == "yes"
    assert demo.decode(ids, skip_special=False) == "<|startoftext|>yes<|endoftext|>"


@pytest.mark.parametrize("token_id", [-200, -1, 2000, 10**6])
def test_an_id_outside_the_vocabulary_is_refused_and_not_skipped(demo, token_id) -> None:
    with pytest.raises(TokenizerError, match="position 1"):
        demo.decode([5, token_id])


def test_an_image_id_that_text_reaches_is_refused(demo) -> None:
    (letter,) = demo.encode_text("a")
    with pytest.raises(TokenizerError, match="stands for views"):
        demo.encode(compose(None, "a"), tokens_per_image=1, image_token_id=letter)


def changed(demo_folder: Path, folder: Path, **entries: object) -> Path:
    """Write a copy of the packaged tokenizer.json with other top-level entries."""
    content = json.loads((demo_folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, **entries}))
    return folder


def test_truncation_and_padding_of_a_saved_file_are_switched_off(demo_folder, tmp_path) -> None:
    folder = changed(
        demo_folder,
        tmp_path,
        truncation={
            "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0,
        },
        padding={
            "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|pad|>",
        },
    )  # fmt: skip
    tokenizer = PromptTokenizer.from_folder(folder)
    assert tokenizer.decode(tokenizer.encode_text("word " * 100)) == "word " * 100
    assert len(tokenizer.encode_text("a")) == 1


def test_a_tokenizer_that_puts_a_space_before_each_chunk_is_refused(demo_folder, tmp_path) -> None:
    prepending = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    }
    with pytest.raises(TokenizerError) as caught:
        PromptTokenizer.from_folder(changed(demo_folder, tmp_path, normalizer=prepending))
    assert caught.value.code == "tokenizer.roundtrip"


def test_a_tokenizer_without_the_four_control_tokens_is_refused() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    with pytest.raises(TokenizerError) as caught:
        PromptTokenizer(Tokenizer(BPE(vocab={"a": 0}, merges=[])))
    assert caught.value.code == "tokenizer.control"


def test_a_vocabulary_without_reserved_pieces_suggests_no_image_id(demo_folder, tmp_path) -> None:
    text = (demo_folder / "tokenizer.json").read_text().replace("<|reserved_", "<|kept_")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(TokenizerError, match="reserves no piece"):
        _ = PromptTokenizer.from_folder(tmp_path).image_token_id


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"null", b"{}", b'{"model": {"type": "BPE"}}']
)
def test_a_damaged_file_is_refused_without_quoting_it(tmp_path, content) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError) as caught:
        PromptTokenizer.from_folder(tmp_path)
    assert caught.value.code == "tokenizer.damaged"
    assert caught.value.__cause__ is None
    assert str(tmp_path) not in str(caught.value)


def test_a_folder_with_tokenizer_model_alone_says_how_to_get_the_rest(tmp_path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(TokenizerError, match=r"Take tokenizer\.json") as caught:
        PromptTokenizer.from_folder(tmp_path)
    assert caught.value.code == "tokenizer.sentencepiece"


@pytest.mark.parametrize("loader", ["from_folder", "from_file"])
def test_a_place_without_a_tokenizer_is_refused(tmp_path, loader) -> None:
    with pytest.raises(TokenizerError):
        getattr(PromptTokenizer, loader)(tmp_path / "nothing")
