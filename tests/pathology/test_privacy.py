"""Names planted in every field that can hold one never leave: reports, errors, logs, views."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import slide_builder as builder
import tifffile

from longllava_domains.errors import LongLlavaError
from longllava_domains.pathology import TilePolicy, open_slide

PLANTED = ("PLANTED", "planted", "77777", "01/02/93", "secret")
SMALL = builder.tissue(500, 400, seed=2)


def said(slide) -> str:
    """Return everything a sequence and a report would write down."""
    texts = []
    for policy in (TilePolicy(view_px=96), TilePolicy("vote-patches@1", view_px=96)):
        shown = slide.to_sequence(policy)
        texts += [json.dumps(shown.provenance.to_json()), repr(shown.left_out)]
        texts += [json.dumps(view.place.to_json()) for view in shown]
    return " ".join([*texts, json.dumps(slide.report.to_json()), repr(slide)])


@pytest.mark.parametrize("kind", ["svs", "ome", "dicom", "tiff"])
def test_no_planted_value_is_ever_written_down(tmp_path: Path, kind: str, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    path = getattr(builder, kind)(tmp_path / "secret^patient.ome.tif", SMALL)
    with open_slide(path) as slide:
        text = said(slide) + caplog.text + "".join(capfd.readouterr())
    assert not [name for name in PLANTED if name in text]


def test_label_and_macro_are_counted_and_never_decoded(tmp_path: Path, monkeypatch) -> None:
    path = builder.svs(tmp_path / "a.svs", SMALL)
    with tifffile.TiffFile(path) as file:
        label = [page for page in file.pages if "label" in page.description]
        places = {offset for page in label for offset in page.dataoffsets}
    assert len(label) == 2
    read: set[int] = set()
    import os

    real = os.pread

    def noted(descriptor: int, count: int, offset: int) -> bytes:
        read.add(offset)
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", noted)
    with open_slide(path) as slide:
        views = slide.to_sequence(TilePolicy(view_px=96))
        assert slide.report.codes["images.withheld"] == 2
    assert read
    assert not read & places
    red = [(view.pixels == (250, 0, 0)).all(axis=-1).any() for view in views]
    assert not any(red)


@pytest.mark.parametrize("kind", ["svs", "ome", "dicom"])
def test_errors_name_no_file_and_no_value(tmp_path: Path, kind: str, caplog) -> None:
    path = getattr(builder, kind)(tmp_path / "secret^patient.ome.tif", SMALL)
    target = path if path.is_file() else path / "PLANTED_1.dcm"
    whole = target.read_bytes()
    rng = np.random.default_rng(0)
    errors: list[LongLlavaError] = []
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 4000), 6):
            data[place] = int(rng.integers(256))
        target.write_bytes(data[: int(rng.integers(1, len(data)))])
        try:
            with open_slide(path, mpp=0.5) as slide:
                slide.to_sequence(TilePolicy(view_px=96))
        except LongLlavaError as error:
            errors.append(error)
    text = " ".join(f"{error} {error.facts} {error.code}" for error in errors)
    assert len(errors) > 10
    assert not [name for name in PLANTED if name in text]
    assert all(error.__cause__ is None for error in errors)
    assert not [name for name in PLANTED if name in caplog.text]
