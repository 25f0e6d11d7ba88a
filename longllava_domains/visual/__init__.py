"""The currency between loaders and the model: views, their places, and sequences of them."""

from longllava_domains.visual.place import ImagePlace, MapPlace, Place, SlicePlace, SlidePlace
from longllava_domains.visual.sequence import Layout, VisualSequence
from longllava_domains.visual.view import View

__all__ = [
    "ImagePlace",
    "Layout",
    "MapPlace",
    "Place",
    "SlicePlace",
    "SlidePlace",
    "View",
    "VisualSequence",
]


def __dir__() -> list[str]:
    return list(__all__)
