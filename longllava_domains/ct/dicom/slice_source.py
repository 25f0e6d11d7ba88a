"""The slices of a proved DICOM stack, decoded when they are asked for, in radiological order."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.geometry.stack import Stack
from longllava_domains.ct.dicom.geometry.tilt import Canvas
from longllava_domains.ct.dicom.header import NotAnImage, SliceHeader, read_header
from longllava_domains.ct.dicom.stored_values import HuScale, naming, read_slice
from longllava_domains.ct.orientation import to_radiological
from longllava_domains.ct.slice_source import PlacedSlices
from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.dicom.pydicom_parser import UnparsableError, read_dataset
from longllava_domains.formats.dicom.source_file import changed
from longllava_domains.units import GIB, content_hash, human_bytes

_MAX_THREADS: Final = 4
_BLOCK: Final = 1 << 20
# As for NIfTI; compressed slices of a few bytes can claim any size.
_MAX_READ_BYTES: Final = 8 * GIB
_LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


class DicomSource:
    """Slices of one DICOM series; implements `SliceSource`.

    Args:
        stack: The proved geometry.
        scale_of: The rescale of each slice.
        size: Rows and columns of the stored slices.

    Attributes:
        affine_ras_mm: (4, 4) from (slice, row, column) to RAS millimetres of voxel centres.
    """

    def __init__(
        self, stack: Stack, scale_of: Callable[[SliceHeader], HuScale], size: tuple[int, int]
    ) -> None:
        self._headers = stack.headers
        self._scale_of = scale_of
        self._canvas = Canvas(size, stack.shift_px)
        slots = len(stack.headers)
        stored = _LPS_TO_RAS @ stack.affine_lps_mm @ self._canvas.to_stored_index()
        probe = np.broadcast_to(np.int8(0), (slots, *self._canvas.size))
        turned, self.affine_ras_mm = to_radiological(probe, stored)
        slices, rows, columns = turned.shape
        self.shape: tuple[int, int, int] = (slices, rows, columns)
        # Columns of the two affines are the same vectors, reordered and perhaps reversed.
        cosines = self.affine_ras_mm[:3, :3].T @ stored[:3, :3]
        cosines = cosines / np.linalg.norm(stored[:3, :3], axis=0) ** 2
        self._order = [int(axis) for axis in np.argmax(np.abs(cosines), axis=1)]
        self._flipped = [bool(cosines[a, self._order[a]] < 0) for a in range(3)]
        self._sha256: str | None = None
        self._across: NDArray[np.int16] | None = None

    @property
    def instances(self) -> tuple[tuple[str, ...], ...]:
        """Short hashes of the source instances of each slice.

        Where an instance has several frames, ``.N`` follows, the frame number from 1.
        """
        named = tuple(self._instances_of(slot) for slot in range(len(self._headers)))
        if self._order[0] == 0:
            return named[::-1] if self._flipped[0] else named
        return (tuple(token for tokens in named for token in tokens),) * self.shape[0]

    @property
    def synthetic(self) -> tuple[bool, ...]:
        """True for each slice that a repair made up."""
        made = tuple(header is None for header in self._headers)
        if self._order[0] == 0:
            return made[::-1] if self._flipped[0] else made
        return (False,) * self.shape[0]

    def placed(self, offsets_mm: NDArray[np.float64]) -> PlacedSlices | None:
        """Return the slices with their own places, where they are shown as they are stored.

        Args:
            offsets_mm: Position of each stored slice along the normal, rising.

        Returns:
            The slices, or None for a series that was stored across (coronal or sagittal).
        """
        if self._order[0] != 0:
            return None
        around = np.concatenate([offsets_mm[:1], offsets_mm, offsets_mm[-1:]])
        local = (around[2:] - around[:-2]) / 2
        thickness = np.array(
            [
                header.thickness_mm if header is not None and header.thickness_mm else step
                for header, step in zip(self._headers, local, strict=True)
            ]
        )
        linear = np.linalg.norm(self.affine_ras_mm[:3, 1:3], axis=0)
        pixel_mm = (float(linear[0]), float(linear[1]))
        # The head comes first, and z falls from it.
        if self._flipped[0]:
            return PlacedSlices(self, offsets_mm[::-1], thickness[::-1], pixel_mm)
        return PlacedSlices(self, -offsets_mm, thickness, pixel_mm)

    def read(self, indices: Sequence[int]) -> NDArray[np.int16]:
        """Decode these slices to Hounsfield units, and no others.

        Slices across the acquisition (of a coronal or sagittal series) need every stored one:
        the whole volume is decoded once and kept.

        Raises:
            DamagedInputError: The pixels cannot be read or decoded.
            UnsupportedInputError: No decoder for them, or more than 8 GiB of slices at once.
            IntensityError: A value does not fit int16.
        """
        count, rows, columns = self.shape
        _refuse_giant((count if self._order[0] else len(indices)) * rows * columns * 2)
        if self._order[0] != 0:
            if self._across is None:
                self._across = self._read_across()
            return self._across[list(indices)]
        wanted = [count - 1 - i if self._flipped[0] else i for i in map(int, indices)]
        slices = np.empty((len(wanted), rows, columns), np.int16)
        stored = self._as_stored(slices)
        for position, plane in enumerate(self._planes(wanted)):
            stored[position] = plane
        return slices

    def _read_across(self) -> NDArray[np.int16]:
        """Decode all of a series that was not stored slice by slice from head to foot."""
        whole = np.empty(self.shape, np.int16)
        stored = self._as_stored(np.flip(whole, 0) if self._flipped[0] else whole)
        for slot, plane in enumerate(self._planes(range(len(self._headers)))):
            stored[slot] = plane
        return whole

    def _as_stored(self, slices: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return a view of slices with the axes and directions of the stored images."""
        flips = tuple(axis for axis in (1, 2) if self._flipped[axis])
        return np.flip(slices, flips).transpose(np.argsort(self._order))

    def content_sha256(self) -> str:
        """Return the SHA-256 of the files that the volume is made from, foot to head of stack."""
        if self._sha256 is None:
            self._sha256 = content_hash(self._file_bytes())
        return self._sha256

    def source_headers(self) -> list[Any]:
        """Re-read the headers as pydicom data sets without pixels, one for each file.

        Raises:
            DamagedInputError: A file is gone, cannot be parsed, or is not any more the one whose
                patient, study and pixels were seen.
        """
        headers = []
        for seen in self._one_per_file():
            try:
                again = read_header(seen.file)
                headers.append(read_dataset(seen.file))
            except UnparsableError:
                raise DamagedInputError(
                    f"The header of {seen.file.label} cannot be read again.",
                    remedy="Keep the source files where they were until the result is saved.",
                    code="ct.source_gone",
                ) from None
            if isinstance(again, NotAnImage) or again.identity != seen.identity:
                raise changed(seen.file.label)
        if self._sha256 is not None and content_hash(self._file_bytes()) != self._sha256:
            raise changed("the files of the series")
        return headers

    def _one_per_file(self) -> list[SliceHeader]:
        headers = (header for header in self._headers if header is not None)
        return list({header.file.position: header for header in headers}.values())

    def _file_bytes(self) -> Iterator[bytes]:
        for header in self._one_per_file():
            with header.file.open() as stream:
                while block := stream.read(_BLOCK):
                    yield block

    def _instances_of(self, slot: int) -> tuple[str, ...]:
        header = self._headers[slot]
        if header is not None:
            token = (header.instance or header.file.token)[:8]
            return (f"{token}.{header.frame + 1}" if header.frames > 1 else token,)
        below, above = self._neighbours(slot)
        return self._instances_of(below) + self._instances_of(above)

    def _neighbours(self, slot: int) -> tuple[int, int]:
        """Return the nearest slots with a slice on both sides of a missing one."""
        below = next(i for i in range(slot, -1, -1) if self._headers[i] is not None)
        above = next(i for i in range(slot, len(self._headers)) if self._headers[i] is not None)
        return below, above

    def _planes(self, slots: Sequence[int]) -> Iterator[NDArray[np.int16]]:
        """Yield the planes of these slots in order."""
        # Threads pay where other processes decode.
        compressed = any(
            header is not None and header.pixel_length is None for header in self._headers
        )
        threads = min(_MAX_THREADS, os.cpu_count() or 1, len(slots))
        if not compressed or threads < 2:
            yield from map(self._plane, slots)
            return
        with ThreadPoolExecutor(threads) as pool:
            # A window of a few slices, so that decoding never runs far ahead of the reader.
            for start in range(0, len(slots), 4 * threads):
                yield from pool.map(self._plane, slots[start : start + 4 * threads])

    def _plane(self, slot: int) -> NDArray[np.int16]:
        header = self._headers[slot]
        if header is not None:
            with naming(header):
                plane = read_slice(header, self._scale_of(header))
            return self._canvas.straighten(plane, slot)
        below, above = self._neighbours(slot)
        weight = (slot - below) / (above - below)
        lower, upper = self._plane(below), self._plane(above)
        blend = lower * np.float32(1 - weight) + upper * np.float32(weight)
        return np.rint(blend).astype(np.int16)


def _refuse_giant(size: int) -> None:
    if size > _MAX_READ_BYTES:
        raise UnsupportedInputError(
            f"The slices would take {human_bytes(size)}.",
            remedy=f"The limit is {human_bytes(_MAX_READ_BYTES)}: read fewer slices at once.",
            code="ct.size",
            facts={"bytes": size},
        )
