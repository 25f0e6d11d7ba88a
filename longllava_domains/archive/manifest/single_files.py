"""Slides and scenes that are one file each: which files are any, and what stands for their content."""

import hashlib
from typing import BinaryIO, Final

from longllava_domains.archive.manifest.walk import Entry
from longllava_domains.units import MIB

_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG2000: Final = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_NITF: Final = (b"NITF",)
_MAGIC: Final = {
    "pathology": _TIFF,
    "remote_sensing": (*_TIFF, *_JPEG2000, *_NITF),
    "ct": (),
}
# Formats that nothing but the name tells.
_NAMES: Final = {
    "pathology": (".mrxs", ".vms", ".vmu"),
    "remote_sensing": (".vrt",),
    "ct": (".nii", ".nii.gz"),
}
# A slide of 150 GB cannot be read whole to be listed: beyond this, samples of it are.
WHOLE_BYTES: Final = 64 * MIB
_SAMPLES: Final = 64
_SAMPLE_BYTES: Final = 65536


def is_single(entry: Entry, head: bytes, domain: str) -> bool:
    """Return whether a file is a whole item of a domain, by its first bytes or its name."""
    return head.startswith(_MAGIC[domain]) or entry.member.lower().endswith(_NAMES[domain])


def content_digest(entry: Entry) -> str:
    """Return a digest of a file's size and content; of 64 samples of it beyond 64 MiB.

    Two large files of one size that differ only between the samples have one digest; the pixel
    digest of their results tells them apart.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256(str(entry.size).encode())
    with entry.open() as stream:
        if entry.size <= WHOLE_BYTES:
            while chunk := stream.read(MIB):
                digest.update(chunk)
        else:
            for number in range(_SAMPLES):
                digest.update(_sample(stream, entry.size, number))
    return digest.hexdigest()


def _sample(stream: BinaryIO, size: int, number: int) -> bytes:
    stream.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
    return stream.read(_SAMPLE_BYTES)
