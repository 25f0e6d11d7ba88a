"""One real slide, where it is at hand: the same pixels as OpenSlide's, and its tissue."""

from pathlib import Path

import numpy as np
import openslide
import pytest

from longllava_domains.pathology import TilePolicy, open_slide

REAL = Path(__file__).parents[2] / "../shared/data/pathology/cmu_small_region.svs"

pytestmark = pytest.mark.skipif(
    not REAL.exists(), reason="the real slide is data that is not part of this repository"
)


def test_every_pixel_is_openslides_own() -> None:
    with openslide.OpenSlide(REAL) as other, open_slide(REAL) as slide:
        assert slide.size == other.dimensions == (2220, 2967)
        assert slide.mpp == 0.499
        theirs = np.asarray(other.read_region((0, 0), 0, slide.size))[..., :3]
        assert np.array_equal(slide.read(0, 0, *slide.size, mpp=slide.mpp), theirs)


def test_its_views_show_its_tissue_and_its_label_stays_inside() -> None:
    with open_slide(REAL) as slide:
        assert slide.report.codes["images.withheld"] == 3
        assert 0.37 < slide.tissue.fraction < 0.43  # looked at
        views = slide.to_sequence(TilePolicy(max_views=13))
        assert views.grid == (4, 3)
        text = repr(views.provenance) + repr(slide.report)
    assert "CMU" not in text
    assert "CPAPERIOCS" not in text
