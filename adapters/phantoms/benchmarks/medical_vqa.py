"""VQA-RAD as MEVF prepared it, and PathVQA as its authors archive it, with drawn pictures."""

import json
import pickle
from pathlib import Path
from typing import Any

from longllava_domains.adapters.phantoms.benchmarks.pictures import Thing, picture, save, things


def write_vqa_rad(folder: Path, size: int) -> None:
    """Write ``train.json``, ``test.json`` and ``images/``: three questions for each image."""
    for split, first in (("train", 1000), ("test", 0)):
        rows = []
        for number, (thing, left) in enumerate(things(size)):
            name = f"synpic{first + number}.jpg"
            save(picture(thing, on_the_left=left, seed=first + number), folder / "images" / name)
            for place, (question, answer, closed) in enumerate(_questions(thing, left)):
                rows.append(
                    {
                        "qid": first * 10 + number * 3 + place,
                        "image_name": name,
                        "image_organ": "CHEST",
                        "answer": answer,
                        "answer_type": "CLOSED" if closed else "OPEN",
                        "question_type": "PRES" if closed else "POS",
                        "question": question,
                        "phrase_type": "freeform",
                    }
                )
        (folder / f"{split}.json").write_text(json.dumps(rows))


def write_path_vqa(folder: Path, size: int) -> None:
    """Write ``qas/*_vqa.pkl`` and ``images/*/*.jpg``: three questions for each figure."""
    (folder / "qas").mkdir()
    for shift, split in enumerate(("train", "val", "test")):
        rows: list[dict[str, Any]] = []
        for number, (thing, left) in enumerate(things(size)):
            name = f"{split}_{number:04d}"
            image = picture(thing, on_the_left=left, seed=100 * shift + number)
            save(image, folder / "images" / split / f"{name}.jpg")
            for question, answer, closed in _questions(thing, left):
                rows.append(
                    {
                        "question_id": len(rows),
                        "img_id": name,
                        "sent": question,
                        "label": {answer: 1},
                        "answer_type": "yes/no" if closed else "other",
                        "question_type": "is" if closed else "where",
                    }
                )
        (folder / "qas" / f"{split}_vqa.pkl").write_bytes(pickle.dumps(rows))


def _questions(thing: Thing, left: bool) -> tuple[tuple[str, str, bool], ...]:
    return (
        ("Is there a disc?", "yes" if thing == "disc" else "no", True),
        ("Is it on the left of the picture?", "yes" if left else "no", True),
        ("Where does it lie?", "left side" if left else "right side", False),
    )
