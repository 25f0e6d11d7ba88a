"""One item of an archive: a study's chosen series, or a single slide or scene."""

from dataclasses import dataclass
from typing import Final

from longllava_domains.errors import PolicyError

DOMAINS: Final = ("ct", "pathology", "remote_sensing")


@dataclass(frozen=True)
class Item:
    """One item of a manifest.

    Attributes:
        item_id: Keyed digest of what the item holds, 32 hexadecimal digits; the same wherever the
            files lie.
        study_key: Keyed digest of the study UID; the item's own id where there is no study.
        domain: ``"ct"``, ``"pathology"`` or ``"remote_sensing"``.
        uri: Folder, file, zip archive or URL. It may hold a name: never show or log it.
        members: Files below the folder, or numbers of the entries of a zip archive; empty where
            `uri` is the file itself.
        series: Key of the series that the chooser took; its files are the members, so that the
            loader chooses it, too. Empty where there is no choice.
        images: Slices or frames of that series.
        bytes: Of all the item's files.
        decoded_bytes: What it takes in memory when decoded, as far as the headers say.
        expected: Error code with which the loader will refuse it, as far as the headers say.
    """

    item_id: str
    study_key: str
    domain: str
    uri: str
    members: tuple[str, ...] = ()
    series: str = ""
    images: int = 1
    bytes: int = 0
    decoded_bytes: int = 0
    expected: str = ""

    def __repr__(self) -> str:
        return f"Item({self.item_id}, {self.domain})"


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a manifest, for machines that share no ledger.

    Attributes:
        index: From 1.
        count: Number of shares.
    """

    index: int = 1
    count: int = 1

    def holds(self, item_id: str) -> bool:
        """Return whether an item belongs to this share; the same on every machine."""
        return int(item_id[:16], 16) % self.count == self.index - 1


def require_domain(domain: str) -> None:
    """Refuse what is no domain of an archive.

    Raises:
        PolicyError: It is none of `DOMAINS`.
    """
    if domain not in DOMAINS:
        raise PolicyError(
            "There is no such domain.",
            remedy=f"Use one of {', '.join(DOMAINS)}.",
            code="archive.domain",
        )
