"""MultiPathQA and SlideBench as they are shown and asked: large fields of a slide seen together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from longllava_domains.errors import NotFoundError
from longllava_domains.evaluate import load_dataset
from longllava_domains.evaluate.predictions import Matching
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.slides.questions import baseline_choices, read_slide_questions
from longllava_domains.pathology import open_slide
from longllava_domains.pipelines.benchmark.material import (
    AskedQuestion,
    BenchmarkItem,
    Material,
    first_rows,
    said,
    spell_options,
)
from longllava_domains.pipelines.pathology.qa import tile_policy
from longllava_domains.units import short_hash
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import VisualSequence


def slides_material(
    benchmark: str, folder: Path, limit: int | None, view_format: ViewFormat
) -> Material:
    """Read the questions with their slides, which may lie anywhere below the folder.

    Args:
        benchmark: ``"multipathqa"`` or ``"slidebench"``.
        folder: With the table of questions.
        limit: Only the first N questions; None for all.
        view_format: Of the model that looks.

    Raises:
        NotFoundError: The table is not there.
        DamagedInputError: It cannot be read.
    """
    whole = load_dataset(benchmark, folder)
    data = first_rows(whole, limit)
    truths = baseline_choices(data.references)["oracle"]
    found = read_slide_questions(truths, data.references, Matching())
    prompts = [row.get("prompt") or row.get("question", row.get("AskedQuestion", ""))
               for row in data.references]  # fmt: skip
    items = [
        BenchmarkItem(question.id, question.slide, question.slide,
             {"prompt": str(prompt), "options": question.options})
        for question, prompt in zip(found.rows, prompts, strict=True)
    ]  # fmt: skip
    policy = tile_policy(view_format)
    return Material(
        benchmark=benchmark,
        references=data,
        items=items,
        show=_shown_by(folder, view_format),
        questions=_question,
        predict=said,
        views={
            "policy": policy.protocol,
            "view_px": policy.view_px,
            "max_views": policy.max_views,
        },
        identity=whole.hashes[whole.evaluated],
    )


def _shown_by(folder: Path, view_format: ViewFormat) -> Callable[[str], VisualSequence]:
    by_name = _slides_below(folder)

    def show(name: str) -> VisualSequence:
        """Return the views of a slide of the table."""
        path = by_name.get(Path(name).name)
        if path is None:
            raise NotFoundError(
                f"Slide {short_hash(name)} is not below the folder of the benchmark.",
                remedy="Put the slides below the folder, under the names of the table.",
                code="benchmark.slide",
            )
        with open_slide(path) as slide:
            return slide.to_sequence(tile_policy(view_format))

    return show


def _slides_below(folder: Path) -> Mapping[str, Path]:
    """Return every file and folder by its name, and by its name without what follows a dot."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        for name in (path.name, path.stem, path.name.partition(".")[0]):
            found.setdefault(name, path)
    return found


def _question(item: BenchmarkItem, protocol: Protocol) -> Sequence[AskedQuestion]:
    """Return the table's own prompt where it has one, else the question in the protocol's words."""
    prompt, options = item.facts["prompt"], item.facts["options"]
    spelled = (
        _numbered(options) if "number" in protocol.prompts["choice"] else spell_options(options)
    )
    if "{options}" in prompt:
        return [AskedQuestion(prompt.replace("{options}", spelled))]
    if not options:
        return [AskedQuestion(prompt)]
    return [AskedQuestion(protocol.prompts["choice"].format(question=prompt, options=spelled))]


def _numbered(options: Sequence[Any]) -> str:
    return "\n".join(f"{place}. {text}" for place, text in enumerate(options, 1))
