"""Training data in each layout exactly as it is published, a few rows of invented content."""

import csv
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A coarse random image."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size).convert(mode)


def image_bytes(seed: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    picture(seed, mode=mode).save(file, kind)
    return file.getvalue()


def write_images(folder: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)


def turns(*spoken: str) -> list[dict[str, str]]:
    """Turns of a conversation, the human first."""
    sides = ("human", "gpt")
    return [{"from": sides[n % 2], "value": text} for n, text in enumerate(spoken)]


def write_pubmedvision(folder: Path, rows: int = 6) -> Path:
    """Both configurations; rows have one to three images and one or two rounds."""
    folder.mkdir(parents=True, exist_ok=True)
    modalities = [
        "Digital Photography",
        "CT(Computed Tomography)",
        "MR (Mag-netic Resonance Imaging)",
    ]
    for part, name in enumerate(
        ("PubMedVision_Alignment_VQA.json", "PubMedVision_InstructionTuning_VQA.json")
    ):
        listed = []
        for number in range(rows):
            shown = [f"images/pmc_{part}{number}_{index}.jpg" for index in range(1 + number % 3)]
            write_images(folder, shown)
            spoken = [f"What is shown in figure {number}?", f"Figure {number} shows a lung."]
            if number % 2:
                spoken += ["Is it enlarged?", "No, its size is normal."]
            listed.append(
                {
                    "id": f"alignment_{part}_{number}",
                    "image": shown,
                    "conversations": turns(*spoken),
                    "modality": modalities[number % 3],
                    "body_part": "Chest",
                }
            )
        (folder / name).write_text(json.dumps(listed, ensure_ascii=False, indent=1))
    return folder


def write_fit_rs(folder: Path, rows: int = 6) -> Path:
    """The sampled file, one per-task file, and the chips."""
    chips = folder / "FIT-RS_Image" / "imgv2_split_512_100_vaild"
    names = [f"{100 + n:04d}__512__{412 * n}___{824 * n}.png" for n in range(rows)]
    write_images(chips, names)
    instruction = folder / "FIT-RS_Instruction"
    instruction.mkdir(parents=True)

    def row(number: int, question: str, answer: str) -> dict[str, Any]:
        return {
            "id": str(number),
            "image": names[number],
            "conversations": turns(f"<image>\n{question}", answer),
        }

    sampled = [row(n, "How many ships are there?", f"There are {n} ships.") for n in range(rows)]
    task = [row(n, "Is there a crane? Answer yes or no.", "yes") for n in range(rows)]
    (instruction / "FIT-RS-train-sampled-381k(subset of 1415k).json").write_text(
        json.dumps(sampled)
    )
    (instruction / "train_instruction_vqa_400k.json").write_text(json.dumps(task))
    return folder


def write_llava(folder: Path, rows: int = 4) -> Path:
    """A JSONL of one's own: images, text alone, and two images in one question."""
    write_images(folder, [f"pictures/{n}.png" for n in range(rows + 1)])
    lines = [
        {
            "id": n,
            "image": f"pictures/{n}.png",
            "conversations": turns("<image>\nWhat?", f"It is {n}."),
        }
        for n in range(rows)
    ]
    lines.append({"id": "text", "conversations": turns("Say hello.", "Hello.")})
    two = ["pictures/0.png", f"pictures/{rows}.png"]
    lines.append(
        {"id": "two", "image": two, "conversations": turns("<image> or <image>?", "The first.")}
    )
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_sharegpt(folder: Path) -> Path:
    """A LLaMA-Factory data folder with two entries, one with tags of its own."""
    write_images(folder, ["a.jpg", "b.jpg"])
    plain = [{"conversations": turns("<image>What is it?", "A bridge."), "images": ["a.jpg"]}]
    messages = [
        {"role": "user", "content": "<image>And this?"},
        {"role": "assistant", "content": "A ship."},
    ]
    info = {
        "plain": {
            "file_name": "plain.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images"},
        },
        "tagged": {
            "file_name": "tagged.json",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "images": "images"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
            },
        },
        "alpaca": {"file_name": "plain.json"},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "plain.json").write_text(json.dumps(plain))
    (folder / "tagged.json").write_text(json.dumps([{"messages": messages, "images": ["b.jpg"]}]))
    return folder


def vqa_rad_row(number: int, name: str, answer: Any, phrase: str = "freeform") -> dict[str, Any]:
    return {
        "qid": number,
        "image_name": name,
        "image_organ": "CHEST",
        "answer": answer,
        "answer_type": "CLOSED " if number % 2 else "OPEN",
        "question_type": "PRES",
        "question": f"Is finding {number} present?",
        "phrase_type": phrase,
    }


def write_vqa_rad(folder: Path, layout: str) -> Path:
    """One of the three layouts; the second test row repeats a training row's image and text."""
    names = [f"synpic{n}.jpg" for n in range(4)]
    train = [vqa_rad_row(n, names[n % 3], 3 if n == 2 else "Yes") for n in range(5)]
    test = [
        vqa_rad_row(9, names[0], "no", "test_freeform"),
        {**train[1], "phrase_type": "test_para"},
    ]
    if layout == "hub":
        for split, rows in (("train", train), ("test", test)):
            write_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", rows, names)
        return folder
    public = layout == "public"
    write_images(folder / ("VQA_RAD Image Folder" if public else "images"), names)
    if public:
        (folder / "VQA_RAD_Dataset_Public.json").write_text(json.dumps(train + test))
    else:
        (folder / "trainset.json").write_text(json.dumps(train))
        (folder / "testset.json").write_text(json.dumps(test))
    return folder


def write_parquet(path: Path, rows: list[dict[str, Any]], names: list[str]) -> None:
    """A Parquet part of a Hugging Face data set: image, question, answer."""
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    cells = {
        "image": [
            {"bytes": image_bytes(names.index(row["image_name"])), "path": None} for row in rows
        ],
        "question": [row["question"] for row in rows],
        "answer": [str(row["answer"]) for row in rows],
    }
    parquet.write_table(pyarrow.table(cells), path, row_group_size=2)


def write_path_vqa(folder: Path) -> Path:
    """The authors' pickles, with one CMYK figure."""
    (folder / "qas").mkdir(parents=True)
    figures = folder / "images" / "train"
    write_images(figures, ["train_0000.jpg"])
    picture(7, mode="CMYK").save(figures / "train_0001.jpg")
    rows = [
        {
            "question_id": n,
            "img_id": f"train_000{n}",
            "sent": "what is present?",
            "label": {"kidney": 1} if n else {"yes": 1},
            "answer_type": "other" if n else "yes/no",
            "question_type": "what",
        }
        for n in range(2)
    ]
    (folder / "qas" / "train_vqa.pkl").write_bytes(pickle.dumps(rows))
    return folder


METADATA = ("VolumeName", "RescaleIntercept", "RescaleSlope", "XYSpacing", "ZSpacing")


def write_ct_rate(folder: Path, split: str = "valid") -> Path:
    """Two volumes of one patient and one of another, reports, metadata, RadGenome's sentences."""
    from nifti_builder import VALUES, image, save

    names = [f"{split}_1_a_1.nii.gz", f"{split}_1_a_2.nii.gz", f"{split}_2_a_1.nii.gz"]
    long = "validation" if split == "valid" else split
    root = folder / "dataset"
    for name in names:
        patient, scan = "_".join(name.split("_")[:2]), "_".join(name.split("_")[:3])
        path = root / split / patient / scan / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path.parent, image((VALUES + 1024).astype(np.int16)), name)
    reports = [
        (names[0], "Clear lungs.", "No acute finding."),
        (names[1], "Clear lungs.", "Not given."),
        (names[2], "Not given.", "Not given."),
    ]
    fields = (
        "VolumeName",
        "ClinicalInformation_EN",
        "Technique_EN",
        "Findings_EN",
        "Impressions_EN",
    )
    rows = [(name, "Not given.", "Chest CT", found, said) for name, found, said in reports]
    write_csv(root / "radiology_text_reports" / f"{long}_reports.csv", fields, rows)
    scans = [(name, -1024, 1, "[9.0, 9.0]", 25.0) for name in names]
    write_csv(root / "metadata" / f"{long}_metadata.csv", METADATA, scans)
    regions = [
        (names[0], "heart", "The heart is normal."),
        (names[0], "heart", "No effusion."),
        (names[0], "", "Normal."),
    ]
    place = folder / "radgenome_files" / f"{long}_region_report.csv"
    write_csv(place, ("Volumename", "Anatomy", "Sentence"), regions)
    return folder


def write_csv(path: Path, fields: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        writer.writerows(rows)
