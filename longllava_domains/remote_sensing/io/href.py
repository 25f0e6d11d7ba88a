"""Hrefs: which are remote, what GDAL calls them, and what may be recorded of them.

A signed link carries its permission in the query, and some carry a user and password.
GDAL gets the link as it is; reports, provenance and errors only ever see `recordable`.
"""

import os
import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]+)://")
# What rasterio and GDAL put around the name of a local file.
_LOCAL_SCHEMES: Final = frozenset({"file", "gzip", "tar", "vrt", "zip"})
_WRAPPER: Final = re.compile(r"^/vsi(?:7z|gzip|rar|tar|zip)/|^\{")
_SUBDATASET: Final = re.compile(r"^[A-Za-z0-9_]{2,}:(?!//)(?:\d+:)?\"?")
_REMOTE_VSI: Final = re.compile(r"^/vsi(?:adls|az|curl|gs|hdfs|oss|s3|swift|webhdfs)")
_URL: Final = re.compile(r"(?:https?|ftp)://")
_PARAMETERS: Final = re.compile(r";[^/]*")
_BACKSLASH: Final = chr(92)
_ARCHIVE: Final = re.compile(r"\.(?:7z|gz|kmz|rar|tar|tgz|zip)$", re.IGNORECASE)


def is_remote(href: str) -> bool:
    """Return whether opening this href needs the network."""
    found = _SCHEME.match(href)
    if found is None:
        inner = _unwrapped(href)
        return _REMOTE_VSI.match(inner) is not None or (inner != href and is_remote(inner))
    if not set(found[1].lower().split("+")) <= _LOCAL_SCHEMES:
        return True
    rest = href[found.end() :]
    return is_remote(rest) if rest != href else False


def gdal_name(href: str) -> str:
    """Return the name rasterio takes: file links as paths, all else is handed through."""
    if not href.startswith("file://"):
        return href
    raw = "/" + href.removeprefix("file://").partition("/")[2]
    return raw if os.path.exists(raw) else unquote(raw)


def recordable(href: str) -> str:
    """Return what may be written down of an href.

    Credentials, query and fragment are removed. Of a local file only the name is kept, and the name
    of the archive that holds it (folders name users and machines, not scenes), percent-encoded.

    Example:
        >>> recordable("https://me:secret@host/scene.tif?sig=abc")
        'https://host/scene.tif'
        >>> recordable("/vsizip//home/me/scenes.zip/2024/harbour.tif")
        'scenes.zip/harbour.tif'
    """
    if href.startswith("/vsicurl?"):
        return "vsicurl"  # the real link is a parameter beside its credentials
    if is_remote(href):
        return _recordable_link(href)
    if _SCHEME.match(href) is None and not href.startswith("/vsi"):
        return _named(re.split(r"[/\\]", href.rstrip("/")), _SUBDATASET.match(href), href)
    if href.startswith("file://"):
        return _named(gdal_name(href).rstrip("/").split("/"), None, href)
    path = re.split(r"[?#]", href, maxsplit=1)[0].rstrip("/")
    return _named(re.split(r"[/\\!]", path), None, href)


def _named(parts: list[str], prefix: re.Match[str] | None, href: str) -> str:
    """Return the last part of a path, after that of the archive that holds it."""
    name = parts[-1]
    if prefix is not None and prefix[0].endswith('"') and '":' in href:
        file, _, inside = href[prefix.end() :].partition('":')
        name = f"{file.replace(_BACKSLASH, '/').rpartition('/')[2]}:{inside.strip('/')}"
    plain = [part.strip("{}") for part in parts[:-1]]
    archives = [part for part in plain if _ARCHIVE.search(part)]
    safe = ":/" if prefix is not None else ""
    return "/".join(quote(part, safe=safe) for part in (*archives[-1:], name))


def local_file(name: str) -> str | None:
    """Return the local file whose bytes a name of GDAL's stands for: an archive for what is in it."""
    if is_remote(name):
        return None
    found = _SCHEME.match(name)
    path = _unwrapped(name[found.end() :] if found else name).replace("}", "")
    path = re.split(r"[!\"]", path, maxsplit=1)[0] if not os.path.exists(path) else path
    while path and not os.path.isfile(path):
        shorter = os.path.dirname(path)
        path = shorter if shorter != path else ""
    return path or None


def _unwrapped(name: str) -> str:
    """Take off what GDAL's virtual file systems and drivers put before a name."""
    while True:
        found = _WRAPPER.match(name) or _SUBDATASET.match(name)
        if found is None:
            return name
        name = name[found.end() :]


def _recordable_link(href: str) -> str:
    url = _URL.search(href)
    text = (href[url.start() :] if url else href).replace("}", "")  # of an archive in braces
    if _SCHEME.match(text) is None:
        return quote(_bare(text), safe="/%:+,=~")
    try:
        parts = urlsplit(text)
    except ValueError:  # a host that is none
        return "link"
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit((parts.scheme, host, quote(_bare(parts.path), safe="/%:+,=~"), "", ""))


def _bare(path: str) -> str:
    """Return a path without query, fragment and parameters of its parts (``;sig=...``)."""
    return _PARAMETERS.sub("", re.split(r"[?#]", path, maxsplit=1)[0])
