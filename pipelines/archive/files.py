"""Places of the files of an item, named by keyed ids only."""

import os
from collections.abc import Callable
from pathlib import Path

from longllava_domains.archive import Item
from longllava_domains.archive.results.documents import document_name
from longllava_domains.archive.results.parts import writing
from longllava_domains.errors import OutputError, PolicyError


class ItemFiles:
    """The files of the items of one spec.

    Args:
        output: Folder of the results.
        spec_key: Of the spec, so that another prompt's files do not replace these.
        documents: Folder of files that name patients.
    """

    def __init__(self, output: Path | None, spec_key: str, documents: Path | None = None) -> None:
        self._output, self._spec_key, self._documents = output, spec_key, documents

    def place(self, item: Item, name: str) -> Path:
        """Return where a file of an item lies; its folder is made.

        Raises:
            OutputError: The folder cannot be made.
        """
        assert self._output is not None
        folder = self._output / "items" / f"spec-{self._spec_key}" / item.item_id
        with writing():
            folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def document(self, item: Item, ending: str) -> Path:
        """Return where a file that names a patient lies; an older one is removed.

        Raises:
            OutputError: The folder cannot be made.
        """
        assert self._documents is not None
        place = self._documents / document_name(item.item_id, self._spec_key, ending)
        with writing():
            self._documents.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in (place, place.with_name(f"{place.stem}_findings{place.suffix}")):
                old.unlink(missing_ok=True)
        return place

    def named(self, places: list[Path]) -> tuple[str, ...]:
        """Return places as the results name them: relative to their folder."""
        assert self._output is not None
        root = self._output.resolve()
        return tuple(Path(os.path.relpath(place.resolve(), root)).as_posix() for place in places)


def written(write: Callable[[], list[Path]]) -> list[Path]:
    """Return the files that were written; none where the item's content does not allow them.

    A study without identifiers can have no SR, and a scene without georeference no map file; the
    result stands without. A folder that cannot be written to ends the run.

    Raises:
        OutputError: The folder cannot be written to.
    """
    try:
        return write()
    except OutputError as error:
        if error.code in ("export.folder", "export.write", "export.exists"):
            raise
        return []
    except PolicyError:
        return []
