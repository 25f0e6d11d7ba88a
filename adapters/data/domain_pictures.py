"""Volumes and rasters as pictures of a training row: many views, made by the domains' loaders.

What a model is trained on is then made by the same code, with the same policies, as what it is
shown afterwards.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from longllava_domains.adapters.data.pictures import ImageFile, Picture, Shape, file_sha256
from longllava_domains.ct import CTVolume, SlicePolicy, open_volume
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.ct.views.selection import choose_slices
from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.visual import View

# Shown where a data set says nothing else: evenly spread slices of soft tissue.
DEFAULT_SLICES = SlicePolicy(count=100)


@dataclass(frozen=True)
class VolumePicture:
    """A CT volume: slices times windows of a policy.

    Attributes:
        path: A NIfTI file or a DICOM folder.
        name: What the data set calls it.
        policy: Which slices are shown, and how.
        hu: How Hounsfield units are proved, see `ct.open_volume`.
    """

    path: Path
    name: str
    policy: SlicePolicy = DEFAULT_SLICES
    hu: HuSource = "prove"

    def is_there(self) -> bool:
        """Say whether the file or folder exists."""
        return self.path.exists()

    def size_bytes(self) -> int:
        """Return the size of the file, or of all files of the folder."""
        return sum(file.stat().st_size for file in self._files())

    def sha256(self) -> str:
        """Return the SHA-256 of the file, or of the files' hashes in order of name."""
        files = self._files()
        if files == [self.path]:
            return file_sha256(self.path)
        return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()

    def shape(self) -> Shape:
        """Return the views that the policy chooses, from the header alone.

        Raises:
            LongLlavaError: The volume cannot be opened, or the policy chooses nothing.
        """
        chosen, _ = choose_slices(self._open(), self.policy)
        return Shape(len(chosen) * len(self.policy.windows_shown), self.policy.layout)

    def load(self) -> Sequence[View]:
        """Decode the chosen slices and window them.

        Raises:
            LongLlavaError: The volume cannot be opened or decoded.
        """
        return self._open().to_sequence(self.policy).views

    def _open(self) -> CTVolume:
        return open_volume(self.path, hu=self.hu)

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            return sorted(file for file in self.path.rglob("*") if file.is_file())
        return [self.path]


@dataclass(frozen=True)
class ScenePicture:
    """A satellite or aerial scene: a global view and a grid of tiles.

    Attributes:
        path: Anything `remote_sensing.open_raster` opens.
        name: What the data set calls it.
        policy: How much is shown, and how sharply.
    """

    path: Path
    name: str
    policy: GridPolicy

    def is_there(self) -> bool:
        """Say whether the file exists."""
        return self.path.exists()

    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        return file_sha256(self.path)

    def shape(self) -> Shape:
        """Return the grid that the policy plans, without reading pixels.

        Raises:
            LongLlavaError: The scene cannot be opened, or is too large for the policy.
        """
        with open_raster(self.path) as raster:
            grid = raster.plan(self.policy).grid
        return Shape(1 + grid.rows * grid.columns, "grid", (grid.rows, grid.columns))

    def load(self) -> Sequence[View]:
        """Read the global view and the tiles.

        Raises:
            LongLlavaError: The scene cannot be opened or decoded.
        """
        with open_raster(self.path) as raster:
            return raster.to_sequence(self.policy).views


def picture_of(
    root: Path,
    name: str,
    slices: SlicePolicy = DEFAULT_SLICES,
    grid: GridPolicy | None = None,
) -> Picture:
    """Choose what a name in a data set is.

    NIfTI files and folders are CT volumes and TIFF files are scenes; everything else is an
    ordinary image.

    Args:
        root: Folder that the data set's names start from.
        name: Relative path, as the data set writes it.
        slices: How volumes are shown.
        grid: How scenes are shown; by default within a quarter of a packed row.
    """
    path = root / name
    lower = name.lower()
    if lower.endswith((".nii", ".nii.gz")) or path.is_dir():
        return VolumePicture(path, name, slices)
    if lower.endswith((".tif", ".tiff")):
        return ScenePicture(path, name, grid or GridPolicy(max_tokens=40960 // 4))
    return ImageFile(path, name)
