"""Read which domains a model's card names: the tags in front of its README.md, nothing else."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_CARD: Final = "README.md"
_MOST_BYTES: Final = 65_536
# Tags of the hub's cards, by the domain that they name.
_DOMAINS: Final[Mapping[str, frozenset[str]]] = {
    "pathology": frozenset(
        {"pathology", "digital-pathology", "computational-pathology", "histopathology",
         "whole-slide-image", "whole-slide-images", "wsi"}
    ),
    "ct": frozenset({"ct", "computed-tomography", "chest-ct"}),
    "remote_sensing": frozenset({"remote-sensing", "satellite", "earth-observation"}),
}  # fmt: skip


def card_domains(*folders: Path | None) -> list[str]:
    """Return the domains that the cards in some folders name in their tags, sorted.

    Args:
        folders: Of a checkpoint and its adapter; a folder without a card names none.
    """
    tags = {tag for folder in folders if folder is not None for tag in _tags(folder / _CARD)}
    return sorted(domain for domain, words in _DOMAINS.items() if tags & words)


def _tags(card: Path) -> set[str]:
    """Return the tags of a card's front matter, as a list in brackets or one on each line."""
    try:
        with card.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return set()
    front = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    found = re.search(
        r"^tags:[ \t]*(\[[^\]]*\]|(?:\r?\n[ \t]*-[^\r\n]*)+)",
        front[1] if front else "",
        re.MULTILINE,
    )
    return set(re.findall(r"[a-z0-9][a-z0-9-]*", found[1].lower())) if found else set()
