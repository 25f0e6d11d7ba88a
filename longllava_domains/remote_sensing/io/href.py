"""Hrefs: which are remote, what GDAL calls them, and what may be recorded of them.

A signed link carries its permission in the query, and some carry a user and password.
GDAL gets the link as it is; reports, provenance and errors only ever see `recordable`.
"""

import re
from pathlib import PurePath
from urllib.parse import quote, urlsplit, urlunsplit

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]+)://")
# Schemes of rasterio for what lies on this machine, and GDAL's name for a view of another source.
_LOCAL_SCHEMES = frozenset({"file", "zip", "tar", "gzip", "vrt"})
_NETWORK_VSI = re.compile(
    r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(_streaming)?(?=[/?]|$)|://"
)
_VSI_URL = re.compile(r"/vsicurl(?:_streaming)?/")
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_PARAMETERS = re.compile(r";[^/]*")


def is_remote(href: str) -> bool:
    """Return whether opening this href needs the network, also through archives and views."""
    scheme = _SCHEME.match(href)
    if scheme is None:
        return href.startswith("/vsi") and _NETWORK_VSI.search(href) is not None
    if scheme[1].lower() in _LOCAL_SCHEMES:
        return is_remote(href[scheme.end() :])
    return True


def gdal_name(href: str) -> str:
    """Return the name rasterio takes: hrefs and GDAL's virtual paths are handed through."""
    return href.removeprefix("file://") if href.startswith("file://") else href


def recordable(href: str) -> str:
    """Return what may be written down of an href.

    Credentials, query and fragment are removed. Of a local file only the name is kept (folders
    name users and machines, not scenes), percent-encoded.

    Example:
        >>> recordable("https://me:secret@host/scene.tif?sig=abc")
        'https://host/scene.tif'
    """
    if "/vsicurl?" in href:
        return "vsicurl"  # the real link is a parameter beside its credentials
    scheme = _SCHEME.match(href)
    if scheme is not None and scheme[1].lower() in _LOCAL_SCHEMES:
        return recordable(href[scheme.end() :])
    link = _LINK.search(href)
    if link is not None:  # behind names of archives and views, such as /vsizip//vsicurl/
        before = "" if _VSI_URL.fullmatch(href[: link.start()]) else href[: link.start()]
        return quote(_bare(before), safe="/%:+,=~") + _without_credentials(href[link.start() :])
    if href.startswith("/vsi"):
        return quote(_bare(href), safe="/%:+,=~")
    return quote(PurePath(href).name, safe="")


def _without_credentials(link: str) -> str:
    try:
        parts = urlsplit(link)
    except ValueError:  # a host that is none
        return "link"
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit((parts.scheme, host, quote(_bare(parts.path), safe="/%:+,=~"), "", ""))


def _bare(path: str) -> str:
    """Return a path without query, fragment and parameters of its parts (``;sig=...``)."""
    return _PARAMETERS.sub("", re.split(r"[?#]", path, maxsplit=1)[0])
