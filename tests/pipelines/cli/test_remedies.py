"""Every remedy that a command can print can be typed there: no Python, and only options it has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from longllava_domains.pipelines.cli.main import run, running
from longllava_domains.pipelines.cli.options import remedies
from longllava_domains.pipelines.cli.options.remedies import typed

ROOT = Path(__file__).parents[3]
PHANTOM = str(ROOT / "examples/chest_phantom")
PYTHON = re.compile(
    r"""\b[a-z_]+=(?:["'(A-Z\[\d]|[,.\ ;])   # an argument
    |\w+\([^)]*[=\]]                          # a call with arguments
    |\b(?:ct|model|remote_sensing|pathology|datetime)\.[a-z_]{3,}
    |\b[a-z]+(?:_[a-z]+)+(?:\(|\b(?!\.json|\.csv|\.pkl|/|\*))
    |[A-Z][a-z]+Policy""",
    re.VERBOSE,
)
# Which commands can meet the errors of a package.
COMMANDS = {
    "ct": ("report", "ask", "views"),
    "remote_sensing": ("ask", "find", "views"),
    "pathology": ("ask", "views", "find"),
    "evaluate": ("evaluate score", "evaluate explain"),
    "export": ("report", "find"),
    "model": ("report", "ask", "find", "verify", "convert"),
    "adapters": ("finetune", "data check"),
    "archive": ("archive run",),
    "pacs": ("send",),
    "remote_sensing_pipeline": ("find",),
}
# Remedies that only a program meets, and words with an underscore that are no Python of ours.
ONLY_IN_PYTHON = (
    "strict=False",  # boxes.parse_boxes
    "study_uid=", "max_bytes",  # ct.DicomWeb
    "SlicePolicy documents", "z_range_mm", "ct.SlicePolicy(",  # policies made in a program
    "A window has name, center_hu", "Use one of {'3'}",
    "force=True",  # evaluate.compare
    "fields that", "labeller=",  # evaluate.score with a function; the remedy says so
    "device_map='auto'", "docs/hugging_face.md", "chat_template", "padding_side",  # Auto classes
    "load_checkpoint", "preprocess.pixel_values", "<img><image></img>", "cu_seqlens", "segment_ids",
    "past_key_values", "image_token_id", "Load it again with load_model", "model.open(sequence)",
    "ct.open_volume(path).to_sequence", "VisualSequence",
    "datetime.now", "origin=", "`to_sequence`", "open_dates", "raster.stretch.to_json",
    "beyond_budget", "to_sequences", "from_pretrained(", "outside=",
    "(array, affine_ras_mm)", "cell_px", "grid=(rows",
    "open_raster(path) as scene",  # draw
    "study_key or item_id", "write result.rows",
)  # fmt: skip
NAMES_OF_FILES_AND_FIELDS = re.compile(
    r"vision_tower|save_pretrained|train_\w+|validation_\w+|weight_map|model_type|text_config|"
    r"multi_abnormality_labels|dataset_info|gdal_\w+|mm_vision_tower|vqa_\w+|learning_rate|"
    r"from_reports|radiology_text_reports|item_id|num_experts\w*|image_token_index|remote_sensing|_spec|inv_freq|train_demo|in_proj|llava_jamba|assume_affine|ct_rate_spacing|\w+_metadata|train_vqa|lora\.\w+|--set \w+=\S+|patient_id|lm_head"
)


def spelled(node: ast.expr) -> str:
    """The text of an expression, with 3 for whatever is put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(spelled(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return spelled(node.left) + spelled(node.right)
    return "3" if isinstance(node, ast.FormattedValue) else ""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("longllava_domains", "adapters", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name != "remedies.py":
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def remedies_of(tree: ast.Module) -> Iterator[str]:
    """Texts given as a remedy, also by place, or kept in a name that says remedy, hint or GIVEN."""
    places = {
        node.name: [argument.arg for argument in node.args.args].index("remedy")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and "remedy" in [argument.arg for argument in node.args.args]
    }
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call):
            values = [word.value for word in node.keywords if word.arg == "remedy"]
            place = places.get(node.func.id) if isinstance(node.func, ast.Name) else None
            values += [] if place is None else node.args[place : place + 1]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = " ".join(ast.unparse(target) for target in targets).lower()
            if any(word in named for word in ("remed", "hint", "few")):
                values = [node.value]
        elif isinstance(node, ast.FunctionDef) and any(
            argument.arg == "remedy" for argument in node.args.args
        ):
            continue
        for value in values:
            yield from filter(None, (spelled(part) for part in whole_texts(value)))


def whole_texts(value: ast.expr) -> Iterator[ast.expr]:
    """The value itself where it is a text, else the texts in it, such as those of a choice."""
    if spelled(value):
        yield value
        return
    for below in ast.iter_child_nodes(value):
        if isinstance(below, ast.expr):
            yield from whole_texts(below)


def commands_of(path: str) -> tuple[str, ...]:
    for part, commands in COMMANDS.items():
        if f"/{part}/" in f"/{path}":
            return commands
    return ("report", "ask", "find", "views")


ALL = [(path, text) for path, tree in sources() for text in dict.fromkeys(remedies_of(tree))]


def test_there_are_hundreds_of_remedies_to_look_at() -> None:
    assert len(ALL) > 400


def test_a_remedy_of_a_command_names_no_python() -> None:
    left = []
    for path, text in ALL:
        if (
            " " not in text
            or not PYTHON.search(text)
            or any(known in text for known in ONLY_IN_PYTHON)
        ):
            continue
        told = [typed(text, *running(command.split())) for command in commands_of(path)]
        clean = [NAMES_OF_FILES_AND_FIELDS.sub("", one) for one in told]
        if not any(PYTHON.search(one) is None for one in clean):
            left.append((path, told[0]))
    assert left == []


def test_a_remedy_names_only_options_that_its_command_has() -> None:
    wrong = []
    for path, text in ALL:
        for command in commands_of(path):
            name, options = running(command.split())
            told = typed(text, name, options)
            if told == text:
                continue
            for sentence in re.split(r"longllava \w+[^,;.]*", told):  # another command's options
                wrong += [
                    (path, command, told)
                    for option in re.findall(r"--[a-z-]+", sentence)
                    if option not in options and option not in text
                ]
    assert wrong == []


def test_every_row_of_the_table_turns_a_remedy_or_a_message_that_exists() -> None:
    texts = {
        spelled(node)
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp))
    }
    joined = "\n".join(texts)
    unused = [
        python
        for python, _ in remedies._TABLE
        if not re.search(python.removeprefix("^").removesuffix("$"), joined)
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["report", PHANTOM, "--model", "absent", "--sr", "old"], "or remove that file."),
        (["views", PHANTOM, "--out", "x.png", "--every-mm", "-3"], "Give a finite number above 0."),
        (["views", PHANTOM, "--out", "x.png", "--every-mm", "nan"], "Give a finite number above 0."),
        (["views", PHANTOM, "--out", "x.png", "--most", "0"], "at least 1."),
        (["views", PHANTOM, "--out", "x.png", "--hu", "1,nan"], "--hu"),
        (["views", PHANTOM, "--out", "x.png", "--series", "99"], "longllava series"),
        (["views", PHANTOM, "--out", "x.png", "--most", "1", "--window", "lung", "--window", "bone"],
         "longllava views --help"),
        (["views", f"{PHANTOM}.nii.gz", "--out", "x.png", "--series", "2"], "Leave --series out."),
        (["views", f"{PHANTOM}.nii.gz", "--out", "x.png", "--repair", "tilt"], "epair"),
        (["ask", PHANTOM, "Where?", "--model", "demo", "--max-new-tokens", "0"], "at least 1."),
        (["ask", PHANTOM, "Where?", "--model", "demo", "--top-p", "2"], "--top-p cannot be 2.0"),
        (["plan", "--chunk-tokens", "0"], "--chunk-tokens cannot be 0."),
        (["plan", "train", "--rows", "1", "--lora", "--lora-rank", "0"], "--lora-rank cannot be"),
        (["convert", "demo", "new", "--down-scale", "2"], "--down-scale has no effect"),
        (["report", "", "--model", "demo"], "is empty"),
        (["report", PHANTOM, "--model", "demo", "--kv-cache-dtype", "int4"], "--kv-cache-dtype int8"),
        (["report", PHANTOM, "--model", "demo", "--evidence", "old"], "--evidence"),
    ],
)  # fmt: skip
def test_remedies_of_natural_mistakes_can_be_typed(
    arguments: list[str],
    remedy: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").write_text("")
    assert run(arguments) == 2
    told = capfd.readouterr().err
    assert remedy in told
    assert PYTHON.search(NAMES_OF_FILES_AND_FIELDS.sub("", told)) is None
    assert len(told.splitlines()) == 2
