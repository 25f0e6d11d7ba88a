"""Slides on the command line: asked, seen closer, compared, searched, saved, and refused by name."""

import json
from pathlib import Path

import pytest
import slide_builder as builder
from PIL import Image

from longllava_domains.pipelines.cli.main import run

FEW = ["--model", "demo", "--max-new-tokens", "2", "--show-paths"]


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> str:
    image = builder.tissue(700, 500, seed=4)
    return str(builder.svs(tmp_path_factory.mktemp("cli") / "PLANTED.svs", image))


def test_an_answer_lists_its_views_and_is_saved_in_every_form(
    slide: str, tmp_path: Path, monkeypatch, capfd
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--most", "8", "--zoom-at", "200,150,100,100", "--out", "a.json", "--out",
                 "a.geojson", "--out", "a.png", "--evidence", "e.png"]  # fmt: skip
    assert run(["ask", slide, "What?", *FEW, *arguments, "--zoom", "1"]) == 2  # 16 views of 8
    assert "16 views" in capfd.readouterr().err
    arguments[1] = "24"
    assert run(["ask", slide, "What?", *FEW, *arguments]) == 0
    said = capfd.readouterr()
    assert "The model's card names no training" in said.out
    assert "700 x 500 pixels of level 0" in said.err
    assert "closer look 1: 1 fields chosen by caller" in said.err
    told = json.loads(Path("a.json").read_text())
    assert told["zoom"][0]["fields"] == [[200, 150, 100, 100]]
    assert len(json.loads(Path("a.geojson").read_text())["features"]) == len(told["views"])
    for picture in ("a.png", "e.png"):
        with Image.open(picture) as sheet:
            assert sheet.width > 200
    assert "PLANTED" not in Path("a.json").read_text() + Path("a.geojson").read_text()
    assert run(["ask", slide, "What?", *FEW, "--out", "a.json"]) == 2  # exists


def test_two_regions_and_a_drawn_tissue(slide: str, tmp_path: Path, capfd) -> None:
    ring = [[100, 100], [600, 100], [600, 400], [100, 400], [100, 100]]
    drawn = tmp_path / "tissue.geojson"
    drawn.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    arguments = ["--region", "100,100,200,200", "--region", "400,100,200,200", "--tissue",
                 str(drawn), "--most", "6", "--json"]  # fmt: skip
    assert run(["ask", slide, "Which is denser?", *FEW, *arguments]) == 0
    told = json.loads(capfd.readouterr().out)
    policy = told["provenance"]["policy"]
    assert [region["box"] for region in policy["regions"]] == [
        [100, 100, 200, 200],
        [400, 100, 200, 200],
    ]
    assert policy["tissue"]["source"] == "user"
    assert run(["views", slide, "--region", str(drawn), "--out", str(tmp_path / "v.png"),
                "--geojson", str(tmp_path / "v.geojson"), "--most", "6"]) == 0  # fmt: skip
    assert json.loads((tmp_path / "v.geojson").read_text())["features"]


def test_a_search_of_a_slide_is_saved(slide: str, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--view-mpp", "2", "--out", "f.json", "--out", "f.geojson"]
    assert (
        run(["find", slide, "gland", *FEW, *arguments]) == 3
    )  # the demonstration's words are noise
    told = json.loads(Path("f.json").read_text())
    assert capfd.readouterr().out == ""
    assert told["outcomes"]["failed"] == len(told["fields"]) > 0
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "{slide}", "What?", "--zoom-rounds", "2"], "--zoom"),
        (["ask", "{slide}", "What?", "--out", "a.gpkg"], ".geojson"),
        (["ask", "{slide}", "What?", "--region", "9000,0,10,10"], "outside"),
        (["ask", "{slide}", "What?", "--region", "absent.geojson"], "GeoJSON"),
        (["ask", "{slide}", "What?", "--bands", "1,2,3"], "--bands"),
        (["find", "{slide}", "gland", "--out", "f.dcm"], "DICOM"),
        (["find", "{slide}", "gland", "--out", "f.gpkg"], ".geojson"),
        (["find", "{slide}", "gland", "--chip-px", "64"], "--chip-px"),
        (["find", "{slide}", "gland", "--region", "0,0,9,9", "--region", "9,9,9,9"], "one region"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_runs(
    slide: str, tmp_path: Path, monkeypatch, capfd, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [argument.replace("{slide}", slide) for argument in arguments]
    assert run([*filled, "--model", "demo", "--max-new-tokens", "1"]) == 2
    assert said in capfd.readouterr().err


def test_out_and_evidence_mean_nothing_for_a_ct(capfd) -> None:
    phantom = str(Path(__file__).parents[3] / "examples/chest_phantom")
    assert run(["ask", phantom, "What?", "--model", "demo", "--out", "a.json"]) == 2
    assert "--out" in capfd.readouterr().err


def test_annotations_of_views_end_as_geojson_before_anything_is_read(
    slide: str, tmp_path: Path, capfd
) -> None:
    views = ["views", slide, "--out", str(tmp_path / "b.png"), "--geojson"]
    assert run([*views, str(tmp_path / "s.txt")]) == 2
    assert "End it with .geojson or .json." in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("regions", "least"), [(0, 18), (2, 20)])
def test_closer_looks_name_the_least_budget_that_is_accepted(
    slide: str, capfd, regions: int, least: int
) -> None:
    parts = ["--region", "100,100,200,200", "--region", "400,100,200,200"][: 2 * regions]
    ask = ["ask", slide, "Which is denser?", *FEW, "--zoom", "1", *parts, "--most"]
    assert run([*ask, "3"]) == 2
    assert f"Raise --most to {least} at least.\n" in capfd.readouterr().err
    assert run([*ask, str(least - 1)]) == 2
    assert run([*ask, str(least)]) == 0


def test_closer_looks_offer_only_what_can_be_done(slide: str, capfd) -> None:
    ask = ["ask", slide, "Where?", *FEW, "--zoom", "3"]
    assert run([*ask, "--most", "20"]) == 2
    assert "or see 1 field closer at most" in capfd.readouterr().err
    assert run([*ask, "--protocol", "vote-patches@1"]) == 2
    assert "or use joint-lowmag@1." in capfd.readouterr().err
