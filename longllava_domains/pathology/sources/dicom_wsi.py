"""DICOM slides: each frame decoded once, its colours as the codestream says."""

import threading
from collections import Counter
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.colour_stream import Colour, parse_colour_stream
from longllava_domains.formats.dicom.codecs import NATIVE, RLE
from longllava_domains.formats.dicom.fragments import locate_frames
from longllava_domains.formats.dicom.pydicom_parser import UnparsableError, read_with_pixels
from longllava_domains.pathology.slide_source import Rgb, make_levels
from longllava_domains.pathology.sources.decode import (
    BadTileError,
    NoDecoderError,
    decode_codestream,
    decode_jailed,
    to_rgb,
)
from longllava_domains.pathology.sources.dicom_header import Part, damaged
from longllava_domains.pathology.sources.dicom_index import DicomIndex, DicomLevel
from longllava_domains.pathology.sources.tiled import TiledSource, TileGrid

_Spans = tuple[tuple[int, int], ...]
_SAMPLED_TILES: Final = 12
# Pixels outside RGB that a compressed YCbCr image may have, and by how many grey levels.
_OUTSIDE_SHARE: Final = 0.02
_OUTSIDE_LEVELS: Final = 24
_CORRELATED: Final = 0.5
# Glass stored as YCbCr: bright, both chroma channels near 128; at least this share of the slide.
_BRIGHT, _NEUTRAL_CHROMA, _GLASS_SHARE = 210, 10, 0.05
# Glass stored as RGB: white. Below this share there is none.
_WHITE_LEAST, _WHITE_SHARE = 190, 0.001


class DicomSlideSource(TiledSource):
    """A DICOM slide.

    Args:
        index: What `read_index` returned.
    """

    def __init__(self, index: DicomIndex) -> None:
        super().__init__(
            make_levels([(level.width, level.height) for level in index.levels]),
            tuple(
                TileGrid(level.width, level.height, level.tile_width, level.tile_height)
                for level in index.levels
            ),
        )
        self.index = index
        self._open_files: dict[int, BinaryIO] = {}
        self._spans: dict[tuple[int, int], list[_Spans]] = {}
        self._turn = threading.Lock()
        self._by_pixels: Colour | None = None
        self._tag_is_wrong = False
        self._trusted: set[int] = set()

    def header(self) -> Any:
        """Read the header of level 0 again; see `SlideSource.header`."""
        try:
            dataset, _, _ = read_with_pixels(self.index.levels[0].parts[0].file)
        except (OSError, UnparsableError):
            raise damaged("its header cannot be read any more") from None
        return dataset

    def close(self) -> None:
        """Drop decoded tiles and close files."""
        super().close()
        with self._turn:
            for file in self._open_files.values():
                file.close()
            self._open_files.clear()

    def counts(self) -> Counter[str]:
        """Return what was met while reading, and whether pixels had to decide about colours."""
        counts = super().counts()
        if self._by_pixels is not None:
            why = "tag_contradicted" if self._tag_is_wrong else "by_pixels"
            counts[f"colour.{why}.{self._by_pixels}"] = 1
        return counts

    def decode(self, level: int, index: int) -> Rgb | None:
        """Decode one frame; see `TiledSource.decode`."""
        shown = self.index.levels[level]
        place = shown.places.get(index)
        if place is None:
            return None
        self._ask_pixels(level, shown, place)
        return self._decode(level, shown, place, self._by_pixels or shown.label or "rgb")

    def _ask_pixels(self, level: int, shown: DicomLevel, place: tuple[int, int]) -> None:
        """Let the pixels decide, once, where a codestream is silent about its colours.

        They decide where the tag names a transform that is not there, and where they cannot be what
        the tag says. One frame speaks for all of its level, unless the tag says nothing.
        """
        if self._by_pixels is not None or (shown.label is not None and level in self._trusted):
            return
        if not self._says_its_colours(level, shown, place):
            samples = self._samples()
            if shown.label is None:
                self._by_pixels = colour_of(samples)
            elif contradicts(samples, shown.label):
                self._by_pixels = "ycbcr" if shown.label == "rgb" else "rgb"
                self._tag_is_wrong = True
        self._trusted.add(level)

    def _says_its_colours(self, level: int, shown: DicomLevel, place: tuple[int, int]) -> bool:
        part = shown.parts[place[0]]
        if part.syntax in NATIVE or part.syntax == RLE:
            return False
        data = self._bytes(part, self._frame_spans(level, place[0], part)[place[1]])
        header = parse_colour_stream(data)
        return header is not None and header.colour is not None

    def _decode(self, level: int, shown: DicomLevel, place: tuple[int, int], label: Colour) -> Rgb:
        part = shown.parts[place[0]]
        rows, columns = shown.tile_height, shown.tile_width
        if part.syntax in NATIVE:
            return to_rgb(self._uncompressed(part, place[1], rows, columns), label)
        data = self._bytes(part, self._frame_spans(level, place[0], part)[place[1]])
        if part.syntax == RLE:
            return to_rgb(decode_jailed(data, "rle", rows, columns), label)
        return decode_codestream(data, label, rows, columns)

    def _uncompressed(self, part: Part, frame: int, rows: int, columns: int) -> NDArray[Any]:
        count = rows * columns * 3
        if part.length is None or part.length < (frame + 1) * count:
            raise BadTileError
        data = self._bytes(part, ((part.offset + frame * count, count),))
        samples = np.frombuffer(data, np.uint8)
        if part.planar:
            return np.ascontiguousarray(np.moveaxis(samples.reshape(3, rows, columns), 0, -1))
        return samples.reshape(rows, columns, 3)

    def _frame_spans(self, level: int, number: int, part: Part) -> list[_Spans]:
        """Return where the fragments of every frame of a part lie, found once."""
        key = (level, number)
        if key not in self._spans:
            with self._turn:
                try:
                    self._spans[key] = locate_frames(
                        self._file(part),
                        part.offset,
                        part.file.size,
                        part.frames,
                        rle=part.syntax == RLE,
                    )
                except DamagedInputError:
                    raise DamagedInputError(
                        "The frames of the DICOM slide cannot be told apart.",
                        remedy="The file is truncated or damaged: copy it again.",
                        code="slide.damaged",
                    ) from None
        return self._spans[key]

    def _bytes(self, part: Part, spans: _Spans) -> bytes:
        pieces = []
        with self._turn:
            file = self._file(part)
            for offset, count in spans:
                file.seek(offset)
                pieces.append(file.read(count))
        data = b"".join(pieces)
        if len(data) != sum(count for _, count in spans):
            raise BadTileError
        return data

    def _file(self, part: Part) -> BinaryIO:
        key = part.file.position
        if key not in self._open_files:
            self._open_files[key] = part.file.open()
        return self._open_files[key]

    def _samples(self) -> NDArray[np.uint8]:
        """Return pixels as stored, from tiles spread over the smallest level."""
        level = len(self.index.levels) - 1
        shown = self.index.levels[level]
        tiles = sorted(shown.places)
        step = max(1, len(tiles) // _SAMPLED_TILES)
        samples = []
        for tile in tiles[::step]:
            try:
                samples.append(self._decode(level, shown, shown.places[tile], "rgb")[::4, ::4])
            except (BadTileError, NoDecoderError):
                continue
        if not samples:
            raise BadTileError
        return np.concatenate([sample.reshape(-1, 3) for sample in samples])


def colour_of(samples: NDArray[np.uint8]) -> Colour:
    """Decide between RGB and YCbCr by the pixels of a slide.

    Glass is (240, 240, 240) in RGB; taken for YCbCr that lies far outside RGB. And in RGB the
    three channels darken together where there is tissue; in YCbCr only the first does.

    Args:
        samples: uint8 (pixels, 3), as stored.
    """
    if _cannot_be_ycbcr(samples) or _darken_together(samples):
        return "rgb"
    return "ycbcr"


def contradicts(samples: NDArray[np.uint8], label: Colour) -> bool:
    """Return whether pixels cannot be what the tag says; a doubt is no contradiction.

    Taken for YCbCr, RGB glass lies far outside RGB. Taken for RGB, YCbCr glass is one salmon red that
    no white stands beside, and the channels of what is stained do not darken together.

    Args:
        samples: uint8 (pixels, 3), as stored.
        label: What the tag says they are.
    """
    if label == "ycbcr":
        return _cannot_be_ycbcr(samples)
    bright = samples[:, 0] > _BRIGHT
    neutral = (np.abs(samples[:, 1:].astype(np.int16) - 128) < _NEUTRAL_CHROMA).all(axis=1)
    white = (samples > _WHITE_LEAST).all(axis=1)
    glass = float((bright & neutral).mean()) > _GLASS_SHARE
    return glass and float(white.mean()) < _WHITE_SHARE and not _darken_together(samples)


def _cannot_be_ycbcr(samples: NDArray[np.uint8]) -> bool:
    """Return whether many pixels, taken for YCbCr, lie far outside RGB."""
    y, cb, cr = (samples[:, channel].astype(np.float32) for channel in range(3))
    cb, cr = cb - 128, cr - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb])
    outside = (rgb < -_OUTSIDE_LEVELS) | (rgb > 255 + _OUTSIDE_LEVELS)
    return float(outside.any(axis=0).mean()) > _OUTSIDE_SHARE


def _darken_together(samples: NDArray[np.uint8]) -> bool:
    """Return whether the three channels vary, and vary together."""
    first, second, third = (samples[:, channel].astype(np.float32) for channel in range(3))
    if min(float(np.std(channel)) for channel in (first, second, third)) <= 1:
        return False
    alike = min(np.corrcoef(first, second)[0, 1], np.corrcoef(first, third)[0, 1])
    return bool(alike > _CORRELATED)
