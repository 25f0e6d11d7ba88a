"""VQA-RAD and PathVQA as they are shown and asked: one image, one question."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from longllava_domains.errors import InputError
from longllava_domains.evaluate import load_dataset
from longllava_domains.evaluate.medical_vqa.questions import (
    baseline_answers,
    is_yes_no,
    read_questions,
)
from longllava_domains.evaluate.predictions import Matching
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.pipelines.benchmark.material import (
    Item,
    Material,
    Question,
    first_rows,
    said,
    spell_options,
)
from longllava_domains.pipelines.benchmark.pictures import ONE_IMAGE, PictureShelf

_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "vqa-rad": ("images", "VQA_RAD Image Folder", "VQA_RAD_Image_Folder"),
    "path-vqa": ("images/test", "images/val", "images/train", "images"),
}
_YES_NO: Final = ("Yes", "No")


def medical_vqa_material(benchmark: str, folder: Path, limit: int | None) -> Material:
    """Read VQA-RAD or PathVQA from a folder, with its images.

    Args:
        benchmark: ``"vqa-rad"`` or ``"path-vqa"``.
        folder: As for `evaluate.load_dataset`, with the images where the archive has them.
        limit: Only the first so many questions; None for all.

    Raises:
        NotFoundError: The folder holds no layout that is known.
        InputError: The rows name no images.
    """
    whole = load_dataset(benchmark, folder)
    data = first_rows(whole, limit)
    # The truths beside themselves: every question that the scorers would score, in their order.
    truths = baseline_answers(data.references, ())["oracle"]
    found = read_questions(truths, data.references, Matching(), benchmark=benchmark)
    items = []
    for question in found.rows:
        if question.image is None:
            raise InputError(
                "The rows of the benchmark name no images.",
                remedy="Give a build whose rows do, with the images beside it.",
                code="benchmark.no_images",
            )
        facts = {
            "question": question.text,
            "options": question.options,
            "yes_no": is_yes_no(question.truth),
        }
        items.append(Item(question.id, question.image, question.image, facts))
    return Material(
        benchmark=benchmark,
        references=data,
        items=items,
        show=PictureShelf(folder, _FOLDERS[benchmark], "test"),
        questions=_questions,
        predict=said,
        views=ONE_IMAGE,
        identity=whole.hashes[whole.evaluated],
    )


def _questions(item: Item, protocol: Protocol) -> tuple[Question, ...]:
    """Return the question in the protocol's words; one for which it has none is asked as it is."""
    options = item.facts["options"]
    if not options and item.facts["yes_no"] and protocol.prompts.keys() == {"choice"}:
        options = _YES_NO
    kinds = ["choice"] if options else []
    kinds += ["closed" if item.facts["yes_no"] else "open", "any"]
    template = next((protocol.prompts[kind] for kind in kinds if kind in protocol.prompts), None)
    written = (template or "{question}").format(
        question=item.facts["question"], options=spell_options(options)
    )
    return (Question(written),)
