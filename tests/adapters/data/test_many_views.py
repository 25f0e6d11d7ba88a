"""Slides, videos and large images in parts, as pictures of a training row."""

import json
from pathlib import Path

import numpy as np
import pytest
import slide_builder
from PIL import Image
from tiny_longllava import tiny_model

from longllava_domains.adapters.data.domain_pictures import picture_of
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.many_views.slide import SlideFile
from longllava_domains.adapters.data.many_views.sub_images import SubImages
from longllava_domains.adapters.data.many_views.video import Video
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.pictures import ImageFile, Shape
from longllava_domains.adapters.data.sample import Sample
from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.pathology import TilePolicy


def write_video(path: Path, frames: int = 12) -> Path:
    """Frames that grow brighter, one grey value each."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            pixels = np.full((64, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_of_a_video_are_taken_uniformly(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4"), "a.mp4", frames=4)
    assert video.shape() == Shape(4, "temporal")
    grey = [np.asarray(frame).mean() for frame in video.load()]
    assert grey == pytest.approx([20, 80, 140, 200], abs=8)  # frames 1, 4, 7 and 10 of 12
    assert Video(video.path, "a.mp4", frames=99).shape().views == 12


def test_a_row_of_video_is_spelled_as_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4")
    turns = [
        {"from": "human", "value": "<video>\nWhat happens?"},
        {"from": "gpt", "value": "It grows bright."},
    ]
    (tmp_path / "rows.json").write_text(json.dumps([{"video": "clip.mp4", "conversations": turns}]))
    ((_, sample),) = open_data(tmp_path / "rows.json")
    assert isinstance(sample, Sample)
    model = tiny_model()
    shown = Encoder(model.processor.tokenizer, model.processor.config).show(sample)
    assert shown.count("<image>") == 12
    assert "<vid><img><image></img><t><img>" in shown
    assert "<video>" not in shown


def test_what_is_no_video_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    pytest.importorskip("av")
    with pytest.raises(DamagedInputError):
        picture_of(tmp_path, "a.mp4").shape()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(
        "longllava_domains.adapters.data.many_views.video.find_spec", lambda name: None
    )
    with pytest.raises(UnsupportedInputError, match="av missing"):
        picture_of(tmp_path, "a.mp4").load()


def test_a_large_image_is_padded_and_cut_into_parts(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 700, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    parts = SubImages(ImageFile(tmp_path / "large.png", "large.png"))
    assert parts.shape() == Shape(7, "grid", (2, 3))
    whole, *cut = (np.asarray(image) for image in parts.load())
    assert np.array_equal(whole, pixels)
    assert {part.shape for part in cut} == {(336, 336, 3)}
    rows = [np.hstack(cut[:3]), np.hstack(cut[3:])]
    laid = np.vstack(rows)
    top, left = (672 - 400) // 2, (1008 - 700) // 2
    assert np.array_equal(laid[top : top + 400, left : left + 700], pixels)


def test_a_slide_is_shown_as_the_pipeline_shows_it(tmp_path: Path) -> None:
    path = slide_builder.svs(tmp_path / "case.svs")
    picture = picture_of(tmp_path, path.name)
    assert isinstance(picture, SlideFile)
    few = SlideFile(path, path.name, TilePolicy(max_views=5, view_px=28))
    shape = few.shape()
    assert shape.layout == "grid"
    assert len(few.load()) == shape.views <= 5
