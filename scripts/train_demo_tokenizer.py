"""Train the demonstration model's tokenizer: about 2,000 pieces, built like the released one.

Byte-pair encoding with byte fallback, digits split, no space put before a text and none
squeezed, four control tokens as the only added ones, tags and role strings plain text. Reserved
pieces stand in the vocabulary that no merge reaches; the last of them stands for views.

    python scripts/train_demo_tokenizer.py [FOLDER]
"""

import json
import string
import sys
from pathlib import Path

from demo_corpus import sentences
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

FOLDER = Path(__file__).parents[1] / "longllava_domains/model/demo"
VOCAB_SIZE = 2000
RESERVED = 16
SEED, SENTENCES = 20240904, 20_000
SPACE = "\u2581"  # SentencePiece's visible space
CONTROL = {
    "pad_token": "<|pad|>",
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|unk|>",
}
# A word with its space, one digit, a run of signs, or a run of spaces. Newlines are in no
# sentence: they stay bytes, so no merge ever crosses one.
WORDS = Regex(rf"{SPACE}?[A-Za-z]+|[0-9]|{SPACE}?[^A-Za-z0-9{SPACE}]+|{SPACE}+")


def learn_merges(size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Return ``size`` pieces, characters first, and the merges that make the longer ones."""
    learner = Tokenizer(BPE())
    learner.normalizer = normalizers.Replace(" ", SPACE)
    learner.pre_tokenizer = pre_tokenizers.Split(WORDS, behavior="isolated")
    alphabet = [SPACE, *string.ascii_letters, *string.digits, *string.punctuation]
    trainer = BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(sentences(SEED, SENTENCES), trainer)
    learned = json.loads(learner.to_str())["model"]
    return list(learned["vocab"]), [tuple(pair) for pair in learned["merges"]]


def build() -> Tokenizer:
    """Train, and assemble the pipeline of the released tokenizer around the pieces."""
    fixed = [
        *CONTROL.values(),
        *(f"<|reserved_{number}|>" for number in range(RESERVED)),
        *(f"<0x{byte:02X}>" for byte in range(256)),
    ]
    learned, merges = learn_merges(VOCAB_SIZE - len(fixed))
    vocab = {piece: number for number, piece in enumerate([*fixed, *learned])}
    tokenizer = Tokenizer(
        BPE(vocab, merges, unk_token=CONTROL["unk_token"], fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    bos = CONTROL["bos_token"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, vocab[bos])]
    )
    tokenizer.add_special_tokens(
        [AddedToken(piece, normalized=False, special=True) for piece in CONTROL.values()]
    )
    return tokenizer


def main(folder: Path) -> None:
    """Write the tokenizer and the two small files that transformers reads beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        **CONTROL,
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    for name, content in (
        ("tokenizer_config.json", settings),
        ("special_tokens_map.json", CONTROL),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"{tokenizer.get_vocab_size()} pieces in {folder.name}/tokenizer.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
