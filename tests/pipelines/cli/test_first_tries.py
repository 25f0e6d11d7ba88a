"""First tries that go wrong: refusals name the option, what was found and what to do, and nothing is left."""

from pathlib import Path

import pytest
import slide_builder as builder
from PIL import Image

from longllava_domains.pipelines.cli.main import run

PHANTOM = str(Path(__file__).parents[3] / "examples/chest_phantom")


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small input of each kind, and folders that hold nothing."""
    folder = tmp_path_factory.mktemp("tries")
    builder.svs(folder / "s.svs", builder.tissue(700, 500, seed=4))
    Image.new("RGB", (64, 64)).save(folder / "photo.png")
    (folder / "empty").mkdir()
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
