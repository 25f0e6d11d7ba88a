"""`MedicalVQA`: questions about flat pictures, as VQA-RAD and PathVQA ask them."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked, require_questions
from longllava_domains.errors import PolicyError
from longllava_domains.formats.picture import read_picture
from longllava_domains.load_report import LoadReport
from longllava_domains.pipelines.evidence_notice import ON_PICTURES, no_evidence, with_notices
from longllava_domains.pipelines.loading import AsksAModel
from longllava_domains.provenance import Provenance
from longllava_domains.units import content_hash
from longllava_domains.vision_language import Sampling, VisionLanguageModel
from longllava_domains.visual import ImagePlace, View, VisualSequence

Picture = str | os.PathLike[str] | Image.Image | np.ndarray
Pictures = Picture | Sequence[Picture]


class MedicalVQA(AsksAModel):
    """Ask about flat pictures: PNG, JPEG, or what is already decoded. For research use only.

    One picture is one view, at its own size; the model pads it to a square and resizes it, as the
    original does. A series, a slide or a scene has a pipeline of its own, which proves scale and
    units; a flat picture has neither, so no answer about it is a measurement.

    Args:
        model: A loaded model.

    Example:
        >>> from longllava_domains import pipelines
        >>> vqa = pipelines.MedicalVQA.from_pretrained("demo")  # doctest: +SKIP
        >>> vqa("figure.png", "What is shown?").text  # doctest: +SKIP
    """

    @checked
    def __init__(self, model: VisionLanguageModel) -> None:
        super().__init__(model)

    @checked
    def __call__(self, pictures: Pictures, question: str, *, max_new_tokens: int = 256) -> Answer:
        """Ask one question about a picture, or about several shown one after the other.

        Args:
            pictures: A path, a PIL image, or uint8 (rows, columns) or (rows, columns, 3); or a list
                of them.
            question: Sent as it stands.
            max_new_tokens: Longest answer.

        Raises:
            InputError: A picture cannot be read, or is not of 8 bits.
            PolicyError: No picture.
            MemoryBudgetError: The views do not fit in the memory that is free.
            ModelError: The model cannot run on them.
        """
        (answer,) = self.ask(pictures, [question], max_new_tokens=max_new_tokens)
        return answer

    @checked
    def ask(
        self, pictures: Pictures, questions: Iterable[str], *, max_new_tokens: int = 256
    ) -> list[Answer]:
        """Ask several questions, each for itself; the model looks only once.

        Arguments and errors as in `__call__`.
        """
        asked = require_questions(questions)
        return self.ask_shown(picture_sequence(pictures), asked, max_new_tokens=max_new_tokens)

    def ask_shown(
        self,
        sequence: VisualSequence,
        questions: Iterable[str],
        *,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
    ) -> list[Answer]:
        """Ask about pictures that are views already, see `picture_sequence`.

        Raises:
            MemoryBudgetError: The views do not fit in the memory that is free.
            ModelError: The model cannot run on them.
        """
        answers = []
        with self.model.open(sequence) as session:
            for question in questions:
                with session.fork() as fork:
                    answers.append(
                        fork.ask(question, max_new_tokens=max_new_tokens, sampling=sampling)
                    )
        return [
            with_notices(each, no_evidence(each.provenance, published=ON_PICTURES))
            for each in answers
        ]


def picture_sequence(pictures: Pictures) -> VisualSequence:
    """Return flat pictures as views, each at its own size.

    Raises:
        InputError: A picture cannot be read, or is not of 8 bits.
        PolicyError: No picture.
    """
    given: list[Any] = list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]
    if not given:
        raise PolicyError(
            "There is no picture to look at.", remedy="Pass one at least.", code="picture.none"
        )
    codes: Counter[str] = Counter()
    views = []
    for picture in given:
        pixels, met = _pixels(picture)
        codes.update(met)
        views.append(View(pixels, ImagePlace(pixels.shape[1], pixels.shape[0])))
    made = Provenance(
        domain="image",
        source_kind="picture",
        input_sha256=content_hash([np.ascontiguousarray(view.pixels).tobytes() for view in views]),
        load_report=LoadReport("picture", codes).to_json(),
        layout="images",
        views=len(views),
    )
    return VisualSequence(tuple(views), provenance=made)


def _pixels(picture: Picture) -> tuple[np.ndarray, dict[str, int]]:
    if isinstance(picture, (str, os.PathLike)):
        return read_picture(os.fspath(picture))
    if isinstance(picture, Image.Image) and picture.mode in ("1", "L", "P", "RGB"):
        return np.asarray(picture.convert("RGB")), {"picture.decoded": 1}
    array = np.asarray(picture)
    if array.dtype == np.uint8 and array.ndim == 2 and array.size:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise PolicyError(
            f"A picture is uint8 in grey or RGB; found {array.dtype} {array.shape}.",
            remedy="Convert it first: how 16 bits or transparency are shown is not for us to guess.",
            code="picture.array",
        )
    return array, {"picture.decoded": 1}
