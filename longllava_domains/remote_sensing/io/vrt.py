"""Virtual rasters (VRT): the files that they read, followed through VRTs of VRTs."""

import html
import os
import re
from typing import Final

from longllava_domains.errors import NotFoundError
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.units import short_hash

_SOURCE: Final = re.compile(
    r"<Source(?:Filename|Dataset)\b([^>]*)>\s*([^<]+?)\s*</Source(?:Filename|Dataset)>"
)
_RELATIVE: Final = re.compile(r"relativeToVRT\s*=\s*[\"']\s*1\s*[\"']", re.IGNORECASE)
_HEAD: Final = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<VRTDataset")
_MOST_FILES: Final = 100_000


def read_files(name: str) -> tuple[str, ...]:
    """Return a VRT and everything it reads, each once; of any other file only itself.

    Links, virtual paths and the names of subdatasets are among them as GDAL spells them.

    Raises:
        NotFoundError: A local file that a VRT names is not there: GDAL opens it all the same, and
            only fails on the first pixel.
    """
    found: dict[str, None] = {name: None}
    waiting = [name]
    while waiting and len(found) < _MOST_FILES:
        vrt = waiting.pop()
        sources = _sources(vrt)
        # Links, virtual paths and driver prefixes ("NETCDF:...") are GDAL's to resolve.
        plain = [path for path in sources if not is_remote(path) and not _is_prefixed(path)]
        missing = [path for path in plain if not os.path.exists(path)]
        if missing:
            raise NotFoundError(
                f"The VRT {short_hash(vrt)} refers to {len(missing)} of {len(plain)} files that are "
                "not there.",
                remedy="Put the files back beside the VRT, or build it again.",
                code="raster.missing_source",
                facts={"missing": len(missing), "sources": len(plain)},
            )
        new = [path for path in sources if path not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return tuple(found)


def _sources(name: str) -> list[str]:
    """Return the names that a VRT reads, relative ones joined to its folder; none of another file."""
    if not os.path.isfile(name):
        return []
    with open(name, "rb") as file:
        if not _HEAD.match(file.read(512)):
            return []
        file.seek(0)
        text = file.read().decode("utf-8", errors="replace")
    folder = os.path.dirname(os.path.abspath(name))
    named = [(attributes, html.unescape(path)) for attributes, path in _SOURCE.findall(text)]
    return [
        os.path.join(folder, path) if _RELATIVE.search(attributes) else path
        for attributes, path in named
    ]


def _is_prefixed(path: str) -> bool:
    return re.match(r"/vsi|\w{2,}:|<", path) is not None
