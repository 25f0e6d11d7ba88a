"""Contact sheets of every item of an archive: what a model would see, without a model."""

import time

from longllava_domains.archive import Item, Scored
from longllava_domains.files import new_file
from longllava_domains.pipelines.archive.files import ItemFiles
from longllava_domains.pipelines.archive.opening import ShownItem
from longllava_domains.pipelines.archive.task import ArchiveTask


class SheetScorer:
    """Writes a contact sheet for each item.

    Args:
        asked: What is shown.
        spec_key: Of the spec.
    """

    def __init__(self, asked: ArchiveTask, spec_key: str) -> None:
        self._files = ItemFiles(asked.output, spec_key)

    def score(self, item: Item, prepared: ShownItem) -> Scored:
        """Write the sheet of one item."""
        began = time.perf_counter()
        place = self._files.place(item, "views.png")
        with new_file(place, overwrite=True) as temporary:
            prepared.sequence.show().save(temporary)
        left_out = sum(prepared.sequence.left_out.values())
        return Scored(
            numbers={"views": len(prepared.sequence), "left_out": left_out},
            input_sha256=prepared.sequence.content_sha256(),
            seconds={"drawing": time.perf_counter() - began},
            files=self._files.named([place]),
        )
