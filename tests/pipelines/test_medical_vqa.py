"""Flat pictures: shown as a person sees them, or refused by name; several in one question."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from other_family import OtherModel
from PIL import Image

from longllava_domains.errors import AmbiguousInputError, InputError, LongLlavaError, PolicyError
from longllava_domains.pipelines import MedicalVQA
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.domains.registry import decide_domain
from longllava_domains.pipelines.medical_vqa import picture_sequence
from longllava_domains.provenance import RESEARCH_NOTICE

RGB = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_one_question_of_one_picture_and_of_two(tmp_path: Path) -> None:
    path = saved(tmp_path / "secret^name.png", Image.fromarray(RGB))
    vqa = MedicalVQA(OtherModel())
    answer = vqa(path, "What is shown?")
    assert answer.text == "1 views, question 1"
    assert answer.provenance["domain"] == "image"
    assert RESEARCH_NOTICE in answer.provenance["notices"]
    assert "secret" not in str(answer.to_json())
    both = vqa.ask([path, RGB[..., 0], Image.fromarray(RGB)], ["One?", "Two?"])
    assert [each.text for each in both] == ["3 views, question 1"] * 2


def test_pixels_are_those_of_the_file_turned_and_on_white(tmp_path: Path) -> None:
    plain = saved(tmp_path / "a.png", Image.fromarray(RGB))
    assert np.array_equal(picture_sequence(plain)[0].pixels, RGB)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = saved(tmp_path / "b.jpg", Image.fromarray(RGB), exif=exif, quality=100, subsampling=0)
    view = picture_sequence(turned)[0]
    assert np.abs(view.pixels.astype(int) - np.rot90(RGB, -1)).mean() < 3
    alpha = np.dstack([RGB, np.zeros((30, 40), np.uint8)])
    alpha[:, 20:, 3] = 255
    clear = saved(tmp_path / "c.png", Image.fromarray(alpha))
    shown = picture_sequence(clear)
    assert (shown[0].pixels[:, :20] == 255).all()
    assert np.array_equal(shown[0].pixels[:, 20:], RGB[:, 20:])
    assert shown.provenance["load_report"]["codes"]["picture.on_white"] == 1
    grey = saved(tmp_path / "d.png", Image.fromarray(RGB[..., 0]))
    assert np.array_equal(picture_sequence(grey)[0].pixels, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["deep", "cmyk", "frames", "gif", "text", "absent", "cut"])
def test_what_is_no_plain_picture_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"secret-{kind}.png"
    image = Image.fromarray(RGB)
    if kind == "deep":
        saved(path, Image.fromarray(RGB[..., 0].astype(np.uint16) * 257))
    elif kind == "cmyk":
        saved(path, image.convert("CMYK"), format="JPEG")
    elif kind == "frames":
        saved(path, image, save_all=True, append_images=[Image.fromarray(255 - RGB)])
    elif kind == "gif":
        saved(path, image, format="GIF")
    elif kind == "text":
        path.write_text("no picture")
    elif kind == "cut":
        saved(path, image)
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError) as caught:
        picture_sequence(path)
    assert "secret" not in str(caught.value)
    assert caught.value.remedy


@settings(max_examples=150, deadline=None)
@given(
    jpeg=st.booleans(),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=5),
    kept=st.floats(0.2, 1),
)
def test_damaged_pictures_are_read_or_named(tmp_path_factory, jpeg, edits, kept) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    saved(path, Image.fromarray(RGB), format="JPEG" if jpeg else "PNG")
    data = bytearray(path.read_bytes())
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    path.write_bytes(data[: int(len(data) * kept)])
    error = refused(path)
    assert error is None or (error.remedy and error.__cause__ is None)


def refused(path: Path) -> LongLlavaError | None:
    """Return our error for a picture; any other fails the test."""
    try:
        picture_sequence(path)
    except LongLlavaError as error:
        return error
    return None


def test_arrays_whose_meaning_must_be_guessed_are_refused() -> None:
    for wrong in (RGB.astype(float), RGB.astype(np.uint16), np.dstack([RGB, RGB]), RGB[:0]):
        with pytest.raises(PolicyError, match="uint8"):
            picture_sequence(wrong)
    with pytest.raises(PolicyError, match="no picture"):
        picture_sequence([])


def test_the_command_line_asks_pictures_and_will_not_guess_what_a_png_is(
    tmp_path: Path, capfd
) -> None:
    jpeg = saved(tmp_path / "a.jpg", Image.fromarray(RGB))
    png = saved(tmp_path / "a.png", Image.fromarray(RGB))
    assert decide_domain(jpeg).name == "image"
    with pytest.raises(AmbiguousInputError, match="image, remote_sensing"):
        decide_domain(png)
    arguments = [str(jpeg), str(png), "What?", "--model", "demo", "--max-new-tokens", "2"]
    assert run(["ask", *arguments]) == 0
    assert "2 views" in capfd.readouterr().err
    (tmp_path / "a.jgw").write_text("1\n0\n0\n-1\n500000\n4500000\n")
    with pytest.raises(AmbiguousInputError):
        decide_domain(jpeg)
