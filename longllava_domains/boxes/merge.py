"""One box for each object where views overlap, in pixels of the picture that the views show.

Two views that overlap both box what lies in the overlap, and never alike: a model's corners stray,
texts hold whole or hundredth parts of a view, and an edge cuts what reaches beyond it. So boxes are
not told apart by how much they cover each other, which for a small object is chance:

- Boxes of two views are paired one to one, the nearest first, by where their middles lie in what
  *both views show*. How far a pair may lie apart grows with the dialect's quantum and with the
  object. Two boxes of one view are two objects, however near.
- A box without a partner counts where its own view is the one that shows its middle best, its owner;
  elsewhere only if the owner boxed nothing near it.
- Pieces of an object that no view shows whole are laid together.
"""

from collections.abc import Sequence
from typing import NamedTuple

from longllava_domains.arguments import checked
from longllava_domains.boxes.pairing import Survey
from longllava_domains.boxes.view_box import Frame, ViewBox


class Merged(NamedTuple):
    """One object.

    Attributes:
        best: Index of the box to keep.
        pieces: Where an edge cut that box too: indices of the other pieces of the object, largest
            first; those that stick out (see `view_box.sticks_out`) are to be laid around it.
    """

    best: int
    pieces: tuple[int, ...]


@checked
def merge_boxes(
    boxes: Sequence[ViewBox], frames: Sequence[Frame] = (), *, quantum: float = 0.01
) -> list[Merged]:
    """Return one box for each object, whatever the order of the boxes.

    Args:
        boxes: Of one class, of any number of views of one picture.
        frames: Of every view that was looked at; those of the boxes are added.
        quantum: Least step of a coordinate, per cent of a view's side.

    Returns:
        The objects, in no special order.
    """
    survey = Survey(boxes, sorted({*frames, *(box.frame for box in boxes)}), quantum)
    ranked = sorted(range(len(boxes)), key=survey.rank)
    said_once = survey.said_once(ranked)
    groups = survey.paired(said_once)
    objects = []
    for group in survey.counted(groups):
        best, *others = sorted(group, key=survey.rank)
        objects.append(Merged(best, tuple(others) if survey.is_cut[best] else ()))
    return objects
