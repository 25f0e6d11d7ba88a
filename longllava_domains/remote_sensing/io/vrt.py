"""Targets that a local VRT may have: plain raster files on this machine, and nothing else.

GDAL follows whatever a VRT names: servers, other descriptions that name servers, and with raw bands
any file at all, as pixels. So it is read here first. Sources are looked at by their first bytes.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import (
    DamagedInputError,
    InputError,
    NotFoundError,
    UnsupportedInputError,
)
from longllava_domains.formats.magic import kind_of
from longllava_domains.formats.regular_file import BadDocumentError, open_regular, read_bounded
from longllava_domains.units import short_hash

_HEAD_BYTES: Final = 1024
_MAX_DEPTH: Final = 8
_MAX_SOURCES: Final = 200_000
_SOURCES: Final = frozenset({"sourcefilename", "sourcedataset", "sourceband_dataset"})
# Descriptions in text point elsewhere in turn; archives are not looked into.
_REFUSED_KINDS: Final = frozenset({"xml", "json", "zip", "gzip", "empty", "dicom", "nifti"})
_PREFIX: Final = re.compile(r"\w{2,}:|/vsi|\\\\|<")


def require_plain_vrt(path: str) -> None:
    """Refuse a VRT that could make GDAL reach for anything but raster files on this machine.

    Args:
        path: A file; anything but a VRT passes.

    Raises:
        NotFoundError: A file that it names is not there.
        UnsupportedInputError: It names a server, a virtual path or a description, or has raw
            bands or code.
        DamagedInputError: It is no XML, or nests beyond the limits.
    """
    missing, sources = _check(Path(path), 0, set())
    if missing:
        raise NotFoundError(
            f"The VRT {short_hash(path)} refers to {missing} of {sources} files that are not there.",
            remedy="Put the files back beside the VRT, or build it again.",
            code="raster.missing_source",
            facts={"missing": missing, "sources": sources},
        )


def _check(path: Path, depth: int, above: set[tuple[int, int]]) -> tuple[int, int]:
    """Check one file; return how many sources below it are missing, and how many there are."""
    if _kind(path) != "vrt":
        return 0, 0
    status = path.stat()
    here = (status.st_dev, status.st_ino)
    if depth > _MAX_DEPTH or here in above:
        raise _damaged("nests too deep or in a circle")
    names = list(_sources(_parsed(path)))
    if len(names) > _MAX_SOURCES:
        raise _damaged("names too many files")
    missing, count = 0, len(names)
    for name, relative in names:
        if _PREFIX.match(name):
            raise _refused("names a server, a virtual path or a subdataset")
        source = path.parent / name if relative else Path(name)
        try:
            kind = _kind(source)
        except OSError:
            if source.exists():
                raise _refused("names something that is no regular file") from None
            missing += 1
            continue
        if kind in _REFUSED_KINDS:
            raise _refused("names a file that is no raster")
        below = _check(source, depth + 1, {*above, here})
        missing, count = missing + below[0], count + below[1]
    return missing, count


def _kind(path: Path) -> str:
    with open_regular(path) as file:
        return kind_of(file.read(_HEAD_BYTES))


def _parsed(path: Path) -> Any:
    from xml.etree import ElementTree

    try:
        text = read_bounded(path)
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise _damaged("declares entities")
        return ElementTree.fromstring(text)  # noqa: S314  # without entities there is no bomb
    except (OSError, BadDocumentError, ElementTree.ParseError, ValueError, LookupError):
        raise _damaged("is no readable XML") from None


def _sources(root: Any) -> Iterator[tuple[str, bool]]:
    """Yield each file that a VRT names, and whether it stands beside the VRT."""
    for element in root.iter():
        kind = str(element.get("subClass", ""))
        tag = str(element.tag).lower()
        if kind == "VRTRawRasterBand" or tag in ("pixelfunctioncode", "gdal_wms", "oois"):
            raise _refused("has raw bands, code or a server's description")
        if kind == "VRTDerivedRasterBand" and element.find("PixelFunctionLanguage") is not None:
            raise _refused("has code")
        if tag in _SOURCES and (element.text or "").strip():
            relative = any(
                key.lower() == "relativetovrt" and value.strip() == "1"
                for key, value in element.attrib.items()
            )
            yield str(element.text).strip(), relative


def holds_vrt(path: str) -> bool:
    """Return whether a local file is a VRT by its first bytes."""
    try:
        return os.path.isfile(path) and _kind(Path(path)) == "vrt"
    except OSError:
        return False


def _refused(found: str) -> InputError:
    return UnsupportedInputError(
        f"The VRT {found}.",
        remedy="A VRT may name raster files on this machine. Open links and subdatasets by naming "
        "them yourself, as a list for a mosaic.",
        code="raster.vrt_source",
    )


def _damaged(found: str) -> DamagedInputError:
    return DamagedInputError(
        f"The VRT {found}.",
        remedy="Build it again, for example with gdalbuildvrt.",
        code="raster.vrt",
    )


def read_files(name: str) -> tuple[str, ...]:
    """Return a VRT that passed and everything it reads, each once; of any other file only itself."""
    found: dict[str, None] = {name: None}
    waiting = [name]
    while waiting:
        path = Path(waiting.pop())
        if not path.is_file() or _kind(path) != "vrt":
            continue
        named = [
            str(path.parent / source) if relative else source
            for source, relative in _sources(_parsed(path))
        ]
        new = [source for source in dict.fromkeys(named) if source not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return tuple(found)
