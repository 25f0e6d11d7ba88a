"""The index of a slide TIFF: which pages are levels, which show the label, how tiles are stored.

Aperio SVS, generic pyramids (reduced pages or SubIFDs) and OME-TIFF. Pages that are no level of
the slide (label, macro, thumbnail) are counted and never decoded.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.errors import DamagedInputError, InputError, UnsupportedInputError
from longllava_domains.formats.colour_stream import Colour
from longllava_domains.formats.tiff.layout import TiffLayout
from longllava_domains.pathology.sources.tiff_ome import OmeImage, read_ome
from longllava_domains.privacy import silenced

JPEG: Final = 7
JPEG2000: Final = frozenset({33003, 33004, 33005, 34712})
PLAIN: Final = frozenset({1, 5, 8, 32946, 50000})
_APERIO_YCBCR: Final = 33003
_WHITE_ZERO, _BLACK_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_ASSOCIATED_ALPHA, _ALPHA = 1, 2
_ICC: Final = 34675
_ORIENTATION: Final = 274
_MAX_PAGES: Final = 2000
_MAX_SIDE: Final = 4_000_000
_MAX_TILE_PIXELS: Final = 64 * 2**20
_PARSE_ERRORS: Final = (
    OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error,
    OverflowError, MemoryError, ZeroDivisionError, RecursionError, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class TiffPage:
    """One level of a slide TIFF.

    Attributes:
        layout: Where its tiles lie.
        colour: What samples are where the codestream does not say.
        tables: JPEG tables shared by all tiles.
        alpha: 0 none, 1 premultiplied, 2 plain.
    """

    layout: TiffLayout
    colour: Colour
    tables: bytes | None
    alpha: int


@dataclass(frozen=True)
class TiffIndex:
    """Index of a slide TIFF.

    Attributes:
        pages: Its levels, largest first.
        vendor: ``"aperio"``, ``"ome"`` or ``"generic"``.
        description: The first page's; never for showing.
        resolution: XResolution, YResolution and ResolutionUnit of the largest page.
        ome: What OME-XML says, None without.
        withheld: Pages that are no level: label, macro, thumbnail.
        has_icc: The largest page carries a colour profile.
    """

    pages: tuple[TiffPage, ...]
    vendor: str
    description: str
    resolution: tuple[Any, Any, int]
    ome: OmeImage | None
    withheld: int
    has_icc: bool


def read_index(path: str) -> TiffIndex:
    """Read the index of a slide TIFF.

    Raises:
        DamagedInputError: The index cannot be read, or points outside the file.
        UnsupportedInputError: Grey, 16-bit, CMYK, several planes, or an unknown codec.
    """
    import tifffile

    with silenced():
        try:
            with tifffile.TiffFile(path) as file:
                return _index(path, file)
        except InputError:
            raise
        except (tifffile.TiffFileError, *_PARSE_ERRORS):
            raise _damaged("its index cannot be read") from None


def _index(path: str, file: Any) -> TiffIndex:
    pages = list(_pages(file))
    if not pages:
        raise _damaged("it holds no image")
    first = pages[0]
    description = str(first.description or "")
    ome = read_ome(description) if file.is_ome or "<OME" in description[:4000] else None
    if ome is not None:
        ome.require_one_plane()
    base = max(pages, key=lambda page: page.imagewidth * page.imagelength) if ome is None else first
    _require_brightfield(base)
    levels, withheld = _levels(base, pages)
    tags = base.tags
    return TiffIndex(
        pages=tuple(_page(path, page, file.byteorder) for page in levels),
        vendor="ome" if ome else "aperio" if description.startswith("Aperio") else "generic",
        description=description,
        resolution=(
            tags.valueof(282),
            tags.valueof(283),
            int(tags.valueof(296, default=2)),  # TIFF 6.0: the default unit is the inch
        ),
        ome=ome,
        withheld=withheld,
        has_icc=_ICC in tags,
    )


def _pages(file: Any) -> Iterator[Any]:
    """Yield every page and the SubIFDs below it."""
    for count, frame in enumerate(file.pages):
        page = frame.aspage()
        yield page
        for below in page.pages or ():
            yield below.aspage()
        if count >= _MAX_PAGES:
            raise UnsupportedInputError(
                f"The TIFF file holds over {_MAX_PAGES} pages; a slide has a few.",
                remedy="Save the slide as one tiled pyramid.",
                code="slide.pages",
            )


def _levels(base: Any, pages: list[Any]) -> tuple[list[Any], int]:
    """Return the levels of the largest page, and how many other pages there are.

    Raises:
        UnsupportedInputError: Pages of the same size: focal planes, channels or several slides.
    """
    size = (base.imagewidth, base.imagelength)
    levels = {size: base}
    withheld = 0
    for page in pages:
        if page is base:
            continue
        other = (page.imagewidth, page.imagelength)
        if bool(page.is_tiled) != bool(base.is_tiled) or not _same_picture(size, other):
            withheld += 1
        elif other in levels:
            raise several_planes("pages of the same size")
        elif _kind(page) != _kind(base):
            withheld += 1
        else:
            levels[other] = page
    return [levels[key] for key in sorted(levels, reverse=True)], withheld


def _same_picture(base: tuple[int, int], size: tuple[int, int]) -> bool:
    """Return whether one size is the other shrunk by one factor, up to the rounding of both sides."""
    if min(size) < 1 or size[0] > base[0] or size[1] > base[1]:
        return False
    long, short = (0, 1) if base[0] >= base[1] else (1, 0)
    # The factor that the longer side allows, rounding up or down by a pixel.
    least, most = base[long] / (size[long] + 1), base[long] / max(size[long] - 1, 0.5)
    return base[short] / most - 1 <= size[short] <= base[short] / least + 1


def _kind(page: Any) -> tuple[Any, ...]:
    return (page.samplesperpixel, page.bitspersample)


def _require_brightfield(page: Any) -> None:
    """Refuse what is no 8-bit RGB image.

    Raises:
        UnsupportedInputError: Says which kind it is.
    """
    bits, samples, colours = page.bitspersample, page.samplesperpixel, int(page.photometric)
    if bits != 8 or (page.dtype is not None and page.dtype.kind != "u"):
        raise unsupported(f"its samples have {bits} bits, and a brightfield slide has 8", "bits")
    if colours == _CMYK:
        raise unsupported("it is stored in CMYK, which has no colours of light", "cmyk")
    if colours == _PALETTE:
        raise unsupported("its colours are a palette", "palette")
    if samples < 3 or colours in (_WHITE_ZERO, _BLACK_ZERO):
        raise unsupported(
            f"it has {samples} grey channel(s): fluorescence, or a mask, but no brightfield",
            "fluorescence",
        )
    if colours not in (_RGB, _YCBCR) or samples > 4 or (samples == 4 and not _alpha(page)):
        raise unsupported(f"its {samples} channels are not red, green and blue", "channels")
    if page.imagedepth != 1:
        raise several_planes("a volume")
    if int(page.tags.valueof(_ORIENTATION, default=1)) != 1:
        raise unsupported("it is stored turned or mirrored (orientation tag)", "orientation")


def _alpha(page: Any) -> int:
    extra = [int(kind) for kind in page.extrasamples or ()]
    return extra[0] if extra and extra[0] in (_ASSOCIATED_ALPHA, _ALPHA) else 0


def _page(path: str, page: Any, byte_order: str) -> TiffPage:
    """Describe one level.

    Raises:
        DamagedInputError: The index is not whole.
        UnsupportedInputError: A codec or layout that is not read here.
    """
    compression = int(page.compression)
    colours: Colour = "rgb"
    if compression == JPEG:
        colours = "ycbcr" if int(page.photometric) == _YCBCR else "rgb"
    elif compression in JPEG2000:
        ycbcr = compression == _APERIO_YCBCR or int(page.photometric) == _YCBCR
        colours = "ycbcr" if ycbcr else "rgb"
    elif (
        compression not in PLAIN or int(page.photometric) == _YCBCR or page.predictor not in (1, 2)
    ):
        raise codec_unknown()
    separate = page.planarconfig == 2
    if separate and compression not in PLAIN:
        raise codec_unknown()
    samples = page.samplesperpixel
    layout = TiffLayout(
        path=path,
        width=page.imagewidth,
        height=page.imagelength,
        block_rows=page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength),
        block_columns=page.tilewidth if page.is_tiled else page.imagewidth,
        tiled=bool(page.is_tiled),
        samples=1 if separate else samples,
        planes=samples if separate else 1,
        dtype=page.dtype.newbyteorder(byte_order),
        compression=compression,
        predictor=int(page.predictor),
        offsets=page.dataoffsets,
        counts=page.databytecounts,
    )
    _require_whole(layout)
    return TiffPage(layout, colours, page.jpegtables, _alpha(page))


def _require_whole(layout: TiffLayout) -> None:
    """Refuse an index that is damaged, or asks for more than a slide can hold."""
    if min(layout.width, layout.height, layout.block_rows, layout.block_columns) < 1:
        raise _damaged("a level or a tile has no size")
    if max(layout.width, layout.height) > _MAX_SIDE:
        raise _damaged(f"a level is {layout.width} x {layout.height} pixels")
    if layout.block_rows * layout.block_columns > _MAX_TILE_PIXELS:
        raise UnsupportedInputError(
            f"The slide is stored in pieces of {layout.block_columns} x {layout.block_rows} "
            "pixels, which must each be decoded whole.",
            remedy="Save it as a tiled pyramid, for example with 256-pixel tiles.",
            code="slide.giant_block",
            facts={"columns": layout.block_columns, "rows": layout.block_rows},
        )
    blocks = layout.across * layout.down * layout.planes
    if len(layout.offsets) != blocks or len(layout.counts) != blocks:
        raise _damaged("its index does not list every tile")
    size = os.path.getsize(layout.path)
    beyond = sum(
        offset < 0 or offset + count > size
        for offset, count in zip(layout.offsets, layout.counts, strict=True)
    )
    # A slide that was cut short in copying lacks whole levels; a wrong entry or two is a bad tile.
    if beyond > max(1, blocks // 100):
        raise _damaged(f"{beyond} of {blocks} tiles lie outside the file")


def unsupported(found: str, code: str) -> UnsupportedInputError:
    """Return the error for an image that is no brightfield slide."""
    return UnsupportedInputError(
        f"The file is not read as a slide: {found}.",
        remedy="Export an 8-bit RGB image of the slide.",
        code=f"slide.{code}",
    )


def several_planes(found: str) -> UnsupportedInputError:
    """Return the error for focal planes, channels or time points."""
    return UnsupportedInputError(
        f"The file holds {found}: focal planes (a z-stack), channels or several slides.",
        remedy="Export one focal plane of one slide as 8-bit RGB.",
        code="slide.several_planes",
    )


def codec_unknown() -> UnsupportedInputError:
    """Return the error for tiles that are stored in a way not read here."""
    return UnsupportedInputError(
        "The slide's tiles are stored in a way that is not read.",
        remedy="Save it with JPEG, JPEG 2000, LZW, Deflate or no compression, in RGB.",
        code="slide.codec",
    )


def _damaged(found: str) -> DamagedInputError:
    return DamagedInputError(
        f"The slide's TIFF file cannot be used: {found}.",
        remedy="The file is truncated or damaged: copy it again.",
        code="slide.damaged",
    )
