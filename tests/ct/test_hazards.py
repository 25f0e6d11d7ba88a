"""The catalogue of hostile CT folders: for each, the right volume or the right refusal.

Each hazard is a generated folder of real DICOM. `HAZARDS` counts them; the last test prints how
many there are. None of them may give a wrong volume.
"""

import zipfile
from collections import Counter

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.ct import dicom_zip
from longllava_domains.errors import (
    AmbiguousInputError,
    BurnedInError,
    DamagedInputError,
    GeometryError,
    InputError,
    IntensityError,
    PolicyError,
    UnsupportedInputError,
)

HAZARDS: Counter[str] = Counter()


def hazard(section: str, count: int = 1):
    """Count the hazards that a test covers, by section of the fact sheet."""

    def mark(test):
        HAZARDS[section] += count
        return test

    return mark


@pytest.fixture
def phantom(dicom):
    return dicom.phantom()


def assert_whole(volume, phantom, dicom):
    """The volume is the phantom, at its place."""
    np.testing.assert_array_equal(volume.hu, phantom)
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=1e-3)


def refused(path, kind, code, **how):
    """Opening is refused with this error, its numbers and a remedy; return it."""
    with pytest.raises(kind) as caught:
        volume = ct.open_volume(path, **how)
        _ = volume.hu
    assert caught.value.code == code, caught.value
    assert caught.value.remedy
    return caught.value


def shear(images, degrees, spacing=2.5):
    """Tilt a stack: positions lean in the direction of rows."""
    for index, image in enumerate(images):
        x, y, z = image.ImagePositionPatient
        lean = (index - (len(images) - 1) / 2) * spacing * np.tan(np.radians(degrees))
        image.ImagePositionPatient = [x, round(float(y) + lean, 6), z]


# ---- 1.1: the folders that other loaders get wrong ---------------------------------------------


@hazard("1.1")
def test_tilt_with_uneven_spacing_is_refused(dicom, tmp_path):
    images = dicom.datasets()
    shear(images, 18.5)
    for index, image in enumerate(images):
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z + 0.9 * (index % 3)]
    refused(dicom.write(images, tmp_path), GeometryError, "ct.uneven_spacing")
    refused(tmp_path, GeometryError, "ct.uneven_spacing", repair=("tilt", "gaps:9"))


@hazard("1.1")
def test_tilt_is_refused_and_named(dicom, tmp_path):
    images = dicom.datasets()
    shear(images, 16.5)
    error = refused(dicom.write(images, tmp_path), GeometryError, "ct.tilt")
    assert error.facts["tilt_deg"] == pytest.approx(16.5, abs=0.01)
    assert "16.5" in str(error)
    assert '("tilt",)' in error.remedy


def test_tilt_is_straightened_on_request(dicom, tmp_path):
    """A bright column along the body axis, seen by a tilted stack, is straight again."""
    rows, slices, spacing, pixel = 60, 10, 2.5, 0.5
    degrees = float(np.degrees(np.arctan(2 * pixel / spacing)))  # two rows a slice
    hu = np.full((slices, rows, 32), 40, np.int16)
    for k in range(slices):
        hu[k, 20 + 2 * k : 24 + 2 * k, 5:9] = 900
        hu[k, 50, 20] = -500 if k == 0 else 40
    images = dicom.datasets(hu, spacing_mm=(spacing, pixel, pixel))
    shear(images, degrees)
    refused(dicom.write(images, tmp_path), GeometryError, "ct.tilt")
    volume = ct.open_volume(tmp_path, repair=("tilt",))
    assert volume.report.codes["repair.tilt"] == 1
    marked = [set(np.flatnonzero(plane[:, 6] == 900)) for plane in volume.hu]
    assert len(set(map(frozenset, marked))) == 1
    assert len(marked[0]) == 4
    assert volume.hu.shape == (slices, rows + 2 * (slices - 1), 32)
    assert volume.hu.min() == -1024
    # The lone dark voxel of the slice at the head lies where its own header puts it.
    where = np.argwhere(volume.hu == -500)
    assert len(where) == 1
    top = max(images, key=lambda image: float(image.ImagePositionPatient[2]))
    lps = np.array(top.ImagePositionPatient, float) + np.array([20 * pixel, 50 * pixel, 0])
    ras = volume.affine_ras_mm @ [*where[0], 1]
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-3)


@hazard("1.1")
def test_a_summary_series_of_pages_and_surviews_is_never_shown(dicom, tmp_path):
    def page(image, index):
        image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        image.BurnedInAnnotation = "YES"
        image.ImageType = ["DERIVED", "SECONDARY", ["PATIENT_INFO", "DOSE_INFO"][index % 2]]
        del image.FrameOfReferenceUID

    refused(dicom.write_series(tmp_path, edit=page), BurnedInError, "input.pages")


@hazard("1.1")
def test_an_over_anonymised_series_opens(dicom, phantom, tmp_path):
    def empty(image, _):
        image.SOPClassUID = image.SOPInstanceUID = image.SeriesInstanceUID = ""
        image.StudyInstanceUID = ""
        image.SliceThickness = 3

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=empty, syntax=dicom.LOSSLESS["jpeg2000"])
    )
    assert_whole(volume, phantom, dicom)


@hazard("1.1")
def test_duplicate_positions_with_holes_are_refused(dicom, tmp_path):
    images = dicom.datasets()
    for index, z in enumerate((0.0, 0.0, 25.0, 50.0, 50.0, 165.0, 190.0, 215.0)):
        images[index].ImagePositionPatient = [0, 0, z]
    error = refused(dicom.write(images, tmp_path), GeometryError, "ct.duplicates")
    assert error.facts["repeated"] == 2
    refused(tmp_path, GeometryError, "ct.duplicates_differ", repair=("duplicates",))


@hazard("1.1")
def test_images_at_one_position_are_not_a_volume(dicom, tmp_path):
    def same(image, _):
        image.ImagePositionPatient = [0, 0, 0]

    refused(dicom.write_series(tmp_path, edit=same), GeometryError, "ct.duplicates")


@hazard("1.1")
def test_two_orientations_are_two_series_and_neither_is_guessed(dicom, tmp_path):
    images = dicom.datasets() + dicom.datasets(plane="coronal")[:8]
    dicom.write(images, tmp_path)
    table = ct.list_series(tmp_path)
    assert sorted(row.plane for row in table) == ["axial", "coronal"]
    volume = ct.open_volume(tmp_path)
    assert volume.report.codes["choice.plane"] == 1
    assert volume.shape == dicom.SHAPE


@hazard("1.1")
def test_missing_slices_are_refused_and_filled_on_request(dicom, phantom, tmp_path):
    images = dicom.datasets()
    del images[3:5]
    error = refused(dicom.write(images, tmp_path), GeometryError, "ct.gap")
    assert error.facts["missing"] == 2
    assert error.facts["in_a_row"] == 2
    refused(tmp_path, GeometryError, "ct.gap", repair=("gaps:1",))
    volume = ct.open_volume(tmp_path, repair=("gaps",))
    assert volume.report.codes["repair.gaps"] == 2
    assert volume.source.synthetic == (False, False, False, True, True, False, False, False)
    kept = [k for k, made in enumerate(volume.source.synthetic) if not made]
    np.testing.assert_array_equal(volume.hu[kept], phantom[kept])
    expected = phantom[2] + (phantom[5].astype(float) - phantom[2]) / 3
    np.testing.assert_allclose(volume.hu[3], expected, atol=0.51)
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=1e-3)


@hazard("1.1")
def test_a_duplicate_file_is_refused_and_dropped_on_request(dicom, phantom, tmp_path):
    images = dicom.datasets()
    refused(dicom.write([*images, images[3]], tmp_path), GeometryError, "ct.duplicates")
    volume = ct.open_volume(tmp_path, repair=("duplicates",))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["repair.duplicates"] == 1


@hazard("1.1")
def test_two_series_in_a_folder_are_never_merged(dicom, phantom, tmp_path):
    other = dicom.phantom(seed=5)
    dicom.write(dicom.datasets(), tmp_path, "a")
    dicom.write(dicom.datasets(other, series="2"), tmp_path, "b")
    error = refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    assert error.facts["equal"] == (1, 2)
    assert_whole(ct.open_volume(tmp_path, series=1), phantom, dicom)
    np.testing.assert_array_equal(ct.open_volume(tmp_path, series=2).hu, other)
    np.testing.assert_array_equal(ct.open_volume(tmp_path, series=f"{dicom.ROOT}.2").hu, other)


@hazard("1.1")
def test_two_phases_under_one_uid_are_told_apart(dicom, phantom, tmp_path):
    late = dicom.datasets(dicom.phantom(seed=9))
    for image in late:
        image.AcquisitionNumber = 2
        image.SOPInstanceUID += ".2"
    dicom.write([*dicom.datasets(), *late], tmp_path)
    refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    table = ct.list_series(tmp_path)
    assert [row.split_by for row in table] == [("acquisition",), ("acquisition",)]
    volumes = [ct.open_volume(tmp_path, series=row.key).hu for row in table]
    assert any(np.array_equal(hu, phantom) for hu in volumes)
    assert any(np.array_equal(hu, dicom.phantom(seed=9)) for hu in volumes)


@hazard("1.1")
def test_no_position_is_refused(dicom, tmp_path):
    def drop(image, _):
        del image.ImagePositionPatient

    error = refused(dicom.write_series(tmp_path, edit=drop), GeometryError, "ct.no_position")
    assert error.facts["lacking"] == 8


@hazard("1.1")
def test_a_rescale_that_varies_by_slice_is_applied_by_slice(dicom, phantom, tmp_path):
    images = []
    for index, intercept in enumerate((-1024, -1000, -2000, -1024, -512, -1100, -1024, -900)):
        image = dicom.datasets(intercept=-3000, bits=16)[index]
        stored = np.frombuffer(image.PixelData, "<u2").astype(int) - 3000 - intercept
        image.PixelRepresentation = 1
        image.PixelData = stored.astype("<i2").tobytes()
        image.RescaleIntercept = intercept
        images.append(image)
    volume = ct.open_volume(dicom.write(images, tmp_path))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["hu.rescale_varies"] == 6


@hazard("1.1")
@pytest.mark.parametrize(
    "name", ["explicit", "jpeg_lossless", "jpeg_ls", "jpeg2000", "rle", "deflated"]
)
def test_a_truncated_file_is_refused_not_dropped(name, dicom, tmp_path):
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS[name])
    victim = sorted(folder.iterdir())[2]
    data = victim.read_bytes()
    # Closer to the end than a fragment's padding and delimiter would prove nothing.
    victim.write_bytes(data[: len(data) - 300])
    with pytest.raises((DamagedInputError, GeometryError)):
        _ = ct.open_volume(folder).hu
    victim.write_bytes(data[:900])
    with pytest.raises((DamagedInputError, GeometryError)):
        _ = ct.open_volume(folder).hu


@hazard("1.1")
def test_shuffled_instance_numbers_do_not_matter(dicom, phantom, tmp_path):
    def shuffle(image, index):
        image.InstanceNumber = (5 * index) % 8 + 1

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=shuffle)), phantom, dicom)


@hazard("1.1")
@pytest.mark.parametrize("victim", [3, 0])
def test_a_slice_of_another_size_is_never_stacked(victim, dicom, phantom, tmp_path):
    def crop(image, index):
        if index == victim:
            image.Rows = 38
            image.PixelData = image.PixelData[: 38 * 48 * 2]

    folder = dicom.write_series(tmp_path, edit=crop)
    error = refused(folder, GeometryError, "ct.mixed_size")
    assert error.facts["other_size"] == 1
    largest = max(ct.list_series(folder), key=lambda row: row.images).number
    if victim:
        refused(folder, GeometryError, "ct.gap", series=largest)
    else:
        volume = ct.open_volume(folder, series=largest)
        np.testing.assert_array_equal(volume.hu, phantom[:-1])
        assert volume.report.codes["file.other_series"] == 1


@hazard("1.1")
def test_a_zero_byte_file_is_set_aside_and_counted(dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path)
    (folder / "empty.dcm").touch()
    volume = ct.open_volume(folder)
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["file.empty"] == 1


# ---- A: finding the files ----------------------------------------------------------------------


@hazard("A", 8)
@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("notes.txt", b"Dear colleague, please find the scan attached. " * 20, "file.not_dicom"),
        ("key.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 400, "file.not_dicom"),
        ("letter.pdf", b"%PDF-1.7" + b"\0" * 400, "file.not_dicom"),
        ("viewer.exe", b"MZ\x90\0" + b"\0" * 400, "file.not_dicom"),
        (".DS_Store", b"\0\0\0\1Bud1" + b"\0" * 400, "file.clutter"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0" * 200, "file.clutter"),
        ("__MACOSX/._s001", b"\0\5\x16\7" * 200, "file.clutter"),
        ("magic_only.dcm", b"\0" * 128 + b"DICM", "file.unparsable"),
    ],
)
def test_what_is_not_dicom_is_set_aside_and_counted(name, content, code, dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path / "study")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    volume = ct.open_volume(folder)
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes[code] == 1


def write_dicomdir(dicom, folder, file_ids):
    directory = Dataset()
    directory.file_meta = dicom.datasets()[0].file_meta
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.FileSetID = "STUDY"
    records = []
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = file_id
        records.append(record)
    directory.DirectoryRecordSequence = Sequence(records)
    return dicom.save(directory, folder / "DICOMDIR")


@hazard("A", 2)
def test_a_dicomdir_is_a_hint_and_cannot_leave_its_folder(dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path / "in" / "SER1").parent
    secret = dicom.datasets(dicom.phantom(seed=3), series="2")
    dicom.write(secret, tmp_path / "outside")
    listed = [["SER1", "S000"], ["SER1", "MISSING"], ["..", "outside", "s000"]]
    directory = write_dicomdir(dicom, folder, listed)
    for path in (folder, directory):
        assert_whole(ct.open_volume(path), phantom, dicom)
    codes = ct.open_volume(directory).report.codes
    assert codes["file.dicomdir"] == 1
    assert codes["dicomdir.escape"] == 1
    assert codes["dicomdir.missing"] == 2  # S000 is spelled s000 on this disk


@hazard("A")
@pytest.mark.parametrize("name", ["explicit", "implicit", "big_endian"])
def test_files_without_preamble_or_meta_are_read(name, dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS[name])
    for path in folder.iterdir():
        data = path.read_bytes()
        length = int.from_bytes(data[140:144], "little")
        path.write_bytes(data[144 + length :])
    assert_whole(ct.open_volume(folder), phantom, dicom)


@hazard("A")
def test_meta_without_preamble_is_read(dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS["jpeg_ls"])
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert_whole(ct.open_volume(folder), phantom, dicom)


@hazard("A")
def test_compressed_pixels_without_a_transfer_syntax_speak_for_themselves(dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS["jpeg_ls"])
    for path in folder.iterdir():
        data = path.read_bytes()
        length = int.from_bytes(data[140:144], "little")
        path.write_bytes(data[144 + length :])
    volume = ct.open_volume(folder)
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["decoder.by_content"] == 8


@hazard("A", 3)
def test_nested_unicode_folders_and_symlink_loops(dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path / "Müller" / "断层" / "a")
    (folder / "loop").symlink_to(tmp_path)
    (folder / "again").symlink_to(folder / "s000")
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    volume = ct.open_volume(tmp_path)
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["file.linked_again"] == 1
    assert volume.report.codes["file.unreadable"] == 1


def zipped(folder, path, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@hazard("A", 2)
def test_zip_entries_cannot_escape_and_clutter_is_counted(dicom, phantom, tmp_path):
    path = zipped(dicom.write_series(tmp_path / "a"), tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../../evil.dcm", b"text" * 100)
        archive.writestr("/abs/inner.zip", b"PK")
        archive.writestr("__MACOSX/._x", b"x")
    before = sorted(tmp_path.rglob("*"))
    volume = ct.open_volume(path)
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["file.nested_archive"] == 1
    assert volume.report.codes["file.clutter"] == 1
    assert sorted(tmp_path.rglob("*")) == before


@hazard("A", 4)
def test_zip_bombs_and_broken_archives_are_refused(dicom, tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (80 << 20))
    error = refused(bomb, UnsupportedInputError, "zip.limits")
    assert error.facts["ratio"] > 200
    whole = zipped(dicom.write_series(tmp_path / "a"), tmp_path / "a.zip")
    monkeypatch.setattr(dicom_zip, "MAX_ENTRIES", 5)
    assert refused(whole, UnsupportedInputError, "zip.limits").facts["entries"] == 8
    monkeypatch.undo()
    whole = whole.read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    refused(cut, DamagedInputError, "zip.damaged")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10  # inside one entry: its CRC no longer holds
    cut.write_bytes(flipped)
    with pytest.raises(InputError):
        _ = ct.open_volume(cut).hu


# ---- B: grouping into series -------------------------------------------------------------------


@hazard("B", 4)
@pytest.mark.parametrize("word", ["LOCALIZER", "REF_SURVIEW", "SCOUT", "TOPOGRAM"])
def test_a_scout_under_the_same_uid_is_left_out(word, dicom, phantom, tmp_path):
    scout = dicom.datasets(plane="coronal")[:2]
    for image in scout:
        image.ImageType = ["ORIGINAL", "PRIMARY", word]
    volume = ct.open_volume(dicom.write([*dicom.datasets(), *scout], tmp_path))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["file.other_series"] == 2
    scouts = tmp_path / "only"
    refused(dicom.write(scout, scouts), UnsupportedInputError, "series.no_volume")


@hazard("B", 3)
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("TemporalPositionIdentifier", 2), ("TriggerTime", "450"), ("KVP", 80)],
)
def test_phases_gates_and_energies_are_told_apart(keyword, value, dicom, phantom, tmp_path):
    other = dicom.datasets(dicom.phantom(seed=4))
    for image in other:
        setattr(image, keyword, value)
    dicom.write([*dicom.datasets(), *other], tmp_path)
    refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    volumes = [ct.open_volume(tmp_path, series=number).hu for number in (1, 2)]
    assert sum(np.array_equal(hu, phantom) for hu in volumes) == 1
    assert sum(np.array_equal(hu, dicom.phantom(seed=4)) for hu in volumes) == 1


@hazard("B", 3)
@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda image: setattr(image, "ImageType", ["DERIVED", "SECONDARY", "MPR"]), "kind"),
        (lambda image: setattr(image, "ImageType", ["DERIVED", "PRIMARY", "AXIAL"]), "original"),
        (lambda image: setattr(image, "ConvolutionKernel", "B70f"), "kernel"),
    ],
)
def test_other_reconstructions_under_one_uid_are_other_series(edit, code, dicom, phantom, tmp_path):
    other = dicom.datasets(dicom.phantom(seed=4))
    for image in other:
        edit(image)
    dicom.write([*other, *dicom.datasets()], tmp_path)
    volume = ct.open_volume(tmp_path)
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes[f"choice.{code}"] == 1
    if code == "kernel":
        sharp = ct.open_volume(tmp_path, series="sharp")
        np.testing.assert_array_equal(sharp.hu, dicom.phantom(seed=4))


@hazard("B")
def test_table_steps_numbered_as_acquisitions_stay_one_volume(dicom, phantom, tmp_path):
    def step(image, index):
        image.AcquisitionNumber = index // 2 + 1

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=step)), phantom, dicom)


@hazard("B")
def test_thinner_and_longer_series_win(dicom, tmp_path):
    thin = dicom.phantom((24, 40, 48))
    dicom.write(dicom.datasets(thin, spacing_mm=(1.25, 0.8, 0.7), series="2"), tmp_path, "b")
    dicom.write(dicom.datasets(), tmp_path, "a")
    volume = ct.open_volume(tmp_path)
    np.testing.assert_array_equal(volume.hu, thin)
    assert volume.report.codes["choice.thin"] == 1
    chosen = [row for row in ct.list_series(tmp_path) if row.chosen]
    assert [row.reason for row in chosen] == ["thinnest"]


@hazard("B", 2)
@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_patients_mixed_under_one_uid_are_refused(keyword, dicom, tmp_path):
    def mix(image, index):
        if index == 4:
            setattr(image, keyword, "1.2.3.4")

    folder = dicom.write_series(tmp_path, edit=mix)
    refused(folder, AmbiguousInputError, "series.mixed_patients")
    refused(folder, AmbiguousInputError, "series.mixed_patients", series=1)


@hazard("B")
def test_empty_uids_of_two_geometries_are_two_series(dicom, phantom, tmp_path):
    images = dicom.datasets() + dicom.datasets(dicom.phantom((6, 32, 48)), series="2")
    for image in images:
        image.SeriesInstanceUID = image.SOPInstanceUID = image.StudyInstanceUID = ""
        image.SeriesNumber = None
    dicom.write(images, tmp_path)
    sizes = sorted((row.images, row.rows) for row in ct.list_series(tmp_path))
    assert sizes == [(6, 32), (8, 40)]


@hazard("B", 6)
@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.88.67",  # X-ray radiation dose SR
        "1.2.840.10008.5.1.4.1.1.88.59",  # key object selection
        "1.2.840.10008.5.1.4.1.1.11.1",  # presentation state
        "1.2.840.10008.5.1.4.1.1.66.4",  # segmentation
        "1.2.840.10008.5.1.4.1.1.481.3",  # RT structure set
        "1.2.840.10008.5.1.4.1.1.104.1",  # encapsulated PDF
    ],
)
def test_objects_that_are_no_images_are_set_aside(sop_class, dicom, phantom, tmp_path):
    other = dicom.datasets()[0]
    other.SOPClassUID, other.Modality = sop_class, "SR"
    del other.PixelData
    dicom.save(other, tmp_path / "other.dcm")
    volume = ct.open_volume(dicom.write_series(tmp_path))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["file.no_image"] == 1


@hazard("B", 4)
@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"BurnedInAnnotation": "YES"}, "page.burned_in"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "page.secondary_capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}, "page.screen"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"}, "file.other_modality"),
    ],
)
def test_pages_and_other_modalities_are_never_shown(edit, code, dicom, phantom, tmp_path):
    page = dicom.datasets(dicom.phantom(seed=8))[0]
    for keyword, value in edit.items():
        setattr(page, keyword, value)
    dicom.save(page, tmp_path / "page.dcm")
    volume = ct.open_volume(dicom.write_series(tmp_path))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes[code] == 1


# ---- C: ordering and geometry ------------------------------------------------------------------


@hazard("C", 4)
@pytest.mark.parametrize("numbers", ["absent", "equal", "reversed", "words"])
def test_order_comes_from_positions_alone(numbers, dicom, phantom, tmp_path):
    def spoil(image, index):
        value = {"absent": None, "equal": 1, "reversed": 99 - index, "words": 1}[numbers]
        image.InstanceNumber = value
        if numbers == "words":
            image.add_new(0x00200013, "LO", "seven")
        image.SliceLocation = str((3 * index) % 8)

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=spoil)), phantom, dicom)


@hazard("C", 3)
@pytest.mark.parametrize("claim", [0, -2.5, 5.0])
def test_thickness_and_header_spacing_are_not_spacing(claim, dicom, phantom, tmp_path):
    def lie(image, _):
        image.SliceThickness = 3
        image.SpacingBetweenSlices = claim

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=lie))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes.get("geometry.header_spacing_differs", 0) == (0 if claim < 0 else 8)


@hazard("C", 2)
def test_small_rounding_of_positions_is_fine_and_more_is_not(dicom, phantom, tmp_path):
    def rounded(image, index):
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, round(z, 1)]

    volume = ct.open_volume(dicom.write_series(tmp_path / "a", edit=rounded))
    np.testing.assert_array_equal(volume.hu, phantom)
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=0.051)

    def uneven(image, index):
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z + (0.4 if index == 3 else 0)]

    error = refused(
        dicom.write_series(tmp_path / "b", edit=uneven), GeometryError, "ct.uneven_spacing"
    )
    assert error.facts["largest_mm"] == pytest.approx(2.9)


@hazard("C")
def test_the_tilt_tag_is_not_believed(dicom, phantom, tmp_path):
    def claim(image, _):
        image.GantryDetectorTilt = "18.5"

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=claim)), phantom, dicom)


@hazard("C", 3)
@pytest.mark.parametrize("position", ["FFS", "HFP", "HFDR"])
def test_patient_position_is_already_in_the_axes(position, dicom, phantom, tmp_path):
    """The stored axes turn with the patient: prone, rows run to the front."""
    turns = {"FFS": np.diag([1.0, 1, 1]), "HFP": np.diag([-1.0, -1, 1]),
             "HFDR": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])}  # fmt: skip
    turn = turns[position]
    images = dicom.datasets(turn=turn)
    for image in images:
        image.PatientPosition = position
    volume = ct.open_volume(dicom.write(images, tmp_path))
    stored = dicom.affine_ras_mm(turn=turn)
    # The same places hold the same values, whatever order they were stored in.
    for index in [(0, 0, 0), (7, 3, 40), (2, 39, 11)]:
        ras = stored @ [*index, 1]
        found = np.rint(np.linalg.inv(volume.affine_ras_mm) @ ras).astype(int)[:3]
        assert volume.hu[tuple(found)] == phantom[index]
    axes = volume.affine_ras_mm[:3, :3]
    assert axes[2, 0] < 0 and axes[1, 1] < 0 and axes[0, 2] < 0


@hazard("C", 5)
@pytest.mark.parametrize(
    ("keyword", "value", "kind", "code"),
    [
        ("PixelSpacing", None, GeometryError, "ct.no_pixel_spacing"),
        ("PixelSpacing", [0.7], GeometryError, "ct.no_pixel_spacing"),
        ("PixelSpacing", [0, 0.7], GeometryError, "ct.pixel_spacing"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 1, 0], GeometryError, "ct.orientation"),
        ("ImageOrientationPatient", [2, 0, 0, 0, 1, 0], GeometryError, "ct.orientation"),
    ],
)
def test_impossible_planes_are_refused(keyword, value, kind, code, dicom, tmp_path):
    def spoil(image, _):
        image.ImagerPixelSpacing = [0.5, 0.5]
        setattr(image, keyword, value)

    refused(dicom.write_series(tmp_path, edit=spoil), kind, code)


@hazard("C")
def test_row_spacing_comes_before_column_spacing(dicom, tmp_path):
    volume = ct.open_volume(dicom.write_series(tmp_path))
    assert volume.spacing_mm == pytest.approx((2.5, 0.8, 0.7))


@hazard("C")
def test_mixed_pixel_spacing_is_refused(dicom, tmp_path):
    def zoom(image, index):
        if index == 2:
            image.PixelSpacing = [0.4, 0.35]

    refused(dicom.write_series(tmp_path, edit=zoom), GeometryError, "ct.mixed_spacing")


@hazard("C")
def test_slices_shifted_sideways_are_refused(dicom, tmp_path):
    def shift(image, index):
        if index == 4:
            x, y, z = map(float, image.ImagePositionPatient)
            image.ImagePositionPatient = [x + 3, y, z]

    refused(dicom.write_series(tmp_path, edit=shift), GeometryError, "ct.sideways")


@hazard("C")
def test_animals_are_refused(dicom, tmp_path):
    def animal(image, _):
        image.AnatomicalOrientationType = "QUADRUPED"

    refused(dicom.write_series(tmp_path, edit=animal), UnsupportedInputError, "ct.quadruped")


@hazard("C", 2)
def test_one_slice_is_no_volume_unless_asked(dicom, phantom, tmp_path):
    path = dicom.save(dicom.datasets()[3], tmp_path / "one.dcm")
    refused(path, GeometryError, "ct.single_slice")
    volume = ct.open_volume(path, repair=("single",))
    np.testing.assert_array_equal(volume.hu[0], phantom[4])
    assert volume.spacing_mm[0] == 3
    with pytest.raises(PolicyError):
        ct.open_volume(path, repair=("wish",))


# ---- D: pixels to Hounsfield units -------------------------------------------------------------


@hazard("D", 3)
@pytest.mark.parametrize("slope", [None, 0, 2])
def test_rescale_missing_zero_or_lost_is_not_believed(slope, dicom, tmp_path):
    def lose(image, _):
        if slope is None:
            del image.RescaleSlope, image.RescaleIntercept
        else:
            image.RescaleSlope = slope
            image.RescaleIntercept = 0 if slope == 2 else -1024

    folder = dicom.write_series(tmp_path, edit=lose)
    if slope == 2:  # a header that claims a rescale to HU is believed, and says so
        assert ct.open_volume(folder).report.codes["hu.rescale"] == 8
        return
    code = "hu.unproved" if slope is None else "hu.rescale_unreadable"
    refused(folder, IntensityError, code)
    given = ct.open_volume(folder, hu=(1, -1024))
    np.testing.assert_array_equal(given.hu, dicom.phantom())
    assert given.report.codes["hu.given"] == 8


@hazard("D")
def test_values_that_prove_themselves_need_no_rescale(dicom, phantom, tmp_path):
    def lose(image, _):
        del image.RescaleSlope, image.RescaleIntercept

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=lose, signed=True, intercept=0, bits=16)
    )
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["hu.proved_by_values"] == 8


@hazard("D", 2)
def test_another_unit_and_lookup_tables_are_refused(dicom, tmp_path):
    def density(image, _):
        image.RescaleType = "Z_EFF"

    refused(dicom.write_series(tmp_path / "a", edit=density), IntensityError, "hu.other_unit")

    def table(image, _):
        item = Dataset()
        item.LUTDescriptor, item.ModalityLUTType = [4, 0, 16], "US"
        item.add_new(0x00283006, "OW", b"\0" * 8)
        image.ModalityLUTSequence = Sequence([item])
        del image.RescaleSlope, image.RescaleIntercept

    refused(dicom.write_series(tmp_path / "b", edit=table), IntensityError, "hu.other_unit")


@hazard("D")
def test_a_real_world_mapping_is_reported_and_not_used(dicom, phantom, tmp_path):
    def map_values(image, _):
        item = Dataset()
        item.RealWorldValueSlope, item.RealWorldValueIntercept = 3.0, 7.0
        image.RealWorldValueMappingSequence = Sequence([item])

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=map_values))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["hu.real_world_mapping_not_used"] == 8


@hazard("D", 2)
@pytest.mark.parametrize("signed", [False, True])
def test_unused_bits_are_masked(signed, dicom, phantom, tmp_path):
    def soil(image, _):
        stored = np.frombuffer(image.PixelData, "<u2") & 0x0FFF
        image.BitsStored, image.HighBit = 12, 11
        image.PixelData = (stored | 0xA000).astype("<u2").tobytes()

    how = {"signed": True, "intercept": 0, "bits": 16} if signed else {}
    volume = ct.open_volume(dicom.write_series(tmp_path, edit=soil, **how), hu="trust")
    assert_whole(volume, phantom, dicom)


@hazard("D")
def test_a_high_bit_above_the_stored_bits_is_honoured(dicom, phantom, tmp_path):
    def lift(image, _):
        stored = np.frombuffer(image.PixelData, "<u2").astype(int)
        image.BitsStored, image.HighBit = 12, 15
        image.PixelData = (stored << 4 | 0x7).astype("<u2").tobytes()

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=lift)), phantom, dicom)


@hazard("D", 4)
@pytest.mark.parametrize(
    ("value", "limit", "signed"),
    [(-2000, None, True), (-1500, None, True), (63536, None, False), (-3000, -2000, True)],
)
def test_padding_becomes_air(value, limit, signed, dicom, phantom, tmp_path):
    """63536 is -2000 written as VR US, beside signed pixels or in bits beyond those stored."""
    hidden = value if limit is None else -2500
    how = {"signed": True, "intercept": 0, "bits": 16} if signed else {}

    def pad(image, _):
        vr = "SS" if signed else "US"
        image.add_new(0x00280120, vr, value)
        if limit is not None:
            image.add_new(0x00280121, vr, limit)
        stored = np.frombuffer(image.PixelData, "<i2" if signed else "<u2").copy()
        stored[:48] = hidden
        image.PixelData = stored.tobytes()

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=pad, **how), hu="trust")
    expected = phantom.copy()
    expected[:, 0, :] = -1024
    np.testing.assert_array_equal(volume.hu, expected)
    assert volume.report.codes["padding.declared"] == 8


@hazard("D")
def test_padding_us_beside_signed_pixels(dicom, phantom, tmp_path):
    def pad(image, _):
        image.add_new(0x00280120, "US", 63536)
        stored = np.frombuffer(image.PixelData, "<i2").copy()
        stored[:48] = -2000
        image.PixelData = stored.tobytes()

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=pad, signed=True, intercept=0, bits=16), hu="trust"
    )
    assert set(volume.hu[:, 0, :].ravel()) == {-1024}
    np.testing.assert_array_equal(volume.hu[:, 1:], phantom[:, 1:])


@hazard("D")
def test_a_padding_value_that_is_tissue_is_not_padding(dicom, phantom, tmp_path):
    def pad(image, _):
        image.add_new(0x00280120, "US", 1064)

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=pad))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["padding.inside_patient_range"] == 8


@hazard("D")
def test_monochrome1_is_not_inverted(dicom, phantom, tmp_path):
    def invert(image, _):
        image.PhotometricInterpretation = "MONOCHROME1"

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=invert))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["pixel.monochrome1_not_inverted"] == 8


@hazard("D", 3)
def test_values_beyond_int16_are_refused_and_fractions_rounded(dicom, phantom, tmp_path):
    def steep(image, _):
        image.RescaleSlope = "40"

    refused(dicom.write_series(tmp_path / "a", edit=steep), IntensityError, "hu.range")

    def half(image, _):
        image.RescaleSlope, image.RescaleIntercept = "0.5", "-512"

    volume = ct.open_volume(dicom.write_series(tmp_path / "b", edit=half))
    np.testing.assert_array_equal(volume.hu, np.rint(phantom * 0.5).astype(np.int16))
    assert volume.report.codes["hu.rounded"] == 8

    wide = np.zeros((4, 8, 8), np.int16)
    wide[:] = np.linspace(-1024, 32767, 256).reshape(4, 8, 8)
    images = dicom.datasets(wide, bits=16)
    np.testing.assert_array_equal(ct.open_volume(dicom.write(images, tmp_path / "c")).hu, wide)


@hazard("D", 3)
@pytest.mark.parametrize("kind", ["float", "eight", "rgb"])
def test_pixels_that_are_not_ct_are_refused(kind, dicom, tmp_path):
    def change(image, _):
        if kind == "float":
            pixels = np.frombuffer(image.PixelData, "<u2").astype("<f4").tobytes()
            del image.PixelData
            image.FloatPixelData, image.BitsAllocated = pixels, 32
        elif kind == "eight":
            image.PixelData = image.PixelData[::2]
            image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        else:
            image.SamplesPerPixel, image.PhotometricInterpretation = 3, "RGB"
            image.PlanarConfiguration = 0

    folder = dicom.write_series(tmp_path, edit=change)
    with pytest.raises(InputError) as caught:
        ct.open_volume(folder)
    assert caught.value.code in ("input.no_ct", "input.pages")


@hazard("D", 2)
def test_overlays_do_not_touch_the_pixels(dicom, phantom, tmp_path):
    def overlay(image, _):
        stored = np.frombuffer(image.PixelData, "<u2") | 0x4000
        image.PixelData = stored.astype("<u2").tobytes()
        image.add_new(0x60000010, "US", 40)
        image.add_new(0x60000011, "US", 48)
        image.add_new(0x60000100, "US", 16)
        image.add_new(0x60000102, "US", 14)
        image.add_new(0x60003000, "OW", b"\xff" * 240)

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=overlay)), phantom, dicom)


@hazard("D")
def test_lossy_compression_is_reported(dicom, phantom, tmp_path):
    def lossy(image, _):
        image.LossyImageCompression = "01"

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=lossy))
    assert volume.report.codes["pixel.lossy"] == 8


# ---- E: transfer syntaxes and decoders -----------------------------------------------------------


def decodable(dicom, folder, syntax, edit):
    return dicom.write_series(folder, syntax=dicom.LOSSLESS[syntax], edit=edit)


@hazard("E", 3)
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("syntax", ["jpeg_lossless", "jpeg_ls", "jpeg2000"])
def test_a_frame_in_several_fragments(syntax, table, dicom, phantom, tmp_path):
    from pydicom.encaps import encapsulate, generate_frames

    def split(image, _):
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        image.PixelData = encapsulate([frame], fragments_per_frame=3, has_bot=table)

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, syntax, split)), phantom, dicom)


@hazard("E", 2)
def test_extended_and_wrong_offset_tables(dicom, phantom, tmp_path):
    from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

    def extended(image, index):
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        if index % 2:
            pixels, offsets, lengths = encapsulate_extended([frame])
            image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = offsets, lengths
        else:
            pixels = bytearray(encapsulate([frame], has_bot=True))
            pixels[8:12] = (77_777).to_bytes(4, "little")
        image.PixelData = bytes(pixels)

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, "jpeg2000", extended)), phantom, dicom)


@hazard("E", 2)
@pytest.mark.parametrize("frames", [0, 3])
def test_a_number_of_frames_that_is_wrong(frames, dicom, phantom, tmp_path):
    def count(image, _):
        image.NumberOfFrames = frames

    for syntax in ("explicit", "jpeg_ls"):
        folder = decodable(dicom, tmp_path / syntax, syntax, count)
        if frames == 0:
            assert_whole(ct.open_volume(folder), phantom, dicom)
        else:
            with pytest.raises((DamagedInputError, GeometryError)):
                _ = ct.open_volume(folder).hu


def with_frame(change):
    """Return an edit that changes the encoded frame of each image."""
    from pydicom.encaps import encapsulate, generate_frames

    def edit(image, _):
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        image.PixelData = encapsulate([change(bytes(frame))])

    return edit


def without_end(frame):
    return frame[: frame.rindex(b"\xff\xd9")]


@hazard("E", 2)
@pytest.mark.parametrize("syntax", ["jpeg_lossless", "jpeg_lossless_sv1"])
def test_a_missing_end_marker_is_fine_where_nothing_else_is_missing(
    syntax, dicom, phantom, tmp_path
):
    folder = decodable(dicom, tmp_path, syntax, with_frame(without_end))
    assert_whole(ct.open_volume(folder), phantom, dicom)


@hazard("E", 4)
@pytest.mark.parametrize("syntax", ["jpeg_lossless", "jpeg_ls", "jpeg2000", "htj2k"])
def test_a_codestream_cut_inside_a_whole_fragment_is_refused(syntax, dicom, tmp_path):
    folder = decodable(dicom, tmp_path, syntax, with_frame(lambda frame: frame[: len(frame) // 2]))
    refused(folder, DamagedInputError, "ct.damaged_pixels")


@hazard("E")
def test_jp2_boxes_around_a_codestream(dicom, phantom, tmp_path):
    import imagecodecs

    def boxed(image, index):
        stored = (phantom[7 - index].astype(int) + 1024).astype(np.uint16)
        dicom.set_pixels(image, [imagecodecs.jpeg2k_encode(stored, level=0, codecformat="jp2")])

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, "jpeg2000", boxed)), phantom, dicom)


@hazard("E")
def test_a_sequence_delimiter_inside_the_frame(dicom, phantom, tmp_path):
    """Bytes that look like the delimiter inside a fragment do not end it."""

    def comment(frame):
        payload = b"\xfe\xff\xdd\xe0\0\0\0\0"
        marker = b"\xff\xfe" + (len(payload) + 2).to_bytes(2, "big") + payload
        return frame[:2] + marker + frame[2:]

    folder = decodable(dicom, tmp_path, "jpeg_lossless", with_frame(comment))
    assert_whole(ct.open_volume(folder), phantom, dicom)


@hazard("E", 2)
@pytest.mark.parametrize("signed_stream", [False, True])
def test_the_header_decides_the_sign_not_the_codestream(signed_stream, dicom, phantom, tmp_path):
    import imagecodecs

    def mismatch(image, index):
        stored = phantom[7 - index]
        pattern = stored if signed_stream else stored.view(np.uint16)
        image.PixelRepresentation, image.RescaleIntercept = 1, 0
        image.BitsStored, image.HighBit = 16, 15
        encoded = imagecodecs.jpeg2k_encode(pattern, level=0, codecformat="j2k", reversible=True)
        dicom.set_pixels(image, [encoded])

    folder = decodable(dicom, tmp_path, "jpeg2000", mismatch)
    assert_whole(ct.open_volume(folder, hu="trust"), phantom, dicom)


@hazard("E")
def test_a_codestream_of_another_size_is_refused(dicom, tmp_path):
    def shrink(image, _):
        image.Rows = 39

    refused(decodable(dicom, tmp_path, "jpeg2000", shrink), DamagedInputError, "ct.damaged_pixels")


@hazard("E")
def test_a_syntax_that_the_codestream_contradicts_still_decodes(dicom, phantom, tmp_path):
    def relabel(image, _):
        image.file_meta.TransferSyntaxUID = dicom.LOSSLESS["jpeg_lossless_sv1"]

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, "jpeg_ls", relabel)), phantom, dicom)


@hazard("E", 2)
@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.4.110", b"1.2.840.10008.1.2.4.100"])
def test_jpeg_xl_and_video_are_refused(syntax, dicom, tmp_path):
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS["htj2k"])
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.201", syntax))
    refused(folder, UnsupportedInputError, "ct.transfer_syntax")


@hazard("E")
def test_known_elements_under_vr_un_are_read(dicom, phantom, tmp_path):
    folder = dicom.write_series(tmp_path)
    for path in folder.iterdir():
        data = path.read_bytes()
        for tag, vr in ((0x00280010, b"US"), (0x00200032, b"DS"), (0x00281052, b"DS")):
            spelled = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
            at = data.index(spelled + vr)
            length = int.from_bytes(data[at + 6 : at + 8], "little")
            unknown = spelled + b"UN\0\0" + length.to_bytes(4, "little")
            data = data[:at] + unknown + data[at + 8 :]
        path.write_bytes(data)
    assert_whole(ct.open_volume(folder), phantom, dicom)


@hazard("E", 2)
@pytest.mark.parametrize("how", ["commas", "decimals"])
def test_numbers_spelled_oddly_are_read(how, dicom, phantom, tmp_path):
    def spoil(image, index):
        if how == "commas":
            position = [float(x) for x in image.ImagePositionPatient]
            text = "\\".join(f"{x:.4f}".replace(".", ",") for x in position)
            image.add_new(0x00200032, "LO", text)
            image.add_new(0x00281053, "LO", "1,0")
        else:
            image.add_new(0x00200013, "LO", f"{index}.0")
            image.add_new(0x00200012, "LO", "1.00")

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=spoil)), phantom, dicom)


@hazard("E", 2)
def test_unreadable_values_are_refused_where_they_are_needed(dicom, phantom, tmp_path):
    def word(keyword):
        def spoil(image, _):
            image.add_new(keyword, "LO", "a\\b\\c")

        return spoil

    folder = dicom.write_series(tmp_path / "a", edit=word(0x00200032))
    error = refused(folder, GeometryError, "ct.no_position")
    assert error.facts["unreadable"] == 8
    folder = dicom.write_series(tmp_path / "b", edit=word(0x00281052))
    refused(folder, IntensityError, "hu.rescale_unreadable")
    volume = ct.open_volume(dicom.write_series(tmp_path / "c", edit=word(0x00200013)))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["header.unreadable_value"] == 8


@hazard("E", 2)
def test_implicit_data_under_an_explicit_label_and_back(dicom, phantom, tmp_path):
    for label, syntax in (("explicit", "implicit"), ("implicit", "explicit")):
        folder = dicom.write_series(tmp_path / label, syntax=dicom.LOSSLESS[syntax])
        for path in folder.iterdir():
            old = dicom.LOSSLESS[syntax].encode()
            new = dicom.LOSSLESS[label].encode()
            data = path.read_bytes()
            meta_end = 144 + int.from_bytes(data[140:144], "little")
            size = max(len(old), len(new)) + max(len(old), len(new)) % 2
            at = data.index(b"\x02\x00\x10\x00UI")
            length = int.from_bytes(data[at + 6 : at + 8], "little")
            value = new.ljust(size, b"\0")
            meta = data[:at] + b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value
            meta += data[at + 8 + length : meta_end]
            meta = meta[:140] + (len(meta) - 144).to_bytes(4, "little") + meta[144:]
            path.write_bytes(meta + data[meta_end:])
        assert_whole(ct.open_volume(folder), phantom, dicom)


@hazard("E", 3)
def test_sequences_and_private_blocks_around_the_elements(dicom, phantom, tmp_path):
    def crowd(image, index):
        inner, outer = Dataset(), Dataset()
        inner.ImagePositionPatient, inner.Rows = [9, 9, 9], 7
        outer.ReferencedImageSequence = Sequence([inner, Dataset()])
        image.SourceImageSequence = Sequence([outer])
        image["SourceImageSequence"].is_undefined_length = bool(index % 2)
        outer.is_undefined_length_sequence_item = True
        image.add_new(0x00090010, "LO", "ODD VENDOR")
        image.add_new(0x00091001, "OB", b"\1" * 30_000)
        image.add_new(0x00190010, "LO", "ODD VENDOR")
        image.add_new(0x00191002, "UN", b"\xfe\xff\x00\xe0\0\0\0\0")

    for syntax in ("explicit", "implicit"):
        folder = dicom.write_series(tmp_path / syntax, edit=crowd, syntax=dicom.LOSSLESS[syntax])
        assert_whole(ct.open_volume(folder), phantom, dicom)


# ---- F: more than three dimensions ---------------------------------------------------------------


@hazard("F")
def test_enhanced_ct_takes_rescale_and_place_from_functional_groups(dicom, phantom, tmp_path):
    path = dicom.save(dicom.enhanced(dicom.datasets()), tmp_path / "enhanced.dcm")
    volume = ct.open_volume(path)
    assert_whole(volume, phantom, dicom)
    assert volume.report.source_kind == "dicom-enhanced"
    assert len(volume.source.source_headers()) == 1


@hazard("F", 2)
@pytest.mark.parametrize("syntax", ["jpeg_ls", "rle", "deflated", "implicit", "big_endian"])
def test_compressed_enhanced_ct_and_frames_out_of_order(syntax, dicom, phantom, tmp_path):
    images = dicom.datasets(syntax=dicom.LOSSLESS[syntax])
    images = [images[i] for i in (4, 1, 7, 0, 2, 6, 3, 5)]
    folder = tmp_path / "a"
    dicom.save(dicom.enhanced(images), folder / "enhanced.dcm")
    if syntax == "deflated":
        with pytest.raises(InputError):
            ct.open_volume(folder)
        return
    volume = ct.open_volume(folder)
    assert_whole(volume, phantom, dicom)
    np.testing.assert_array_equal(volume.source.read([6, 0]), phantom[[6, 0]])
    packed = zipped(folder, tmp_path / "a.zip")
    assert_whole(ct.open_volume(packed), phantom, dicom)


@hazard("F")
def test_rescale_that_varies_by_frame(dicom, phantom, tmp_path):
    images = dicom.datasets()
    images[3] = dicom.datasets(intercept=-2000)[3]
    volume = ct.open_volume(dicom.save(dicom.enhanced(images), tmp_path / "e.dcm"))
    assert_whole(volume, phantom, dicom)
    assert volume.report.codes["hu.rescale_varies"] == 2


@hazard("F")
def test_a_legacy_converted_image_without_dimension_indices(dicom, phantom, tmp_path):
    image = dicom.enhanced(dicom.datasets())
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2"
    assert_whole(ct.open_volume(dicom.save(image, tmp_path / "l.dcm")), phantom, dicom)


@hazard("F")
def test_multi_frame_ct_without_geometry_is_refused(dicom, tmp_path):
    image = dicom.enhanced(dicom.datasets())
    del image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence
    refused(dicom.save(image, tmp_path / "m.dcm"), GeometryError, "ct.multiframe_without_geometry")


@hazard("F")
def test_frames_that_do_not_match_their_groups_are_refused(dicom, tmp_path):
    image = dicom.enhanced(dicom.datasets())
    image.NumberOfFrames = 7
    refused(dicom.save(image, tmp_path / "m.dcm"), DamagedInputError, "input.damaged")


@hazard("F")
def test_two_phases_in_one_enhanced_image(dicom, phantom, tmp_path):
    late = dicom.phantom(seed=2)
    image = dicom.enhanced([*dicom.datasets(), *dicom.datasets(late)], phases=2)
    path = dicom.save(image, tmp_path / "e.dcm")
    refused(path, AmbiguousInputError, "series.ambiguous")
    volumes = [ct.open_volume(path, series=number).hu for number in (1, 2)]
    assert sum(np.array_equal(hu, phantom) for hu in volumes) == 1
    assert sum(np.array_equal(hu, late) for hu in volumes) == 1


@hazard("F")
def test_a_thousand_slices_in_int16(dicom, tmp_path):
    tall = dicom.phantom((1000, 16, 16))
    (tmp_path / "a").mkdir()
    template = dicom.datasets(tall[:1])[0]
    template.ImagePositionPatient = [-21, -30.5, 1000.25]
    data = dicom.save(template, tmp_path / "template").read_bytes()
    pixels = (tall[0].astype(int) + 1024).astype("<u2").tobytes()
    for index, plane in enumerate(tall):
        stored = (plane.astype(int) + 1024).astype("<u2").tobytes()
        moved = data.replace(b"1000.25", f"{5000 - 2.5 * index:7.2f}"[:7].encode())
        (tmp_path / "a" / f"{index}").write_bytes(moved.replace(pixels, stored))
    volume = ct.open_volume(tmp_path / "a")
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, tall)


def test_the_catalogue_counts_its_hazards(capsys):
    by_section = ", ".join(f"{count} of {section}" for section, count in sorted(HAZARDS.items()))
    with capsys.disabled():
        print(f"\nhazards covered: {sum(HAZARDS.values())} ({by_section})")
    assert set(HAZARDS) == {"1.1", "A", "B", "C", "D", "E", "F"}
