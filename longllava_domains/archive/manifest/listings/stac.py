"""Scenes of a STAC catalogue or API: each STAC item is one item, opened from its own link."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.manifest.studies import Draft
from longllava_domains.errors import UnsupportedInputError
from longllava_domains.remote_sensing.stac.item import is_stac
from longllava_domains.remote_sensing.stac.read import each_item, require_remote_assets

STAC: Final = "stac+"


def is_stac_source(source: str, domain: str) -> bool:
    """Return whether a source of scenes is a STAC document, by its name or by ``stac+``."""
    return source.startswith(STAC) or (domain == "remote_sensing" and is_stac(source))


def list_stac(source: str, secret: SiteSecret, codes: Counter[str]) -> Iterator[Draft]:
    """Yield the items of a STAC document or API.

    Args:
        source: Path or link of a catalogue, collection, item or item list; ``stac+https://...``
            also for the landing page of an API.
        secret: Makes the keyed ids.
        codes: Counts what is set aside.

    Raises:
        NotFoundError: There is no such document.
        NetworkError: A link cannot be reached.
        DamagedInputError: It is not STAC.
    """
    for found in each_item(source.removeprefix(STAC)):
        href = found.get_self_href()
        if not href:
            codes["stac.without_link"] += 1
            continue
        try:
            require_remote_assets(found)
        except UnsupportedInputError as error:
            codes[error.code] += 1
            continue
        yield Draft(_item(found, str(href), secret), "", "")


def _item(found: Any, href: str, secret: SiteSecret) -> Item:
    """Return the item; its id stands for what STAC says of its files: links, checksums, update."""
    facts = [
        str(found.collection_id or ""),
        str(found.id),
        str(found.properties.get("updated", "")),
    ]
    size = 0
    for key in sorted(found.assets):
        asset = found.assets[key]
        link = str(asset.href).partition("?")[0]  # what follows may sign access anew each time
        facts += [key, link, str(asset.extra_fields.get("file:checksum", ""))]
        said = asset.extra_fields.get("file:size")
        size += said if isinstance(said, int) else 0
    item_id = secret.key("stac", facts)
    return Item(item_id, item_id, "remote_sensing", href, bytes=size, decoded_bytes=size)
