"""STAC: which files of an item hold red, green and blue, and how they are reached."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    LongLlavaError,
    PolicyError,
)
from longllava_domains.remote_sensing.io.bands import RGB, SENSORS
from longllava_domains.remote_sensing.io.content import content_of_item
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.opened_file import Acquired, Bands, Opened, open_one
from longllava_domains.remote_sensing.mosaic.mosaic import stack
from longllava_domains.units import short_hash

_DATA_TYPES: Final = ("image/tiff", "image/jp2", "image/vnd", "application/x-hdf")
_SUFFIXES: Final = (".tif", ".tiff", ".jp2", ".vrt")


@dataclass(frozen=True)
class BandFile:
    """One band of an item: which file, and which band of it.

    Attributes:
        asset: Key of the asset.
        href: Absolute, credentials and all.
        number: Band of the file, from 1.
        names: Lower-case names it goes by: band name, common name, asset key.
        scale: Physical units per stored unit, where STAC says it.
        offset: Physical value of a stored 0, where STAC says it.
    """

    asset: str
    href: str
    number: int
    names: frozenset[str]
    scale: float | None
    offset: float | None


def is_stac(source: Any) -> bool:
    """Return whether a source is a STAC object, or a link or path to a STAC document."""
    if isinstance(source, Mapping) or hasattr(source, "assets") or hasattr(source, "get_items"):
        return True
    if isinstance(getattr(source, "items", None), list):
        return True  # a pystac ItemCollection
    if not isinstance(source, (str, os.PathLike)):
        return False
    text = os.fspath(source)
    path = urlsplit(text).path if is_remote(text) else text
    if PurePosixPath(path).suffix.lower() in (".json", ".geojson"):
        return True
    # A STAC API names an item .../collections/NAME/items/ID, without a suffix.
    return text.startswith(("http://", "https://")) and "/items/" in path


def open_item(item: Any, bands: Bands, nodata: float | None = None) -> Opened:
    """Open the shown bands of one item, see `_open_item`.

    Raises:
        DamagedInputError: A field of the item has another type than STAC says.
        LongLlavaError: As `open_raster` lists them.
    """
    try:
        return _open_item(item, bands, nodata)
    except LongLlavaError:  # PolicyError is a ValueError too
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise DamagedInputError(
            "A field of the STAC item has another type than STAC says.",
            remedy="Check the item, for example with stac-validator.",
            code="raster.stac_item",
        ) from None


def _open_item(item: Any, bands: Bands, nodata: float | None) -> Opened:
    """Open the shown bands of one item.

    The picture the provider made (an asset with the role "visual") is shown unless bands are
    named; else the bands whose common names are red, green and blue.

    Args:
        item: A pystac item; its links may be signed.
        bands: As for `open_raster`; names may be STAC band names, common names or asset keys.
        nodata: Overrides what the files say.

    Raises:
        AmbiguousInputError: Nothing in the item says which bands to show.
        LongLlavaError: As `open_raster` lists them.
    """
    if isinstance(bands, str) and bands in SENSORS:
        bands = RGB
    wanted: Sequence[int | str] | None = (bands,) if isinstance(bands, (str, int)) else bands
    visual = [key for key, asset in item.assets.items() if "visual" in (asset.roles or [key])]
    if wanted is None and visual:
        return _dated(_open_visual(item, visual[0], nodata), item)
    files = _band_files(item)
    if wanted is not None and all(isinstance(band, int) for band in wanted):
        return _dated(open_one(_only_href(item), wanted, nodata=nodata), item)
    names = [str(band) for band in wanted or RGB]
    pictures = [file for key in visual for file in _bands_of(item, key)]
    chosen = _named(files, names) or _named(pictures, names)
    if chosen is None:
        if wanted is None:
            return _dated(open_one(_only_href(item), nodata=nodata), item)
        raise PolicyError(
            "A band that was asked for is not in the STAC item.",
            remedy="Use its band names, common names or asset keys.",
            code="raster.no_band",
            facts={"bands": len(files)},
        )
    return _dated(_open_bands(chosen, nodata), item)


def _open_visual(item: Any, key: str, nodata: float | None) -> Opened:
    """Open the picture a provider made; its bands by their names where the item gives them all."""
    chosen = _named(_bands_of(item, key), RGB)
    if chosen is None:
        return open_one(_href(item, key), nodata=nodata)
    return _open_bands(chosen, nodata)


def item_facts(item: Any) -> tuple[str, Acquired]:
    """Return an item's id (a hash of it where it is no plain identifier) and when it was taken."""
    name = str(item.id)
    plain = all(sign.isalnum() or sign in "_.-" for sign in name) and len(name) <= 200
    times = item.common_metadata
    taken = Acquired(_utc(item.datetime), _utc(times.start_datetime), _utc(times.end_datetime))
    return (name if plain else short_hash(name)), taken


def _utc(time: datetime | None) -> str | None:
    """Return a time in UTC, ISO 8601; one without a zone is UTC already, as STAC has it."""
    if time is None:
        return None
    moment = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _href(item: Any, key: str) -> str:
    href = item.assets[key].get_absolute_href()
    if href is None:
        raise DamagedInputError(
            "An asset of the STAC item has a relative link, and the item does not say from where.",
            remedy="Open the item from its file or link.",
            code="raster.stac_href",
        )
    return str(href)


def _is_data(asset: Any) -> bool:
    media = str(asset.media_type or "")
    roles = asset.roles or []
    if "thumbnail" in roles or "overview" in roles or "metadata" in roles:
        return False
    path = urlsplit(asset.href).path if is_remote(asset.href) else asset.href
    return media.startswith(_DATA_TYPES) or PurePosixPath(path).suffix.lower() in _SUFFIXES


def _only_href(item: Any) -> str:
    """Return the one file of an item that holds pixels."""
    keys = [key for key, asset in item.assets.items() if _is_data(asset)]
    if len(keys) != 1:
        raise AmbiguousInputError(
            f"The STAC item has {len(keys)} files with pixels and does not name their bands red, "
            "green and blue.",
            remedy='Name bands as the item does, such as bands=("B04", "B03", "B02").',
            code="raster.bands",
            facts={"files": len(keys)},
        )
    return _href(item, keys[0])


def _band_files(item: Any) -> list[BandFile]:
    """Return every band that the item describes; an asset without description is one band."""
    keys = [
        key
        for key, asset in item.assets.items()
        if _is_data(asset) and "visual" not in (asset.roles or [])
    ]
    return [file for key in keys for file in _bands_of(item, key)]


def _bands_of(item: Any, key: str) -> list[BandFile]:
    fields = item.assets[key].extra_fields
    described = fields.get("bands") or fields.get("eo:bands") or [{}]
    stored = fields.get("raster:bands") or [{}] * len(described)
    files = []
    for number, (band, raster) in enumerate(zip(described, stored, strict=False), 1):
        names = {str(band.get(entry, "")) for entry in ("name", "common_name", "eo:common_name")}
        if len(described) == 1:
            names.add(key)
        facts = {**band, **raster}
        scale, offset = (
            facts.get(entry, facts.get(f"raster:{entry}")) for entry in ("scale", "offset")
        )
        files.append(
            BandFile(
                asset=key,
                href=_href(item, key),
                number=number,
                names=frozenset(name.lower() for name in names if name),
                scale=None if scale is None else float(scale),
                offset=None if offset is None else float(offset),
            )
        )
    return files


def _named(files: Iterable[BandFile], wanted: Sequence[str]) -> list[BandFile] | None:
    """Return the bands of these names, from one asset if one has them all."""
    files = list(files)
    by_asset = [
        [file for file in files if file.asset == key] for key in {f.asset: 0 for f in files}
    ]
    for group in (*by_asset, files):
        found = [next((f for f in group if name.lower() in f.names), None) for name in wanted]
        if all(found):
            return [file for file in found if file is not None]
    return None


def _open_bands(chosen: Sequence[BandFile], nodata: float | None) -> Opened:
    """Open bands from one file, or stack them from several; what STAC says of scale counts."""
    if len({file.href for file in chosen}) == 1:
        opened = open_one(chosen[0].href, [file.number for file in chosen], nodata=nodata)
    else:
        opened = stack([open_one(file.href, [file.number], nodata=nodata) for file in chosen])
    plain = set(opened.scales) == {1.0} and set(opened.offsets) == {0.0}
    if plain:  # what the file itself declares comes first
        scales = tuple(1.0 if file.scale is None else file.scale for file in chosen)
        offsets = tuple(0.0 if file.offset is None else file.offset for file in chosen)
        opened = replace(opened, scales=scales, offsets=offsets)
    return replace(opened, codes={**opened.codes, "bands.stac": 1})


def _dated(opened: Opened, item: Any) -> Opened:
    """Add what the item says: its id, when it was taken, and what it shows if no photograph."""
    name, taken = item_facts(item)
    content = content_of_item(item)
    known = any(code.startswith("content.") for code in opened.codes)
    codes = opened.codes if content is None or known else {**opened.codes, f"content.{content}": 1}
    acquired = taken if taken.is_known else opened.acquired
    return replace(opened, stac_id=name, acquired=acquired, codes=codes)
