"""Reading STAC documents: files and links to pystac items, and searches of a STAC API."""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from longllava_domains.arguments import checked
from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.formats.regular_file import BadDocumentError, parse_json, read_bounded
from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.io.href import gdal_name, is_remote
from longllava_domains.units import short_hash

_TIMEOUT_S: Final = 60
_MAX_ITEMS: Final = 10_000
_SEARCH_DEADLINE_S: Final = 900
# What pystac raises on documents that are JSON and not STAC (found by fuzzing).
_NOT_STAC: Final = (
    ArithmeticError, AttributeError, KeyError, IndexError, RecursionError, TypeError, ValueError,
)  # fmt: skip


def stac_items(source: Any) -> list[Any]:
    """Return the pystac items of an item, a collection, a catalogue or an item list.

    Args:
        source: A pystac object, a dictionary, or a path or link to a STAC document.

    Raises:
        NotFoundError: No such file, or no items in it.
        NetworkError: A link cannot be reached.
        UnsupportedInputError: A document from a server names files of this machine, or is too long.
        DamagedInputError: The document is not STAC.
    """
    import pystac

    base = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
    document = source if base is None else _document(base)
    try:
        with silenced():
            if isinstance(document, Mapping):
                document = _parsed(dict(document), base)
            items = _items(document)
            if base is not None and is_remote(base):
                for item in items:
                    _require_remote_assets(item)
    except (pystac.STACError, pystac.STACTypeError, *_NOT_STAC):
        raise _not_stac(base) from None
    if not items:
        raise NotFoundError(
            "The STAC document holds no items.",
            remedy="Widen the search, or name an item.",
            code="raster.stac_empty",
        )
    return items


def _items(document: Any) -> list[Any]:
    import pystac

    if isinstance(document, pystac.Item):
        return [document]
    members = document.get_items(recursive=True) if hasattr(document, "get_items") else document
    items = list(islice(members, _MAX_ITEMS + 1))
    if len(items) > _MAX_ITEMS:
        raise UnsupportedInputError(
            f"The STAC document holds more than {_MAX_ITEMS} items.",
            remedy="Name a smaller collection, or search for an area and a time.",
            code="raster.stac_many",
        )
    return items


def require_remote_assets(item: Any) -> None:
    """Refuse an item that came from a server and names files of this machine.

    Raises:
        UnsupportedInputError: It does.
    """
    href = item.get_self_href()
    if href is not None and is_remote(str(href)):
        _require_remote_assets(item)


def _require_remote_assets(item: Any) -> None:
    """Refuse an item from a server that names files of this machine.

    Raises:
        UnsupportedInputError: It does.
    """
    for asset in item.assets.values():
        href = asset.get_absolute_href()
        if href is not None and not is_remote(str(href)):
            raise UnsupportedInputError(
                "A STAC item from a server names a file on this machine.",
                remedy="Do not trust it; or save the item here, if its files are yours.",
                code="raster.stac_local",
            )


def each_item(source: str) -> Iterator[Any]:
    """Yield the pystac items of a catalogue, a collection, an item list or an API one by one.

    Args:
        source: Path or link of a STAC document, or of an API's landing page.

    Raises:
        NotFoundError: No such file.
        NetworkError: A link cannot be reached, or the API refuses.
        DamagedInputError: The document is not STAC.
    """
    import pystac

    document = _document(source)
    links = document.get("links") or []
    try:
        with silenced():
            if any(link.get("rel") == "search" for link in links):
                yield from _every_item_of_api(source)
                return
            parsed = _parsed(document, source)
            if isinstance(parsed, pystac.Item):
                yield parsed
                return
            members = parsed.get_items(recursive=True) if hasattr(parsed, "get_items") else parsed
            yield from members
    except (pystac.STACError, pystac.STACTypeError, *_NOT_STAC):
        raise _not_stac(source) from None


def _every_item_of_api(api: str) -> Iterator[Any]:
    from pystac_client import Client
    from pystac_client.exceptions import APIError
    from pystac_client.stac_api_io import StacApiIO

    from longllava_domains.formats.http_limits import bound

    reader = StacApiIO(timeout=_TIMEOUT_S)
    bound(reader.session, _TIMEOUT_S, redirects=True)
    try:
        yield from Client.open(api, stac_io=reader).search().items()
    except (APIError, OSError):
        raise unreachable(api) from None


@checked
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
    from pystac_client.stac_api_io import StacApiIO

    from longllava_domains.formats.http_limits import bound, within

    reader = StacApiIO(timeout=_TIMEOUT_S)
    bound(reader.session, _TIMEOUT_S, redirects=True)

    def search() -> list[Any]:
        client = Client.open(api, modifier=modifier, stac_io=reader)
        return list(client.search(max_items=limit, **query).items())

    try:
        items = within(_SEARCH_DEADLINE_S, search)
        if items is None:
            raise unreachable(api)
        for item in items:
            _require_remote_assets(item)
    except (APIError, pystac.STACError, pystac.STACTypeError, OSError):
        raise unreachable(api) from None
    except (NotImplementedError, *_NOT_STAC):
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
        document = parse_json(read_text(href))
    except BadDocumentError:
        raise _not_stac(href) from None
    if not isinstance(document, dict):
        raise _not_stac(href)
    return document


def read_text(href: str) -> str:
    """Read a UTF-8 document from a file or an http(s) link.

    Raises:
        NotFoundError: No such file.
        NetworkError: The link cannot be reached.
        UnsupportedInputError: Another kind of link, or an answer without end.
        DamagedInputError: The document is not UTF-8.
    """
    try:
        if not is_remote(href):
            return read_bounded(gdal_name(href)).decode("utf-8")
        if href.startswith(("http://", "https://")):
            from longllava_domains.formats.http_limits import session

            with session(_TIMEOUT_S, redirects=True) as opened, silenced():
                answer = opened.get(href)
                answer.raise_for_status()
                return str(answer.content.decode("utf-8"))
    except OSError:  # every error of requests is one
        raise unreachable(href) from None
    except (UnicodeDecodeError, BadDocumentError):
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
            """Read one document; one from a server leads to no file of this machine."""
            href = os.fspath(source)
            if base is not None and is_remote(base) and not is_remote(href):
                raise _not_stac(base)
            return read_text(href)

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
