"""`VolumeAugmentation`: a CT volume turned, shifted and made noisy a little, in Hounsfield units.

MONAI's transforms act on the slices before they are windowed, as if the patient had lain otherwise;
places stay as the header says. What is drawn follows from the generator that it is given alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct import CTVolume
from longllava_domains.ct.slice_source import SliceSource
from longllava_domains.errors import GeometryError, PolicyError

# What lies beyond the edge of a slice.
_AIR_HU: Final = -1024
# Pixels count as square, and so may be turned, up to this ratio of their sides.
_SQUARE: Final = 1.01


@dataclass(frozen=True)
class VolumeAugmentation:
    """Limits of random changes of CT volumes; 0 leaves them.

    Attributes:
        rotation_degrees: The most that slices are turned in their plane, either way.
        shift_mm: The most that they are shifted along rows and along columns, either way.
        noise_hu: Standard deviation of the noise added to each voxel, Hounsfield units.

    Raises:
        PolicyError: A number below 0, or beyond what a scanned patient does.
    """

    rotation_degrees: float = 0.0
    shift_mm: float = 0.0
    noise_hu: float = 0.0

    def __post_init__(self) -> None:
        limits = {"rotation_degrees": 45.0, "shift_mm": 100.0, "noise_hu": 200.0}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise PolicyError(
                    f"{name} of an augmentation is out of range.",
                    remedy=f"Give a number from 0 to {most:g}.",
                    code="training.augmentation",
                )

    def __bool__(self) -> bool:
        return any((self.rotation_degrees, self.shift_mm, self.noise_hu))

    def changed(self, volume: CTVolume, chance: np.random.Generator) -> CTVolume:
        """Return the volume as it would have been with another draw of chance.

        Nothing is decoded before slices are read.

        Args:
            volume: The volume; it is not changed.
            chance: What is drawn from; the same state gives the same volume.
        """
        acquired = volume.slices("acquired")
        seed = int(chance.integers(2**31))
        spacing = acquired.pixel_spacing_mm
        source = _ChangedSlices(volume.source, self, seed, spacing)
        try:
            affine: Any = volume.affine_ras_mm
        except GeometryError as refusal:
            affine = refusal
        placed = replace(acquired, source=_ChangedSlices(acquired.source, self, seed, spacing))
        return CTVolume(source, affine, volume.report, volume.facts, acquired=placed)


UNCHANGED: Final = VolumeAugmentation()


@dataclass(frozen=True)
class _ChangedSlices:
    """The slices of another source, each changed in the same way; implements `SliceSource`."""

    source: SliceSource
    how: VolumeAugmentation
    seed: int
    pixel_spacing_mm: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.source.shape

    @property
    def instances(self) -> tuple[tuple[str, ...], ...]:
        """Those of the source."""
        return self.source.instances

    @property
    def synthetic(self) -> tuple[bool, ...]:
        """Those of the source."""
        return self.source.synthetic

    def content_sha256(self) -> str:
        """Return the SHA-256 of the source."""
        return self.source.content_sha256()

    def source_headers(self) -> Sequence[Any] | None:
        """Return the headers of the source."""
        return self.source.source_headers()

    def read(self, indices: Sequence[int]) -> NDArray[np.int16]:
        """Decode these slices and change them; reading twice gives the same values."""
        move, noise = _transforms(self.how, self.pixel_spacing_mm)
        wanted = list(indices)
        slices: Any = _tensor(self.source.read(wanted), self.pixel_spacing_mm)
        move.set_random_state(seed=self.seed)
        slices = move(slices)
        for place, index in enumerate(wanted):
            noise.set_random_state(seed=(self.seed + 1 + index) % 2**32)
            slices[place : place + 1] = noise(slices[place : place + 1])
        values: NDArray[np.float32] = slices.array + _AIR_HU
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(values), limits.min, limits.max).astype(np.int16)


def _tensor(hu: NDArray[np.int16], spacing_mm: tuple[float, float]) -> Any:
    """Return slices as channels of a MetaTensor, in units above air so that 0 is what pads."""
    from monai.data import MetaTensor

    affine = np.diag([*spacing_mm, 1.0])
    return MetaTensor((hu.astype(np.float32) - _AIR_HU), affine=affine)


def _transforms(how: VolumeAugmentation, spacing_mm: tuple[float, float]) -> tuple[Any, Any]:
    # Made for each reading: they hold a state of chance, which threads must not share.
    from monai.transforms import RandAffine, RandGaussianNoise

    turns = max(spacing_mm) / min(spacing_mm) <= _SQUARE
    move = RandAffine(
        prob=1.0,
        rotate_range=math.radians(how.rotation_degrees) if turns else 0.0,
        translate_range=[how.shift_mm / step for step in spacing_mm],
        mode="bilinear",
        padding_mode="zeros",
    )
    return move, RandGaussianNoise(prob=1.0, std=how.noise_hu, sample_std=False)
