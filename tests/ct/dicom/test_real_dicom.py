"""Real series: a head CT with a directory beside it, an over-anonymised one, a padded one.

They are not part of the repository; the generated catalogue covers the same hazards.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longllava_domains import ct

SimpleITK = pytest.importorskip("SimpleITK")
DATA = Path(__file__).parents[4] / "shared" / "data" / "ct"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not present")


def second_opinion(folder) -> Any:
    """Return SimpleITK's array and affine of the folder's series, foot to head."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    linear = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image), np.diag([-1.0, -1, 1, 1]) @ affine


@needs_data
def test_a_head_series_without_extensions_and_with_a_directory_file() -> None:
    volume = ct.open_volume(DATA / "philips_head_28_slices")
    values, affine = second_opinion(DATA / "philips_head_28_slices")
    np.testing.assert_array_equal(volume.hu, values[::-1])
    np.testing.assert_allclose(volume.affine_ras_mm @ [27, 0, 0, 1], affine @ [0, 0, 0, 1])
    np.testing.assert_allclose(volume.affine_ras_mm @ [0, 511, 9, 1], affine @ [9, 511, 27, 1])
    assert volume.report.codes["file.dicomdir"] == 1
    assert volume.facts["body_part"] == "BRAIN"


@needs_data
def test_a_series_whose_uids_were_all_emptied() -> None:
    volume = ct.open_volume(DATA / "totalsegmentator_series")
    assert volume.shape == (20, 512, 512)
    assert volume.spacing_mm == pytest.approx((2.0, 0.9765625, 0.9765625))
    assert volume.report.codes["decoder.jpeg2000_lossless"] == 20
    first = volume.source.read([4])
    np.testing.assert_array_equal(first[0], volume.hu[4])


@needs_data
def test_padding_outside_the_circle_becomes_air() -> None:
    volume = ct.open_volume(DATA / "dcmqi_3_slices")
    values, _ = second_opinion(DATA / "dcmqi_3_slices")
    expected = np.where(values[::-1] == -3024, -1024, values[::-1])
    np.testing.assert_array_equal(volume.hu, expected)
    assert volume.report.codes["padding.declared"] == 3
