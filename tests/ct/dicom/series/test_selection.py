"""Series are described without a word of their headers, and chosen for a reason that is said."""

from typing import Any

import pytest

from longllava_domains import ct
from longllava_domains.ct.reconstruction_kernel import kernel_class
from longllava_domains.errors import NotFoundError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("B30F", "soft"), ("BR40D", "soft"), ("I30F", "soft"), ("STANDARD", "soft"), ("FC08", "soft"),
        ("B", "soft"), ("UB", "soft"), ("B70F", "sharp"), ("BL57D", "sharp"), ("LUNG", "sharp"),
        ("BONEPLUS", "sharp"), ("FC51", "sharp"), ("YC", "sharp"), ("", "unknown"),
        ("SMITH JOHN", "unknown"),
    ],
)  # fmt: skip
def test_kernels_of_every_vendor(name, kind) -> None:
    assert kernel_class((name, "3") if name else ()) == kind


def test_the_table_says_which_and_why(dicom, tmp_path) -> None:
    def sharp(image) -> Any:
        image.ConvolutionKernel = "B70f"
        return image

    dicom.write(dicom.datasets(), tmp_path, "a")
    dicom.write([sharp(image) for image in dicom.datasets(series="2")], tmp_path, "b")
    dicom.write(dicom.datasets(series="3", plane="coronal"), tmp_path, "c")
    table = ct.list_series(tmp_path)
    assert [row.kernel for row in table] == ["soft", "sharp", "soft"]
    assert [row.plane for row in table] == ["axial", "axial", "coronal"]
    assert [row.chosen for row in table] == [True, False, False]
    assert table[0].reason == "soft kernel"
    lines = str(table).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("-> ")
    assert ct.open_volume(tmp_path, series="sharp").facts["kernel"] == "sharp"
    assert ct.open_volume(tmp_path, series=table[2].key).report.codes["choice.asked"] == 1


@pytest.mark.parametrize(("asked", "other"), [("soft", "Br64"), ("sharp", "Br40")])
def test_an_unknown_kernel_that_wins_is_not_called_what_was_asked_for(
    asked, other, dicom, tmp_path
) -> None:
    for number, kernel in enumerate(("NEVER-HEARD-OF", other)):
        images = dicom.datasets(series=str(number + 1))
        for image in images:
            image.ConvolutionKernel = kernel
        dicom.write(images, tmp_path, kernel)
    table = ct.list_series(tmp_path, kernel=asked)
    assert [row.kernel for row in table if row.chosen] == ["unknown"]
    known = "sharp" if asked == "soft" else "soft"
    assert [row.reason for row in table if row.chosen] == [f"kernel unknown rather than {known}"]


def test_keys_stay_when_files_are_added(dicom, tmp_path) -> None:
    dicom.write(dicom.datasets(series="2"), tmp_path, "b")
    before = ct.list_series(tmp_path)[0].key
    dicom.write(dicom.datasets(series="1"), tmp_path, "a")
    assert before in [row.key for row in ct.list_series(tmp_path)]


@pytest.mark.parametrize("wanted", [0, 7, "deadbeef", "1.2.3"])
def test_a_series_that_is_not_there(wanted, dicom, tmp_path) -> None:
    folder = dicom.write_series(tmp_path)
    with pytest.raises(NotFoundError) as refused:
        ct.open_volume(folder, series=wanted)
    assert refused.value.facts["series"] == 1
