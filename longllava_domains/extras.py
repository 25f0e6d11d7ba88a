"""Domains that are not installed: one error for all of them, which names the extra."""

from importlib.util import find_spec
from typing import Final

from longllava_domains.errors import UnsupportedInputError

_NEEDS: Final = {
    "pathology": ("openslide", "tifffile"),
    "remote-sensing": ("rasterio", "pyproj", "shapely", "geopandas", "pystac"),
}


def absent_extras() -> list[str]:
    """Return the extras of which a library is missing."""
    return [extra for extra, names in _NEEDS.items() if any(find_spec(n) is None for n in names)]


def require_extra(extra: str) -> None:
    """Refuse work of a domain whose libraries are not installed.

    Args:
        extra: Name of the extra in pyproject.toml, ``"pathology"`` or ``"remote-sensing"``.

    Raises:
        UnsupportedInputError: A library is missing; the remedy installs all of them.
    """
    missing = [name for name in _NEEDS[extra] if find_spec(name) is None]
    if missing:
        raise UnsupportedInputError(
            f"{extra.replace('-', ' ').capitalize()} is not installed ({', '.join(missing)} "
            "missing).",
            remedy=f'Run: pip install "longllava-domains[{extra}]"',
            code="extra.missing",
        )
