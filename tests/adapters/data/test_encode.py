from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raster_builder
import training_sets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from longllava_domains.adapters.data.domain_pictures import ScenePicture, VolumePicture, picture_of
from longllava_domains.adapters.data.encode import Encoder, last_answer_only, spell_pictures
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.pictures import ONE_VIEW, ImageFile, Shape
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.ct import SlicePolicy
from longllava_domains.errors import DamagedInputError
from longllava_domains.prompt import encode_training, render_training
from longllava_domains.prompt.training import IGNORED
from longllava_domains.remote_sensing import GridPolicy

TWO_ROUNDS = (("<image>\nWhat?", "A lung."), ("Sure?", "Yes."))


def test_every_answer_with_its_end_is_learned_and_nothing_else(encoder: Encoder) -> None:
    shown = encoder.show(Sample("0", TWO_ROUNDS, (ImageFile(Path("a"), "a"),)))
    assert shown == (
        "<|startoftext|><|User|>\n<img><image></img>\nWhat?\n<|startoftext|><|Assistant|>\n"
        "[[A lung.<|endoftext|>]]<|startoftext|><|User|>\nSure?\n"
        "<|startoftext|><|Assistant|>\n[[Yes.<|endoftext|>]]"
    )


def test_with_loss_on_last_only_the_last_answer_is_learned(encoder: Encoder) -> None:
    sample = Sample("0", TWO_ROUNDS, (ImageFile(Path("a"), "a"),))
    shown = replace(encoder, loss_on="last").show(sample)
    assert shown.endswith("\nA lung.\n<|startoftext|><|User|>\nSure?\n"
                          "<|startoftext|><|Assistant|>\n[[Yes.<|endoftext|>]]")  # fmt: skip
    assert shown.count("[[") == 1


@settings(deadline=None)
@given(st.lists(st.sampled_from([IGNORED, 5, 6]), max_size=12))
def test_the_last_unbroken_run_alone_survives(labels: list[int]) -> None:
    kept = last_answer_only(labels)
    learned = [n for n, label in enumerate(labels) if label != IGNORED]
    surviving = [n for n, label in enumerate(kept) if label != IGNORED]
    assert surviving == learned[len(learned) - len(surviving) :]
    assert bool(surviving) == bool(learned)
    if surviving:
        assert surviving == list(range(surviving[0], surviving[-1] + 1))
        assert surviving[0] == 0 or labels[surviving[0] - 1] == IGNORED


def test_ids_and_labels_are_those_of_the_reference_template(encoder: Encoder) -> None:
    picture = ImageFile(Path("a"), "a")
    encoded = encoder.encode(Sample("0", TWO_ROUNDS, (picture,)))
    expected = encode_training(
        render_training(TWO_ROUNDS, 1),
        encoder.tokenizer,
        tokens_per_image=encoder.config.tokens_per_image,
        image_token_id=encoder.config.image_token_id,
    )
    assert (encoded.input_ids, encoded.labels) == (expected.input_ids, expected.labels)
    assert encoded.learned == sum(label != IGNORED for label in expected.labels)


def test_text_that_is_not_unicode_is_a_fault_of_the_row(encoder: Encoder) -> None:
    with pytest.raises(RowError, match="bad_text"):
        encoder.encode(Sample("0", (("a\ud800", "b"),)))


def test_a_volume_becomes_a_tag_for_each_of_its_views(tmp_path: Path, encoder: Encoder) -> None:
    data = open_data(f"{training_sets.write_ct_rate(tmp_path)}#valid", "ct-rate")
    sample = next(iter(data))[1]
    assert isinstance(sample, Sample)
    volume = sample.pictures[0]
    assert isinstance(volume, VolumePicture)
    few = replace(volume, policy=SlicePolicy(count=3, windows=("lung", "mediastinum")))
    encoded = encoder.encode(replace(sample, pictures=(few,)))
    assert encoded.views == 6 == len(few.load())
    assert encoder.show(replace(sample, pictures=(few,))).count("<img><image></img>") == 6


def test_a_scene_is_spelled_as_a_grid_beside_an_ordinary_image(
    tmp_path: Path, encoder: Encoder
) -> None:
    path = raster_builder.smaller_than_a_tile(tmp_path / "scene.tif")
    scene = picture_of(tmp_path, path.name, grid=GridPolicy(tile_px=32))
    assert isinstance(scene, ScenePicture)
    training_sets.write_images(tmp_path, ["a.png"])
    pictures = (picture_of(tmp_path, "a.png"), scene)
    sample = Sample("0", (("<image> and <image>?", "Yes."),), pictures)
    shape = scene.shape()
    assert shape.layout == "grid"
    assert shape.views == len(scene.load())
    encoded = encoder.encode(sample)
    assert encoded.views == 1 + shape.views
    assert "<img><image></img> and <img><image>\n<img>" in encoder.show(sample)


def test_frames_without_a_tag_lead_the_first_question() -> None:
    rounds, views = spell_pictures([("What?", "a")], [Shape(2, "temporal")], "repaired")
    assert rounds == [("<vid><img><image></img><t><img><image></img></vid>What?", "a")]
    assert views == 2
    plain = [("<image>?", "a")]
    assert spell_pictures(plain, [ONE_VIEW], "reference") == (plain, 1)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 cut", b"<svg/>"])
def test_a_damaged_image_is_an_error_that_hides_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "doe_jane.jpg").write_bytes(data)
    with pytest.raises(DamagedInputError) as caught:
        ImageFile(tmp_path / "doe_jane.jpg", "doe_jane.jpg").load()
    assert "doe" not in str(caught.value)


def test_an_image_of_sixteen_bits_is_not_guessed_at(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(tmp_path / "deep.png")
    with pytest.raises(DamagedInputError):
        ImageFile(tmp_path / "deep.png", "deep.png").load()
