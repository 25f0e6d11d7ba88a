"""The packaged tokenizer is what its script makes, and is built like the released one."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/train_demo_tokenizer.py"


def test_training_again_gives_the_packaged_files(demo_folder, tmp_path) -> None:
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=True, capture_output=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        again, packaged = (
            json.loads((folder / name).read_text()) for folder in (tmp_path, demo_folder)
        )
        assert again == packaged, name


def test_the_packaged_pipeline_is_that_of_the_released_tokenizer(demo_folder, golden) -> None:
    ours, theirs = (
        json.loads((folder / "tokenizer.json").read_text())
        for folder in (demo_folder, golden / "tokenizer")
    )
    for part in ("added_tokens", "pre_tokenizer", "decoder", "truncation", "padding"):
        assert ours[part] == theirs[part], part
    for setting in ("unk_token", "fuse_unk", "byte_fallback", "ignore_merges", "dropout"):
        assert ours["model"][setting] == theirs["model"][setting], setting


def test_the_packaged_vocabulary_has_two_thousand_pieces_and_splits_digits(demo) -> None:
    assert demo.vocab_size == 2000
    assert (demo.pad_id, demo.bos_id, demo.eos_id, demo.unk_id) == (0, 1, 2, 3)
    assert len(demo.encode_text("12.50")) == 5


def test_words_of_the_three_fields_cost_less_than_half_their_letters(demo) -> None:
    for text in (
        "pleural effusion",
        "invasive ductal carcinoma",
        "storage tank",
        "<rel>over</rel>",
    ):
        assert 2 * len(demo.encode_text(text)) < len(text)
