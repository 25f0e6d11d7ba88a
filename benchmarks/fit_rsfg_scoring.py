"""Score 50,000 invented answers of each remote sensing benchmark under all of its protocols.

    python benchmarks/fit_rsfg_scoring.py [--rows 50000] [--boxes 20]

Prints the seconds of each benchmark, by the clock and of the processor, both protocols together, from rows in memory to a result
with its table of rows. Detection truths hold up to `--boxes` boxes, and answers are half right.
With pycocoevalcap and Java installed, captions are scored with the plain tokenizer all the same:
the Java programs are not ours to measure.
"""

import argparse
import random
import time
from collections.abc import Callable

from longllava_domains.evaluate import score
from longllava_domains.evaluate.fit_rsfg import PROTOCOLS, differing_rows
from longllava_domains.evaluate.fit_rsfg.complex.labels import OBJECTS, RELATIONS

Texts = tuple[str, str]


def box(draw: random.Random) -> str:
    cx, cy = draw.uniform(5, 95), draw.uniform(5, 95)
    w, h, angle = draw.uniform(1, 25), draw.uniform(1, 25), draw.randint(1, 90)
    return f"{{<{cx:.2f}><{cy:.2f}><{w:.2f}><{h:.2f}>|<{angle}>}}"


def group(boxes: list[str]) -> str:
    return f"<rbox>({', '.join(boxes)})</rbox>"


def named(draw: random.Random, boxes: list[str]) -> str:
    return f"<ref>{draw.choice(OBJECTS)}</ref>{group(boxes)}"


def detection(draw: random.Random, most: int) -> Texts:
    name, count = draw.choice(OBJECTS), draw.randint(1, most)
    truths = [box(draw) for _ in range(count)]
    answers = [one if draw.random() < 0.5 else box(draw) for one in truths]
    told = f"There are {count} {name}s in the image: "
    return told + group(truths), told + group(answers)


def relations(draw: random.Random, most: int) -> Texts:
    said, meant = (draw.sample(RELATIONS, 2) for _ in range(2))
    return " ".join(f"<{one}>" for one in meant), " ".join(f"<{one}>" for one in said + meant[:1])


def reasoning(draw: random.Random, most: int) -> Texts:
    told = "subject: tank, object: dock, the relationship is <rel>{}</rel>"
    return told.format(draw.choice(RELATIONS[:3])), told.format(draw.choice(RELATIONS[:3]))


def objects(draw: random.Random, most: int) -> Texts:
    parts = [named(draw, [box(draw)]) for _ in range(4)]
    return "The categories: " + ", ".join(parts), "The categories: " + ", ".join(parts[::-1])


def region(draw: random.Random, most: int) -> Texts:
    parts = [
        f"It is <rel>{draw.choice(RELATIONS)}</rel> 1 {named(draw, [box(draw)])}. "
        for _ in range(4)
    ]
    head = "A clearly visible medium airplane on the right part of the image. "
    return head + "".join(parts), head + "".join(parts[:2])


def chip(draw: random.Random, most: int) -> Texts:
    parts = [
        f"1 {named(draw, [box(draw)])} is <rel>{draw.choice(RELATIONS)}</rel> 1 "
        f"{named(draw, [box(draw)])}"
        for _ in range(4)
    ]
    alone = f"There are 5 {named(draw, [box(draw) for _ in range(5)])}"
    return ". ".join([*parts, alone]), ". ".join([*parts[:2], alone])


def complex_row(draw: random.Random, number: int, most: int) -> dict[str, object]:
    writers = (detection, relations, reasoning, objects, region, chip)
    truth, answer = writers[number % 6](draw, most)
    return {"category": f"task{number % 6 + 1}", "ground_truth": truth, "answer": answer}


def caption_row(draw: random.Random, number: int, most: int) -> dict[str, object]:
    truth = [draw.choice(OBJECTS) for _ in range(40)]
    answer = [one if draw.random() < 0.7 else "ship" for one in truth]
    return {"ground_truth": " ".join(truth) + ".", "answer": " ".join(answer) + "."}


def short_row(draw: random.Random, number: int, most: int) -> dict[str, object]:
    truth, answer = draw.choice("ABCDE"), draw.choice(("A", "B.", "b", "yes", ""))
    category = ("exist", "object", "subject", "relationship")[number % 4]
    question = "Answer with all applicable classes separated by commas."
    return {
        "ground_truth": truth, "answer": answer, "category": category, "question": question,
    }  # fmt: skip


def hrben_row(draw: random.Random, number: int, most: int) -> dict[str, object]:
    category = ("presence", "comp")[number % 2]
    return {**short_row(draw, number, most), "category": category}


Writer = Callable[[random.Random, int, int], dict[str, object]]
WRITERS: dict[str, Writer] = {
    "fit-rsfg/complex": complex_row,
    "fit-rsfg/image-caption": caption_row,
    "fit-rsfg/region-caption": caption_row,
    "hrben": hrben_row,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--boxes", type=int, default=20)
    options = parser.parse_args()
    for benchmark in dict.fromkeys(each.benchmark for each in PROTOCOLS):
        draw = random.Random(0)  # noqa: S311
        write = WRITERS.get(benchmark, short_row)
        rows = [
            {"question_id": number, "image_id": str(number // 8)}
            | write(draw, number, options.boxes)
            for number in range(options.rows)
        ]
        settings = {"tokenizer": "plain"} if benchmark.endswith("-caption") else {}
        start, busy = time.perf_counter(), time.process_time()
        official, strict = (
            score(benchmark, rows, protocol=protocol, **settings)
            for protocol in ("official", "strict")
        )
        different = len(differing_rows(official, strict))
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        print(
            f"{benchmark:24} {options.rows} rows, 2 protocols: {seconds:5.1f} s "
            f"({busy:5.1f} s of processor); {different} rows differ",
            flush=True,
        )


if __name__ == "__main__":
    main()
