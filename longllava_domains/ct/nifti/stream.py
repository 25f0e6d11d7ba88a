"""The bytes of a NIfTI file: found, bounded, inflated once, fast."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.nifti.header import HEADER_BYTES, NiftiHeader, damaged, parse_header
from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.units import content_hash

MAX_VOXEL_BYTES: Final = 8 * 2**30
_GZIP: Final = b"\x1f\x8b"
# Deflate cannot shrink data further than about 1032 times; a header that claims more is lying. A
# CT shrinks two to twenty times: a large volume that claims a hundred would only fill the memory.
_DEFLATE_LIMIT: Final = 1040
_LARGE_BYTES, _LARGE_LIMIT = 2**30, 100
# Members of a bgzip file hold up to 64 KiB each; files of countless tiny ones only waste time.
_SMALLEST_MEMBER: Final = 512
# Some writers pad the file to whole blocks; more than this after the voxels is a damaged header.
_PADDING_BYTES: Final = 512
_CHUNK: Final = 2**16


@dataclass(frozen=True)
class NiftiFiles:
    """Header and voxel files, one or two, as they were when they were read.

    Attributes:
        paths: The file, or header and voxels of a pair.
        stamps: Size and modification time of each.
    """

    paths: tuple[Path, ...]
    stamps: tuple[tuple[int, int], ...]

    def content_sha256(self) -> str:
        """Return the SHA-256 of the files' bytes, header first.

        Raises:
            DamagedInputError: A file changed after it was read.
            NotFoundError: A file is gone.
        """
        if tuple(map(_stamp, self.paths)) != self.stamps:
            raise DamagedInputError(
                "The NIfTI file changed after it was opened.",
                remedy="Open it again.",
                code="nifti.changed",
            )
        return content_hash(part for path in self.paths for part in _parts(path))


def read_stored(path: Path) -> tuple[NiftiFiles, NiftiHeader, NDArray[Any], tuple[str, ...]]:
    """Read a NIfTI file or pair.

    Returns:
        The files, the header, the stored values flat (i fastest), and report codes.

    Raises:
        NotFoundError: The file, or the other half of a pair, is not there.
        DamagedInputError: Truncated or inconsistent bytes.
        UnsupportedInputError: Not one real-valued NIfTI volume, or too large.
    """
    first = _half(path, ".hdr") if _ending(path).startswith(".img") else path
    header = parse_header(_head(_read(first, _CHUNK)))
    voxels = _half(first, ".img") if header.pair else first
    if header.voxel_bytes > MAX_VOXEL_BYTES:
        raise UnsupportedInputError(
            f"The volume would take {header.voxel_bytes / 2**30:.1f} GiB.",
            remedy=f"The limit is {MAX_VOXEL_BYTES / 2**30:.0f} GiB; crop or resample it.",
            code="nifti.size",
        )
    paths = tuple(dict.fromkeys((first, voxels)))
    files = NiftiFiles(paths, tuple(map(_stamp, paths)))
    end = header.offset + header.voxel_bytes
    # Incompressible data grows a little under gzip, never by this much.
    if files.stamps[-1][0] > end + end // 64 + 2**20:
        raise damaged("it holds more than its header names", "nifti.trailing")
    data = _read(voxels)
    flat = _inflate(data, end) if data[:2] == _GZIP else np.frombuffer(data, np.uint8)
    if flat.size < end:
        raise damaged("it ends before its voxels do", "nifti.truncated")
    stored = flat[header.offset : end].view(header.dtype)
    return files, header, stored, _trailing(flat[end:])


def _missing() -> NotFoundError:
    return NotFoundError(
        "The NIfTI file, or the other half of its pair, cannot be opened.",
        remedy="Check the path and its permissions; a .hdr needs its .img beside it.",
        code="nifti.missing",
    )


def _read(path: Path, count: int = -1) -> bytes:
    try:
        if not path.is_file():  # a pipe would block
            raise _missing()
        with open(path, "rb") as file:
            return file.read(count)
    except OSError:
        raise _missing() from None


def _parts(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while part := file.read(2**20):
                yield part
    except OSError:
        raise _missing() from None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        raise _missing() from None
    return status.st_size, status.st_mtime_ns


def _ending(path: Path) -> str:
    """Return ``.nii``, ``.img.gz`` and the like, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def _half(path: Path, kind: str) -> Path:
    """Return the other file of a pair: the same name, ending in ``kind`` or ``kind`` and .gz."""
    ending = _ending(path)
    stem = path.name[: len(path.name) - len(ending)] if ending else path.name
    found = [path.with_name(stem + other) for other in (kind, kind + ".gz", kind.upper())]
    return next((other for other in found if other.is_file()), found[0])


def _head(data: bytes) -> bytes:
    """Return the first bytes, inflated where the file is compressed."""
    if data[:2] != _GZIP:
        return data[:HEADER_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(data, HEADER_BYTES)
    except zlib.error:
        raise damaged("its compression is broken", "nifti.gzip") from None


def _inflate(data: bytes, end: int) -> NDArray[np.uint8]:
    """Inflate a whole file into one buffer whose size header and trailer agree on.

    Args:
        data: The compressed file.
        end: Bytes that the header names, from the first to the last voxel.
    """
    import imagecodecs

    most = _LARGE_LIMIT if end > _LARGE_BYTES else _DEFLATE_LIMIT
    if end > most * len(data):
        raise damaged("it is too short for the volume its header names", "nifti.truncated")
    extra = (int.from_bytes(data[-4:], "little") - end) % 2**32
    if extra <= _PADDING_BYTES:
        buffer = np.empty(end + extra, np.uint8)
        try:
            inflated = imagecodecs.gzip_decode(data, out=buffer.data)
        except imagecodecs.DeflateError:
            inflated = b""  # several members, or broken: the slow way tells which
        if len(inflated) == buffer.size:
            return buffer
    return _inflate_members(data, end + _PADDING_BYTES)


def _inflate_members(data: bytes, limit: int) -> NDArray[np.uint8]:
    """Inflate a file of several gzip members (bgzip), never far past the limit."""
    buffer, position, member, members = bytearray(), 0, None, 0
    while position < len(data):
        if member is None:
            if data[position : position + 2] != _GZIP:
                break
            member, members = zlib.decompressobj(wbits=31), members + 1
        part = data[position : position + _CHUNK]
        try:
            buffer += member.decompress(part)
        except zlib.error:
            raise damaged("its compression is broken", "nifti.gzip") from None
        if len(buffer) > limit or members > 16 + limit // _SMALLEST_MEMBER:
            raise damaged("it holds more than its header names", "nifti.trailing")
        position += len(part) - len(member.unused_data)
        member = None if member.eof else member
    if member is not None:
        raise damaged("its compression ends early", "nifti.truncated")
    if np.frombuffer(data, np.uint8, offset=position).any():
        raise damaged("something else follows its compressed data", "nifti.trailing")
    return np.frombuffer(buffer, np.uint8)


def _trailing(rest: NDArray[np.uint8]) -> tuple[str, ...]:
    """Accept a little padding after the voxels and report it; refuse anything more."""
    if rest.size == 0:
        return ()
    if rest.size > _PADDING_BYTES or rest.any():
        raise damaged("it holds more than its header names", "nifti.trailing")
    return ("nifti.padding",)
