"""Files of items that lie outside the results because they name a patient: found again, and deleted.

The results name them by paths relative to their own folder, and each bears the keyed id of its item.
Only a file that bears the id of a forgotten item is deleted, whatever path a row has.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longllava_domains.archive.results.parts import Parts, writing

_ENDINGS: Final = (".dcm", ".json")


def document_name(item_id: str, spec_key: str, ending: str) -> str:
    """Return the name of a file that names a patient.

    Args:
        item_id: Keyed id of the item.
        spec_key: Of the spec, so that another prompt's documents do not replace these.
        ending: With its dot, such as ``".sr.dcm"``.
    """
    return f"{item_id}-{spec_key}{ending}"


def lies_inside(output: Path, name: str) -> bool:
    """Return whether a file that a row names lies in the results, links followed."""
    return (output / name).resolve().is_relative_to(output.resolve())


@dataclass
class ForgottenDocuments:
    """The documents of items that are forgotten.

    Attributes:
        output: Folder of the results.
        item_ids: The items.
        deleted: Documents that were deleted.
        names: Their names.
        left: Names in rows of these items that were not deleted: nothing of that name was there,
            or it is no document of the item.
    """

    output: Path
    item_ids: Collection[str]
    deleted: int = 0
    names: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)

    def delete_below(self, folder: Path) -> None:
        """Delete the documents of the items in a folder and all folders below it.

        Args:
            folder: Where documents were moved or copied to; links in it are not followed.

        Raises:
            OutputError: A document cannot be deleted.
        """
        with writing():
            for place, _, _ in os.walk(folder):
                self._delete(set(self._documents(Path(place))))

    def delete(self, parts: Parts) -> None:
        """Delete the documents of the items of one spec, before their rows go.

        Whole folders are looked through, as a run that was killed may have written documents that
        no row names.

        Args:
            parts: Of the spec.

        Raises:
            OutputError: A document cannot be deleted.
        """
        folders: set[Path] = set()
        named: set[str] = set()
        for part in parts.names():
            table = parts.read(part, ["item_id", "files"])
            for item_id, names in zip(*(each.to_pylist() for each in table.columns), strict=True):
                outside = [name for name in names if not lies_inside(self.output, name)]
                folders.update(self._place(name).parent for name in outside)
                if item_id in self.item_ids:
                    named.update(outside)
        with writing():
            own = {path for folder in folders for path in self._documents(folder)}
            self._delete(own)
        self.left.update(name for name in named if self._place(name).name not in self.names)

    def _delete(self, own: set[Path]) -> None:
        for path in own:
            path.unlink(missing_ok=True)
            self.deleted += 1
            self.names.add(path.name)

    def _place(self, name: str) -> Path:
        """Return where a row's file lies; a link of that name is not followed."""
        return Path(os.path.normpath(self.output.resolve() / name))

    def _documents(self, folder: Path) -> Iterator[Path]:
        if not folder.is_dir():
            return
        for entry in os.scandir(folder):
            item_id, _, rest = entry.name.partition("-")
            is_own = item_id in self.item_ids and rest.endswith(_ENDINGS)
            if is_own and not entry.is_dir(follow_symlinks=False):
                yield folder / entry.name
