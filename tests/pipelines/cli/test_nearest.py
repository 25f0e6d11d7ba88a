"""What was typed is repeated, and the known word that is nearest to it is named."""

from pathlib import Path

import pytest

from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.cli.options.nearest import with_nearest
from longllava_domains.units import did_you_mean

PHANTOM = str(Path(__file__).parents[3] / "examples/chest_phantom")
VIEWS = ["views", PHANTOM, "--out", "v.png"]
REPORT = ["report", PHANTOM, "--model", "demo"]
RECIPE = ["finetune", "own-lora", "--show"]
SCORE = ["evaluate", "score", "vqa-rad", "answers.csv"]
CALIBRATE = ["calibrate", "reports", "labels.csv", "--output", "c.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*VIEWS, "--hu", "1,x"], "--hu 1,x: The rule for Hounsfield units is not understood."),
        ([*VIEWS, "--series", "9"], "--series 9: There is no such series"),
        (["plan", "--tokens-per-image", "100"], "--tokens-per-image 100: A view cannot become 100"),
        (["plan", "--tokens-per-image", "0"], "--tokens-per-image cannot be 0."),
        ([*VIEWS, "--window", "lungs"], "Did you mean lung?"),
        ([*VIEWS, "--domain", "CT"], "Did you mean ct?"),
        ([*VIEWS, "--purpose", "chess"], "Did you mean chest?"),
        ([*REPORT, "--preset", "ct-defalt@1"], "Did you mean ct-default@1?"),
        (["plan", "--model", "90b"], "Did you mean 9b?"),
        (["plan", "--model", "dmeo"], "Did you mean demo?"),
        (["finetune", "own-loar", "--show"], "Did you mean own-lora?"),
        ([*RECIPE, "--set", "lora.rank"], "--set lora.rank."),
        ([*RECIPE, "--set", "lora.rank=eight"], "lora.rank must be a whole number, and is 'eight'."),
        ([*RECIPE, "--set", "rank=8"], "Did you mean lora.rank?"),
        ([*RECIPE, "--set", "epoch=8"], "Did you mean epochs?"),
        ([*SCORE, "--protocol", "all"], "longllava evaluate explain scores a file under every"),
        ([*SCORE, "--protocol", "strict@2"], "Did you mean strict@1?"),
        (["evaluate", "protocols", "vqarad"], "Did you mean vqa-rad?"),
        (["evaluate", "efficiency", "--kind", "sound", "--model", "absent"], "--kind sound: There is"),
        (["evaluate", "needle", "--frames", "9,0", "--model", "absent"], "and --frames has 0."),
        (["evaluate", "needle", "--depths", "0.5,2", "--model", "absent"], "and --depths has 2."),
        (["evaluate", "needle", "--frames", "2.5", "--model", "absent"], "a list of whole numbers."),
        (["evaluate", "scaling", "frame", "--model", "absent"], "Did you mean frames?"),
        ([*CALIBRATE, "--population", ""], "The value of --population is empty."),
        ([*CALIBRATE, "--population="], "The value of --population is empty."),
        ([*CALIBRATE, "--population", "  "], "--population says nothing."),
        ([*REPORT, "--adapter", "demo-ctt"], "Did you mean demo-ct?"),
        ([*REPORT, "--adapter", "demo-pathology"], "--adapter: demo-pathology was taught another"),
        ([*REPORT, "--mode", "findings-first"], "Add --calibration FILE"),
        ([*REPORT, "--fhir", "a.json", "--out", "a.json"], "--out and --fhir have one name."),
        (["find", "a.tif", "ship", "--out", "f.shp"], "a slide's .geojson"),
        ([*RECIPE[:2], "--output", "ft"], "Add --data FOLDER."),
        (["archive", "status", "nowhere"], "There is no folder of results at this path."),
        (["send", PHANTOM, "--to", "ftp://x", "--audit", "a.log"], "--to ftp://x: The destination"),
        (["report", "", "--model", "demo"], "An argument of the command is empty."),
    ],
)  # fmt: skip
def test_a_refusal_repeats_what_was_typed_or_names_what_was_meant(
    arguments: list[str], said: str, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    told = capfd.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 2


def test_a_word_that_is_far_from_all_others_is_taken_for_none() -> None:
    remedy = "Use 'cpu', or run doctor."
    assert with_nearest("The device 'gpu' cannot be used.", remedy, "gpu") == remedy
    assert with_nearest("There is no device.", remedy, None) == remedy
    assert with_nearest("There is no such one.", "Use one of it.", "on") == "Use one of it."
    assert did_you_mean("dmeo", ["demo", "9b"]) == "Did you mean demo? "
    assert did_you_mean(Path("x"), ["demo"]) == ""


def test_a_very_long_answer_is_blamed_and_not_the_prompt(capfd) -> None:
    photo = str(Path(PHANTOM).with_name("chest_phantom.nii.gz"))
    command = ["ask", photo, "What?", "--model", "demo", "--every-mm", "200"]
    assert run([*command, "--max-new-tokens", "1000000000"]) == 2
    told = capfd.readouterr().err
    assert "An answer of up to 1,000,000,000 tokens" in told
    assert "Lower --max-new-tokens, or" in told


def test_a_piece_of_an_example_is_not_what_was_meant() -> None:
    remedy = "Use --hu prove, or --hu SLOPE,INTERCEPT such as 1,-1024."
    assert with_nearest("The rule is not understood.", remedy, "1;-1024") == remedy
