"""Reading STAC documents: files and links to pystac items, and searches of a STAC API."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.remote_sensing.io.href import gdal_name, is_remote
from longllava_domains.units import short_hash

_TIMEOUT_S: Final = 60


def stac_items(source: Any) -> list[Any]:
    """Return the pystac items of an item, a collection, a catalogue or an item list.

    Args:
        source: A pystac object, a dictionary, or a path or link to a STAC document.

    Raises:
        NotFoundError: No such file, or no items in it.
        NetworkError: A link cannot be reached.
        DamagedInputError: The document is not STAC.
    """
    import pystac

    base = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
    document = source if base is None else _document(base)
    try:
        if isinstance(document, Mapping):
            document = _parsed(dict(document), base)
        if isinstance(document, pystac.Item):
            return [document]
        members = document.get_items(recursive=True) if hasattr(document, "get_items") else document
        items = list(members)
    except (
        pystac.STACError,
        pystac.STACTypeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ):
        raise _not_stac(base) from None
    if not items:
        raise NotFoundError(
            "The STAC document holds no items.",
            remedy="Widen the search, or name an item.",
            code="raster.stac_empty",
        )
    return items


def search_stac(
    api: str, *, modifier: Callable[[Any], Any] | None = None, limit: int = 100, **query: Any
) -> list[Any]:
    """Search a STAC API; its items go to `open_raster`, one by one or as one list.

    Args:
        api: Link to the API's landing page.
        modifier: Signs the links of each answer, such as planetary_computer.sign_inplace.
        limit: Items at most.
        **query: As pystac_client's search takes it: collections, bbox, datetime, query, ...

    Raises:
        NetworkError: The API cannot be reached or refuses.
        NotFoundError: Nothing was found.
        PolicyError: The query is not one that a STAC API takes.
    """
    import pystac
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    try:
        client = Client.open(api, modifier=modifier, timeout=_TIMEOUT_S)
        items = list(client.search(max_items=limit, **query).items())
    except (APIError, pystac.STACError, pystac.STACTypeError, OSError):
        raise unreachable(api) from None
    except (ValueError, TypeError, KeyError, NotImplementedError):
        raise PolicyError(
            "The search is not one a STAC API takes, or its answer is not STAC.",
            remedy="Check the collections, the bbox (west, south, east, north) and the datetime.",
            code="raster.stac_search",
        ) from None
    if not items:
        raise NotFoundError(
            "The STAC search found no items.",
            remedy="Widen the area, the time or the collections.",
            code="raster.stac_empty",
        )
    return items


def _document(href: str) -> dict[str, Any]:
    try:
        document = json.loads(read_text(href))
    except (ValueError, RecursionError):
        raise _not_stac(href) from None
    if not isinstance(document, dict):
        raise _not_stac(href)
    return document


def read_text(href: str) -> str:
    """Read a UTF-8 document from a file or an http(s) link.

    Raises:
        NotFoundError: No such file.
        NetworkError: The link cannot be reached.
        UnsupportedInputError: Another kind of link.
        DamagedInputError: The document is not UTF-8.
    """
    from urllib.request import urlopen

    try:
        if not is_remote(href):
            with open(gdal_name(href), encoding="utf-8") as file:
                return file.read()
        if href.startswith(("http://", "https://")):
            with urlopen(href, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # http(s) only
                return str(answer.read().decode("utf-8"))
    except OSError:
        raise unreachable(href) from None
    except UnicodeDecodeError:
        raise _not_stac(href) from None
    raise UnsupportedInputError(
        f"The STAC document {short_hash(href)} is behind a kind of link we do not read.",
        remedy="Use http(s) or a file for the document; its assets may be on S3.",
        code="raster.stac_scheme",
    )


def _parsed(document: dict[str, Any], base: str | None) -> Any:
    import pystac

    class Reader(pystac.StacIO):
        """Reads the documents that a catalogue links to, with our errors and our timeout."""

        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            """Read one document."""
            return read_text(os.fspath(source))

        def write_text(self, dest: Any, txt: str, *args: Any, **kwargs: Any) -> None:
            """Refuse: nothing is written to a catalogue."""
            raise NotImplementedError

    if document.get("type") == "FeatureCollection":
        return pystac.ItemCollection.from_dict(document, preserve_dict=False)
    return pystac.read_dict(document, href=base, stac_io=Reader())


def unreachable(href: str) -> LongLlavaError:
    """Return the error for a STAC document that cannot be had."""
    if not is_remote(href):
        return NotFoundError(
            f"There is no STAC document {short_hash(href)}.",
            remedy="Check the path, and keep a catalogue's folders together.",
            code="raster.not_found",
        )
    return NetworkError(
        f"The STAC service or document {short_hash(href)} could not be reached.",
        remedy="Check the link, its permission and the network.",
        code="raster.unreachable",
    )


def _not_stac(base: str | None) -> DamagedInputError:
    return DamagedInputError(
        f"The document {short_hash(base or '')} is not a STAC item, collection or item list.",
        remedy="Pass a STAC item (a GeoJSON Feature with assets), a collection or a search result.",
        code="raster.not_stac",
    )
