"""Slides of any size: views at a proved resolution, with their places in level-0 pixels."""

from longllava_domains.pathology.open import open_slide
from longllava_domains.pathology.slide import Slide
from longllava_domains.pathology.views.closer import ZoomPolicy
from longllava_domains.pathology.views.policy import TilePolicy

__all__ = ["Slide", "TilePolicy", "ZoomPolicy", "open_slide"]


def __dir__() -> list[str]:
    return list(__all__)
