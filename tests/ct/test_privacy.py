"""A name planted wherever DICOM holds text appears in nothing that is printed, raised or recorded."""

import json
import logging
import traceback
import zipfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.errors import LongLlavaError

NAME = "Xyzzy^Plugh"
TEXT_VRS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI",
            "UR", "UT")  # fmt: skip
GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0070, 0x0088)
PLANTABLE = sorted(
    tag
    for tag, (vr, *_rest) in DicomDictionary.items()
    if vr in TEXT_VRS and tag >> 16 in GROUPS and tag != 0x00080005
)
# A series needs these to be what it is; the name is planted in each of them on its own.
NEEDED = (0x00080008, 0x00080016, 0x00080060, 0x00200032, 0x00200037, 0x00280004, 0x00280030,
          0x00281052, 0x00281053, 0x00281054)  # fmt: skip


def plant(image, tag) -> None:
    vr = DicomDictionary[tag][0]
    image.add_new(tag, "LO" if vr in ("DS", "IS", "UI") else vr, NAME)


def plant_private(image) -> None:
    image.add_new(0x00090010, "LO", NAME)
    image.add_new(0x00091001, "UT", NAME)
    inner = Dataset()
    inner.PatientName = NAME
    image.RequestAttributesSequence = Sequence([inner])
    image.preamble = NAME.encode().ljust(128, b" ")


def leaks(*texts) -> Any:
    return [text for text in texts if "xyzzy" in text.lower() or "plugh" in text.lower()]


class Listener(logging.Handler):
    """Keeps every record, however low."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines = []

    def emit(self, record) -> None:
        self.lines.append(record.getMessage() + str(record.exc_info))


@pytest.fixture
def watched(capfd, recwarn) -> Any:
    """Returns a function that gives everything said so far, on any channel."""
    listener = Listener()
    root = logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.NOTSET)
    yield lambda: [*capfd.readouterr(), *listener.lines, *(str(w.message) for w in recwarn.list)]
    root.removeHandler(listener)
    root.setLevel(level)


def everything_from(path) -> Any:
    """Open, show and list a path; return all texts that came out, errors included."""
    said = []
    try:
        volume = ct.open_volume(path)
        shown = volume.to_sequence(ct.SlicePolicy(count=2))
        said += [repr(volume), repr(volume.report), json.dumps(volume.report.to_json())]
        said += [repr(volume.facts), repr(volume.source.instances), repr(volume.source)]
        said += [json.dumps(shown.provenance.to_json()), repr(shown.views[0].place)]
    except LongLlavaError as error:
        said += [str(error), repr(error), error.remedy, repr(error.facts)]
        said += traceback.format_exception(error)
    try:
        table = ct.list_series(path)
        said += [str(table), repr(table)]
    except LongLlavaError as error:
        said += [str(error), *traceback.format_exception(error)]
    return said


def write(dicom, folder, edit) -> Any:
    with config.disable_value_validation():
        return dicom.write_series(folder, hu=dicom.phantom((3, 12, 14)), edit=edit)


def test_a_name_in_every_text_element_at_once(dicom, tmp_path, watched) -> None:
    def everywhere(image, _) -> None:
        image.BurnedInAnnotation = "NO"
        kept = {tag: image[tag] for tag in (*NEEDED, 0x00280301)}
        for tag in PLANTABLE:
            plant(image, tag)
        for element in kept.values():
            image.add(element)
        plant_private(image)

    folder = write(dicom, tmp_path / NAME, everywhere)
    watched()  # what writing says is pydicom's own
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{NAME}_{number}.dcm")
    said = everything_from(folder)
    assert len(PLANTABLE) > 1000
    assert any('"source_kind": "dicom"' in text for text in said)
    assert not leaks(*said, *watched())


@pytest.mark.parametrize("tag", NEEDED)
def test_a_name_in_an_element_that_is_needed(tag, dicom, tmp_path, watched) -> None:
    folder = write(dicom, tmp_path / NAME, lambda image, _: plant(image, tag))
    watched()
    said = everything_from(folder)
    assert said
    assert not leaks(*said, *watched())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tags=st.sets(st.sampled_from(PLANTABLE), min_size=1, max_size=12), cut=st.integers(0, 2500))
def test_names_in_damaged_files(tags, cut, dicom, tmp_path, watched) -> None:
    """Any text elements, and one file that ends anywhere: pydicom has much to say about both."""

    def some(image, index) -> None:
        for tag in tags:
            plant(image, tag)

    folder = write(dicom, tmp_path / NAME, some)
    victim = sorted(folder.iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:cut])
    watched()
    said = everything_from(folder)
    assert not leaks(*said, *watched())


def test_names_of_files_folders_and_archive_entries(dicom, tmp_path, watched) -> None:
    folder = write(dicom, tmp_path / f"{NAME} 1970-01-01", lambda *_: None)
    (folder / f"{NAME}.txt").write_text(NAME * 50)
    (folder / f"{NAME}.empty").touch()
    packed = tmp_path / f"{NAME}.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for number, path in enumerate(sorted(folder.iterdir())):
            archive.write(path, f"{NAME}/{number}/{NAME}")
    whole = packed.read_bytes()
    cut = tmp_path / f"{NAME}_cut.zip"
    cut.write_bytes(whole[:-40])
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    damaged = tmp_path / f"{NAME}_damaged.zip"
    damaged.write_bytes(flipped)
    watched()
    places = [folder, packed, cut, damaged, tmp_path / NAME / "nowhere", folder / f"{NAME}.txt"]
    said = [text for place in places for text in everything_from(place)]
    assert not leaks(*said, *watched())
