"""A wrong file, path or order of words: said at the first try, with what to do."""

from pathlib import Path

import pytest
from blank_scene import write_scene
from PIL import Image

from longllava_domains.pipelines.cli.main import run

PHANTOM = str(Path(__file__).parents[3] / "examples/chest_phantom")
MODEL = ["--model", "demo"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, and files that are not what their names say."""
    desk = tmp_path_factory.mktemp("desk")
    for ending in ("svs", "ndpi", "tif", "dcm", "png", "jpg", "nii", "nii.gz", "zip"):
        (desk / f"text.{ending}").write_text("just a note, in German: schön\n")
    (desk / "page.tif").write_text("<!doctype html><html><body>404</body></html>")
    (desk / "empty.dcm").write_bytes(b"")
    (desk / "junk.png").write_bytes(bytes(range(128, 256)) * 4)
    (desk / "note.txt").write_text("a note")
    Image.effect_noise((600, 600), 60).convert("RGB").save(desk / "photo.png")
    return desk


def refusal(arguments: list[str], desk: Path, capfd, monkeypatch) -> list[str]:
    monkeypatch.chdir(desk)
    assert run(arguments) == 2
    return str(capfd.readouterr().err).splitlines()


@pytest.mark.parametrize("command", ["ask", "views", "find", "report", "series"])
@pytest.mark.parametrize(
    "ending", ["svs", "ndpi", "tif", "dcm", "png", "jpg", "nii", "nii.gz", "zip"]
)
def test_a_text_file_under_the_name_of_an_image_is_said_to_be_one(
    command: str, ending: str, desk: Path, capfd, monkeypatch
) -> None:
    more = {
        "ask": ["What?", *MODEL],
        "views": ["--out", "v.png"],
        "find": ["ship", *MODEL],
        "report": MODEL,
        "series": [],
    }
    told = refusal([command, f"text.{ending}", *more[command]], desk, capfd, monkeypatch)
    assert told[0].startswith("Refused: The file is named as ")
    assert told[0].endswith(", but it is plain text.")
    assert len(told) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "page.tif", "What?"], "named as a TIFF, but it is XML or a web page."),
        (["ask", "empty.dcm", "What?"], "named as DICOM, but it is empty."),
        (["ask", "junk.png", "What?"], "a PNG, but its bytes are of no format that is read here."),
        (["ask", "text.svs", "What?", "--domain", "pathology"], "a slide in a TIFF, but it is plain"),
        (["ask", "photo.png", "text.png", "Alike?"], "named as a PNG, but it is plain text."),
        (["ask", "note.txt", "What?"], "is no CT, slide, raster or picture: it is plain text."),
        (["find", "note.txt", "ship"], "is no CT, slide, raster or picture: it is plain text."),
        (["find", "ship", "photo.png"], "The thing to look for stands before the scene"),
        (["find", "ship", "photo.png"], 'Write the scene first: longllava find SCENE "THING"'),
        (["find", "nowhere", "ship", "--dialect", "x"], "--dialect x: There is no box dialect"),
        (["find", "nowhere", "ship", "--out", "x.shp"], "A raster's can be .geojson, .gpkg,"),
        (["find", "nowhere", "<ship>"], "What to look for is empty, or holds one of"),
        (["ask", "photo.png", "What?", "--out", "photo.png"], "--out is for a slide, and this is a"),
        (["ask", "photo.png", "What?", "--out", "photo.png"], "Leave --out out; to keep the answer,"),
        (["ask", PHANTOM, "What?", "--evidence", "e.png"], "--evidence is for a slide, and this is"),
        (["ask", "photo.png", "What?"], "Name it: --domain remote_sensing or --domain image."),
    ],
)  # fmt: skip
def test_the_first_refusal_says_what_is_wrong_and_its_remedy_can_be_followed(
    arguments: list[str], said: str, desk: Path, capfd, monkeypatch
) -> None:
    assert said in "\n".join(refusal([*arguments, *MODEL], desk, capfd, monkeypatch))


MISSING = [
    ["report", "DOE_JOHN", *MODEL],
    ["ask", "DOE_JOHN", "What?", *MODEL],
    ["views", "DOE_JOHN", "--out", "v.png"],
    ["series", "DOE_JOHN"],
    ["find", "DOE_JOHN", "ship", *MODEL],
    ["archive", "run", "DOE_JOHN", "--task", "views", "--output", "results"],
    ["archive", "scan", "DOE_JOHN", "--domain", "ct", "-o", "m.parquet"],
    ["data", "check", "DOE_JOHN", *MODEL],
    ["evaluate", "score", "vqa-rad", "DOE_JOHN.csv", "--protocol", "strict@1"],
]


@pytest.mark.parametrize("arguments", MISSING, ids=" ".join)
def test_a_path_where_nothing_is_is_named_where_paths_may_be_shown(
    arguments: list[str], desk: Path, capfd, monkeypatch
) -> None:
    hidden = refusal(arguments, desk, capfd, monkeypatch)
    assert "DOE" not in "".join(hidden)
    assert hidden[1].endswith("--show-paths names it.")
    shown = refusal([*arguments, "--show-paths"], desk, capfd, monkeypatch)
    assert len(shown) == 3
    assert " is DOE_JOHN" in shown[2]
    assert shown[2].split()[0] in shown[0]


def test_the_name_of_a_model_is_repeated_where_paths_may_be_shown(
    desk: Path, capfd, monkeypatch
) -> None:
    command = ["report", PHANTOM, "--model", "dmeo"]
    hidden = refusal(command, desk, capfd, monkeypatch)
    assert "dmeo" not in hidden[0]
    assert "Did you mean demo?" in hidden[1]
    (shown, _) = refusal([*command, "--show-paths"], desk, capfd, monkeypatch)
    assert shown.startswith("Refused: --model dmeo: There is no model of that name")


def test_a_search_without_boxes_shows_an_answer_and_says_what_it_needs(
    desk: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(desk)
    assert run(["find", "photo.png", "ship", *MODEL, "--adapter", "none"]) == 3
    lines = capfd.readouterr().err.splitlines()
    assert "chips unreadable" in lines[-3]
    assert lines[-2].startswith("No box can be read in: '")
    assert len(lines[-2]) < 120
    assert "without an adapter" in lines[-1]
    assert "--adapter" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["find", "photo.png", "ship", "--domain", "image", "--model", "absent"],
         "or search it as a scene: --domain remote_sensing."),
        (["views", "mixed", "--out", "a.png"], "it holds no DICOM, GeoTIFF or JPEG 2000 file."),
        (["views", "junk", "--out", "a.png"], "name any other file, such as a picture, itself."),
        (["views", "with_scene", "--out", "a.png"], "Name it: --domain remote_sensing."),
    ],
)  # fmt: skip
def test_a_domain_that_would_be_refused_is_not_proposed_nor_ignored(
    arguments: list[str], said: str, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mixed", "junk", "with_scene"):
        (tmp_path / name).mkdir()
    for place in (".", "mixed", "with_scene"):
        Image.new("RGB", (64, 64)).save(f"{place}/photo.png")
    (tmp_path / "mixed/README.md").write_text("Pictures of a ship.")
    (tmp_path / "junk/a.dcm").write_text("no DICOM")
    write_scene("with_scene/scene.tif")
    assert run(arguments) == 2
    told = capfd.readouterr().err
    assert said in told
    assert "--domain image" not in told
