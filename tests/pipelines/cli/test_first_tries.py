"""First tries that go wrong: refusals name the option, what was found and what to do, and nothing is left."""

import json
import shutil
from pathlib import Path

import dicom_builder as dicom
import numpy as np
import pytest
import slide_builder as builder
import tifffile
from blank_scene import write_scene
from PIL import Image

from longllava_domains.pipelines.cli.main import run

SCENE_NOTICE = "[The area of interest reaches beyond the scene: the part inside is shown.]"
SLIDE_NOTICE = "[A region reaches beyond the slide: the part inside is shown.]"
ONE_SLICE = "[One slice is shown: the distance asked for between slices is longer than the scan.]"
PHANTOM = str(Path(__file__).parents[3] / "examples/chest_phantom")


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small input of each kind, and folders that hold nothing."""
    folder = tmp_path_factory.mktemp("tries")
    builder.svs(folder / "s.svs", builder.tissue(700, 500, seed=4))
    Image.new("RGB", (64, 64)).save(folder / "photo.png")
    Image.new("RGB", (64, 64)).save(folder / "photo.jpg")
    for name in ("empty", "pictures"):
        (folder / name).mkdir()
    shutil.copy(folder / "photo.png", folder / "pictures")
    write_scene(str(folder / "scene.tif"))
    (folder / "adapter").mkdir()
    (folder / "adapter/adapter_config.json").write_text("{}")
    (folder / "labels.csv").write_text("VolumeName,Lung nodule\nvalid_1_a_1.nii.gz,1\n")
    (folder / "r.dcm").write_text("r")
    return folder


def refused(arguments: list[str], folder: Path, capfd, monkeypatch) -> str:
    """What a refusal says; it leaves nothing behind and prints no result."""
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert run(arguments) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert sorted(folder.rglob("*")) == before
    assert len(told.err.strip().splitlines()) == 2
    return str(told.err)


# No model of that name is there: what is refused before a model is looked for does not notice.
ASK = ["ask", "s.svs", "What?", "--model", "absent"]
VIEWS = ["views", "s.svs", "--out", "v.png"]
TABLE = ["reproduce", "paper", "--table", "3", "--model", "absent"]
OWN = ["evaluate", "own", "labels.csv", "--results", "empty"]
RECIPE = ["finetune", "own-lora", "--show", "--set"]
ARCHIVE = ["archive", "run", PHANTOM, "--domain", "ct", "--task", "views", "--output", "ar"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*ASK, "--zoom", "-3"], "--zoom must be a whole number from 1 to 256, not -3."),
        ([*ASK, "--zoom", "2", "--zoom-rounds", "-1"], "--zoom-rounds must be a whole number from"),
        ([*ASK, "--zoom", "2", "--zoom-by", "me"], "--zoom-by must be attention or named, not me."),
        ([*ASK, "--zoom-rounds", "2"], "Add --zoom with the number of fields."),
        ([*ASK, "--max-tokens", "9"], "--max-tokens would change nothing for a slide."),
        (
            [*VIEWS, "--view-mpp", "-1"],
            "--view-mpp must be from 0.05 to 1000 microns per pixel, not",
        ),
        ([*VIEWS, "--mpp", "-1"], "--mpp must be a number of microns per pixel, not -1"),
        ([*VIEWS, "--most", "1"], "--most must be a whole number of at least 2, not 1."),
        ([*VIEWS, "--protocol", "mine"], "--protocol must be one of joint-lowmag@1, "),
        (["plan", "--images", "-3"], "--images cannot be -3."),
        (["plan", "train", "--rows", "1", "--views-per-row", "-2"], "number of at least 0."),
        ([*RECIPE, "lora.rank=-4"], "--set lora.rank cannot be -4."),
        ([*RECIPE, "lora.dropout=3"], "--set lora.dropout cannot be 3."),
        ([*RECIPE, "epochs=-1"], "--set epochs cannot be -1."),
        ([*RECIPE, "learning_rate=1e9"], "--set learning_rate cannot be 1e+09."),
        ([*RECIPE, "learning_rate=nan"], "--set learning_rate cannot be nan."),
        ([*OWN, "--threshold", "40"], "--threshold cannot be 40."),
        ([*OWN, "--draws", "1"], "--draws cannot be 1."),
        ([*TABLE, "--tokens", "-5"], "--tokens cannot be -5."),
        ([*TABLE, "--answer", "1"], "--answer cannot be 1."),
        (["evaluate", "efficiency", "--model", "absent", "--tokens", "0"], "--tokens cannot be 0."),
        (["data", "check", "labels.csv", "--max-tokens", "-1"], "--max-tokens cannot be -1."),
        ([*ARCHIVE, "--workers", "-1"], "--workers cannot be -1."),
        ([*ARCHIVE, "--item-seconds", "nan"], "--item-seconds cannot be nan."),
        (["evaluate", "phantom", "vqa-rad", "p", "--size", "1"], "--size cannot be 1."),
    ],
)
def test_a_number_or_word_out_of_range_is_refused_under_the_name_of_its_option(
    arguments: list[str], said: str, tries: Path, capfd, monkeypatch
) -> None:
    assert said in refused(arguments, tries, capfd, monkeypatch)


CALIBRATE = ["calibrate", "nowhere", "labels.csv", "--output", "c.json", "--population", "us"]
BENCHMARK = ["evaluate", "vqa-rad", "--protocol", "all", "--model", "absent", "--output", "o"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*VIEWS, "--region", "0,0"], "--region must be X,Y,WIDTH,HEIGHT in whole pixels"),
        ([*VIEWS, "--region", "0,0"], "not 2 numbers."),
        ([*VIEWS, "--region", "0,0,10.5,10"], "not 4 numbers."),
        ([*VIEWS, "--tissue", "absent.geojson"], "--tissue must be"),
        ([*ASK, "--zoom-at", "here"], "not a file that is not there."),
        (["ask", "empty", "What?", "--model", "absent"], "The folder is empty."),
        (["views", "empty", "--out", "v.png"], "holds the CT, slide, raster or picture."),
        (["ask", "What is it?", "s.svs", "--model", "absent"], "The question stands before the"),
        (["find", "empty", "ship", "--model", "absent"], "The folder is empty."),
        (["find", "pictures", "ship", "--model", "absent"], "it holds 1 other file."),
        (["ask", "pictures", "What?", "--model", "absent", "--domain", "image"], "A folder was given"),
        (["ask", "photo.jpg", PHANTOM, "What?", "--model", "absent"], "Input 2 is a CT, and what"),
        (["ask", PHANTOM, "photo.jpg", "What?", "--model", "absent"], "Input 2 is a picture, and"),
        (["ask", "photo.jpg", "is", "it", "red", "--model", "absent"], "2 words before the last"),
        (["ask", "scene.tif", "What?", "--model", "absent", "--max-tokens", "9"], "Raise --max-tokens to 1325 at least."),
        (CALIBRATE, "The folder of the reports is not there."),
        ([*BENCHMARK, "--data", "nowhere"], "nothing has the name that was given as --data."),
        (["evaluate", "data", "vqa-rad", "nowhere"], "the name that was given as FOLDER."),
        (["reproduce", "paper", "--table", "2", "--data", "nowhere", "--model", "demo"], "as --data."),
        (["report", PHANTOM, "--model", "empty"], "no config.json, so it holds no model."),
        (["report", PHANTOM, "--model", "adapter"], "The folder holds an adapter, and no model"),
        (["send", "r.dcm", "--to", "ftp://x", "--audit", "a.log"], "dicom://TITLE@host:port (C-STORE)"),
        (["evaluate", "phantom", "nosuch", "p"], "There are no phantoms of 'nosuch'."),
        (["evaluate", "check", "--prevalence", "0.2"], "Add --precision and --recall, and"),
        (["evaluate", "check", "--prevalence", "0.2", "--accuracy", "0.9"], "Add --precision"),
        ([*ARCHIVE, "--shard", "9/8"], "There is no share 9 of 8."),
        ([*ARCHIVE, "--engine", "nosuch"], "Use --engine local or --engine ray."),
    ],
)  # fmt: skip
def test_a_remedy_says_what_belongs_there(
    arguments: list[str], said: str, tries: Path, capfd, monkeypatch
) -> None:
    assert said in refused(arguments, tries, capfd, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "notice"),
    [
        ([*VIEWS, "--region", "600,400,400,400"], SLIDE_NOTICE),
        (["views", "scene.tif", "--out", "v.png", "--aoi=-75.1,40,-74.9,41"], SCENE_NOTICE),
        (["views", PHANTOM, "--out", "v.png", "--every-mm", "100000"], ONE_SLICE),
    ],
)
def test_an_input_that_is_shown_otherwise_than_asked_is_said_to_be(
    arguments: list[str], notice: str, tries: Path, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tries)
    out = arguments.index("--out") + 1
    assert run([*arguments[:out], str(tmp_path / "v.png"), *arguments[out + 1 :]]) == 0
    assert notice in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [*VIEWS, "--region", "100,100,200,200"],
        ["views", "scene.tif", "--out", "v.png"],
        ["views", PHANTOM, "--out", "v.png", "--every-mm", "100"],
    ],
)
def test_what_is_shown_as_asked_needs_no_notice(
    arguments: list[str], tries: Path, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tries)
    out = arguments.index("--out") + 1
    assert run([*arguments[:out], str(tmp_path / "v.png"), *arguments[out + 1 :]]) == 0
    assert capfd.readouterr().err == ""


HEAD_NOTICE = (
    "[The header names the head, and no window shown is for it: there are brain and others.]"
)


@pytest.mark.parametrize(("window", "is_noticed"), [(None, True), ("lung", True), ("brain", False)])
def test_a_head_in_no_window_of_the_head_is_noticed(
    window: str | None, is_noticed: bool, tmp_path: Path, capfd
) -> None:
    images = dicom.datasets()
    for image in images:
        image.BodyPartExamined = "HEAD"
    folder = dicom.write(images, tmp_path / "head")
    chosen = [] if window is None else ["--window", window]
    assert run(["views", str(folder), "--out", str(tmp_path / "v.png"), *chosen]) == 0
    assert (HEAD_NOTICE in capfd.readouterr().err) == is_noticed


def test_a_table_of_series_says_why_none_is_chosen(tmp_path: Path, capfd) -> None:
    other = dicom.datasets(series="2")
    dicom.write([*dicom.datasets(), *other], tmp_path)
    assert run(["series", str(tmp_path)]) == 0
    told = capfd.readouterr().out
    assert "->" not in told
    assert "No series is chosen: 2 series are equally good: 1, 2 of 2." in told
    assert "--series ROW" in told


def test_a_table_of_series_with_a_choice_says_nothing_more(tmp_path: Path, capfd) -> None:
    dicom.write(dicom.datasets(), tmp_path)
    assert run(["series", str(tmp_path)]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_each_of_several_refusals_stands_on_lines_of_its_own(capfd) -> None:
    assert run(["verify", "nowhere", "--out", "no/such/place.json", "--device", "cpu"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.startswith("Refused: ") for line in lines] == [True, False, True, False]


def test_a_search_that_is_saved_prints_no_json_and_says_that_answers_were_cut_short(
    tries: Path, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tries)
    out = tmp_path / "ships.json"
    arguments = ["find", "scene.tif", "ship", "--model", "demo", "--max-new-tokens", "1"]
    assert run([*arguments, "--out", str(out)]) == 3
    told = capfd.readouterr()
    assert told.out == ""
    assert "0 ships in 1 chip, 1 chip with an answer cut short" in told.err
    assert "raise --max-new-tokens" in told.err
    assert "unreadable" not in told.err
    assert out.exists()


def test_a_tiff_that_may_be_a_slide_is_searched_in_the_domain_that_is_named(
    tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("plain.tif", np.full((224, 224, 3), 200, np.uint8), tile=(112, 112))
    search = ["find", "plain.tif", "ship", "--model", "demo", "--max-new-tokens", "1"]
    assert run(search) == 2
    assert "Name it: --domain pathology or --domain remote_sensing." in capfd.readouterr().err
    assert run([*search, "--domain", "remote_sensing"]) == 3
    assert "9 chips" in capfd.readouterr().err


def test_what_a_search_found_is_printed_where_it_cannot_be_saved(
    tries: Path, tmp_path: Path, capfd, monkeypatch
) -> None:
    from longllava_domains.errors import OutputError
    from longllava_domains.pipelines.remote_sensing import saving

    def full(*_: object) -> None:
        raise OutputError("The disk is full.", remedy="Make room.")

    monkeypatch.setattr(saving, "save_all", full)
    monkeypatch.chdir(tries)
    arguments = ["find", "scene.tif", "ship", "--model", "demo", "--max-new-tokens", "2"]
    assert run([*arguments, "--out", str(tmp_path / "ships.json")]) == 2
    assert json.loads(capfd.readouterr().out)["thing"] == "ship"


@pytest.mark.parametrize("source", ["scene.tif", "photo.jpg", PHANTOM])
def test_an_answer_says_that_nothing_is_published_of_the_model_whatever_the_input(
    source: str, tries: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tries)
    few = ["--every-mm", "100"] if source == PHANTOM else []
    arguments = ["ask", source, "What?", "--model", "demo", "--max-new-tokens", "1", *few]
    assert run(arguments) == 0
    assert capfd.readouterr().out.count("No published evidence for this model") == 1
