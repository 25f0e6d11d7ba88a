"""The bytes of a NIfTI file: found, bounded, inflated once, fast."""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.nifti_header import HEADER_BYTES, NiftiHeader, damaged, parse_header
from longllava_domains.errors import NotFoundError, UnsupportedInputError
from longllava_domains.units import content_hash

MAX_VOXEL_BYTES: Final = 16 * 2**30
_GZIP: Final = b"\x1f\x8b"
# Deflate cannot shrink data further than about 1032 times; a header that claims more is lying.
_DEFLATE_LIMIT: Final = 1040
# Some writers pad the file to whole blocks; more than this after the voxels is a damaged header.
_PADDING_BYTES: Final = 512
_CHUNK: Final = 2**20


@dataclass(frozen=True)
class NiftiFiles:
    """Where header and voxels are: one file, or two of a pair."""

    header: Path
    voxels: Path

    def content_sha256(self) -> str:
        """Return the SHA-256 of the files' bytes, header first."""
        return content_hash(_read(path) for path in dict.fromkeys((self.header, self.voxels)))


def read_stored(path: Path) -> tuple[NiftiFiles, NiftiHeader, NDArray[Any], tuple[str, ...]]:
    """Read a NIfTI file or pair.

    Returns:
        The files, the header, the stored values flat (i fastest), and report codes.

    Raises:
        NotFoundError: The file, or the other half of a pair, is not there.
        DamagedInputError: Truncated or inconsistent bytes.
        UnsupportedInputError: Not one real-valued NIfTI volume, or too large.
    """
    first = path.with_suffix(".hdr") if path.suffix == ".img" else path
    data = _read(first)
    header = parse_header(_head(data))
    files = NiftiFiles(first, _sibling(first) if header.pair else first)
    if header.pair:
        data = _read(files.voxels)
    if header.voxel_bytes > MAX_VOXEL_BYTES:
        raise UnsupportedInputError(
            f"The volume would take {header.voxel_bytes / 2**30:.1f} GiB.",
            remedy=f"The limit is {MAX_VOXEL_BYTES / 2**30:.0f} GiB; crop or resample it.",
            code="nifti.size",
        )
    flat = _inflate(data, header) if data[:2] == _GZIP else np.frombuffer(data, np.uint8)
    end = header.offset + header.voxel_bytes
    if flat.size < end:
        raise damaged("it ends before its voxels do", "nifti.truncated")
    codes = _trailing(flat[end:])
    stored = flat[header.offset : end].view(header.dtype)
    return files, header, stored, codes


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        raise NotFoundError(
            "The NIfTI file, or the other half of its pair, cannot be opened.",
            remedy="Check the path and its permissions; a .hdr needs its .img beside it.",
            code="nifti.missing",
        ) from None


def _sibling(header: Path) -> Path:
    """Return the .img that belongs to a .hdr."""
    name = header.name
    stem = name[: -len(".hdr.gz")] if name.endswith(".hdr.gz") else os.path.splitext(name)[0]
    plain = header.with_name(stem + ".img")
    return plain if plain.exists() else header.with_name(stem + ".img.gz")


def _head(data: bytes) -> bytes:
    """Return the first bytes, inflated where the file is compressed."""
    if data[:2] != _GZIP:
        return data[:HEADER_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(data[:65536], HEADER_BYTES)
    except zlib.error:
        raise damaged("its compression is broken", "nifti.gzip") from None


def _inflate(data: bytes, header: NiftiHeader) -> NDArray[np.uint8]:
    """Inflate a whole file into one buffer whose size the header and the trailer agree on."""
    import imagecodecs

    end = header.offset + header.voxel_bytes
    if end > _DEFLATE_LIMIT * len(data):
        raise damaged("it is too short for the volume its header names", "nifti.truncated")
    claimed = int.from_bytes(data[-4:], "little")
    extra = (claimed - end) % 2**32
    if extra <= _PADDING_BYTES:
        buffer = np.empty(end + extra, np.uint8)
        try:
            imagecodecs.gzip_decode(data, out=buffer.data)
        except (RuntimeError, ValueError):
            pass
        else:
            return buffer
    return _inflate_members(data, end + _PADDING_BYTES)


def _inflate_members(data: bytes, limit: int) -> NDArray[np.uint8]:
    """Inflate a file of several gzip members (bgzip, pigz), never past the limit."""
    buffer = bytearray()
    rest = memoryview(data)
    while bytes(rest[:2]) == _GZIP:
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                piece = member.decompress(rest, _CHUNK)
                buffer += piece
                rest = memoryview(member.unconsumed_tail) if not member.eof else rest
                if len(buffer) > limit:
                    raise damaged("it holds more than its header names", "nifti.trailing")
                if not piece and not member.eof:
                    raise damaged("its compression ends early", "nifti.truncated")
        except zlib.error:
            raise damaged("its compression is broken", "nifti.gzip") from None
        rest = memoryview(member.unused_data)
    return np.frombuffer(bytes(buffer), np.uint8)


def _trailing(rest: NDArray[np.uint8]) -> tuple[str, ...]:
    """Accept a little padding after the voxels and report it; refuse anything more."""
    if rest.size == 0:
        return ()
    if rest.size > _PADDING_BYTES or rest.any():
        raise damaged("it holds more than its header names", "nifti.trailing")
    return ("nifti.padding",)
