"""FIT-RSFG, FIT-RSRC and HRBEN as they are shown and asked: one chip, the row's own prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from longllava_domains.evaluate import load_dataset
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.pipelines.benchmark.asking import Reply
from longllava_domains.pipelines.benchmark.material import Item, Material, Question, first_rows
from longllava_domains.pipelines.benchmark.pictures import ONE_IMAGE, PictureShelf

_FOLDERS: Final = (
    "FIT-RS_Image/imgv2_split_512_100_vaild",  # the release's own spelling
    "imgv2_split_512_100_vaild",
    "FIT-RSRC/FIT-RSRC_Images",
    "FIT-RSRC_Images",
    "Images",
    "images",
    "Data",
)


def fit_rsfg_material(benchmark: str, folder: Path, limit: int | None) -> Material:
    """Read the questions of one task with its chips.

    Args:
        benchmark: One of the remote sensing benchmarks.
        folder: The release's root.
        limit: Only the first so many questions; None for all.

    Raises:
        NotFoundError: The file of that task is not there.
        DamagedInputError: Rows lack a field.
    """
    whole = load_dataset(benchmark, folder)
    data = first_rows(whole, limit)
    items = [
        Item(
            str(row["question_id"]), str(row["image_id"]), str(row["image_id"]),
            {"question": str(row["question"])},
        )
        for row in data.references
    ]  # fmt: skip
    return Material(
        benchmark=benchmark,
        references=data,
        items=items,
        show=PictureShelf(folder, _FOLDERS, "test"),
        questions=_question,
        predict=_answer,
        views=ONE_IMAGE,
        identity=whole.hashes[whole.evaluated],
    )


def _question(item: Item, protocol: Protocol) -> list[Question]:
    return [Question(protocol.prompts["question"].format(question=item.facts["question"]))]


def _answer(item: Item, replies: Sequence[Reply]) -> dict[str, Any]:
    (reply,) = replies
    return {"question_id": item.id, "answer": reply.text}
