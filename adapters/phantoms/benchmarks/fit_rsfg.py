"""FIT-RSFG, FIT-RSRC and HRBEN with drawn chips, under the files' and folders' own names."""

import json
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.phantoms.benchmarks.pictures import picture, save, things

_BENCH: Final = "FIT-RSFG/FIT-RSFG-Bench"
_IMAGES: Final = "FIT-RS_Image/imgv2_split_512_100_vaild"
_SHORT: Final = "Answer in one word or a short phrase."
_LIST: Final = "Answer with all applicable classes separated by commas."
FIT_TASKS: Final = {
    "fit-rsfg/vqa": f"{_BENCH}/test_FITRS_vqa_eval.jsonl",
    "fit-rsfg/classification": f"{_BENCH}/test_FITRS_imageclassify_eval.jsonl",
    "fit-rsfg/image-caption": f"{_BENCH}/test_FITRS_image_caption_eval.jsonl",
    "fit-rsfg/region-caption": f"{_BENCH}/test_FITRS_region_caption_eval.jsonl",
    "fit-rsfg/complex": f"{_BENCH}/test_FITRS_complex_comprehension_eval.jsonl",
    "fit-rsrc": "FIT-RSRC/FIT-RSRC_Questions_2k.jsonl",
    "hrben": "FIT-RSFG/Eval/HRBEN",
}
_RSRC_CATEGORIES: Final = ("relationship", "object", "subject", "exist")
Row = dict[str, Any]


def write_fit_rsfg(benchmark: str, folder: Path, size: int) -> None:
    """Write one task: a disc is a ship, a square an airplane."""
    rows: list[Row] = []
    for number, (thing, left) in enumerate(things(size)):
        name = f"{number:04d}__512__0___0.png"
        place = "FIT-RSRC/FIT-RSRC_Images" if benchmark == "fit-rsrc" else _IMAGES
        place = "Data" if benchmark == "hrben" else place
        save(picture(thing, on_the_left=left, seed=number), folder / place / name)
        kind = "ship" if thing == "disc" else "airplane"
        asked = (
            _turns(number, kind, left) if benchmark == "fit-rsrc" else _rows(benchmark, kind, left)
        )
        rows += [{"image": name, **row} for row in asked]
    rows = [{"question_id": number, **row} for number, row in enumerate(rows)]
    if benchmark == "hrben":
        _write_hrben(folder / FIT_TASKS[benchmark], rows)
        return
    path = folder / FIT_TASKS[benchmark]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _rows(benchmark: str, kind: str, left: bool) -> list[Row]:
    side = "left" if left else "right"
    if benchmark in ("fit-rsfg/vqa", "hrben"):
        return [
            {"text": f"Is there a {kind}?", "category": "presence", "ground_truth": "yes"},
            {"text": "Is it on the left?", "category": "comp", "ground_truth": "yes" if left else "no"},
        ]  # fmt: skip
    if benchmark == "fit-rsfg/classification":
        return [
            {"text": f"What is here? {_SHORT}", "ground_truth": kind},
            {"text": f"What is here? {_LIST}", "ground_truth": f"{kind}, {side} half"},
        ]
    if benchmark != "fit-rsfg/complex":
        truth = f"A fully visible medium {kind} on the {side} part of the image."
        return [{"question": "Describe it.", "ground_truth": truth}]
    centre = 27 if left else 73
    box = f"{{<{centre:.2f}><50.00><28.00><28.00>|<90>}}"
    stated = f"subject: {kind}, object: {kind}, the relationship is <rel>co-storage with</rel>"
    graph = f"1 <ref>{kind}</ref><rbox>({box})</rbox> is <rel>co-storage with</rel> 1 <ref>{kind}</ref><rbox>({box})</rbox>"
    parked = (
        f"A fully visible medium {kind} on the {side} part of the image. "
        f"It is <rel>co-storage with</rel> 1 <ref>{kind}</ref> <rbox>({box})</rbox>. "
    )
    truths = {
        "task1": f"There is 1 {kind} in the image: <rbox>({box})</rbox>",
        "task2": "<co-storage with>",
        "task3": stated,
        "task4": f"<rbox>({box})</rbox>",
        "task5": parked,
        "task6": graph,
    }
    return [
        {"question": f"[{task}] What is in the image?", "category": task, "ground_truth": truth}
        for task, truth in truths.items()
    ]


def _turns(number: int, kind: str, left: bool) -> list[Row]:
    """Ask one question once for each order of its options, all under one id, as the release does."""
    options = ["ship", "airplane", "stadium", "left half" if left else "right half"]
    category = _RSRC_CATEGORIES[number % len(_RSRC_CATEGORIES)]
    rows = []
    for turn in range(len(options)):
        put = options[turn:] + options[:turn]
        told = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", put, strict=True))
        rows.append({"question_id": number, "text": f"What is in the image?\n{told}",
                     "category": category, "ground_truth": "ABCD"[put.index(kind)]})  # fmt: skip
    return rows


def _write_hrben(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    questions = [
        {"id": row["question_id"], "img_id": row["image"], "question": row["text"],
         "type": row["category"], "active": True}
        for row in rows
    ]  # fmt: skip
    answers = [
        {"id": row["question_id"], "answer": row["ground_truth"], "active": True} for row in rows
    ]
    for kind, content in (("questions", questions), ("answers", answers)):
        path = folder / f"USGS_split_test_phili_{kind}.json"
        path.write_text(json.dumps({kind: content}))
    shown = [{k: row[k] for k in ("question_id", "image", "text")} for row in rows]
    (folder / "hrben.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shown))
