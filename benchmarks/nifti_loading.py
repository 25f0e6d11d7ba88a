"""Time to open a .nii.gz CT, against nibabel and SimpleITK in the same run.

    python benchmarks/nifti_loading.py [--slices 300] [--size 512] [--repeats 5]

Ours returns proved Hounsfield units in the package's order; nibabel's and SimpleITK's arrays are
neither checked nor reoriented. The file is a noisy phantom, written uncompressed and by zlib
level 6; it lies in the page cache for everyone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.nifti.open import open_nifti


def median_ms(work: Callable[[], object], repeats: int) -> float:
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def write_phantom(folder: Path, slices: int, size: int) -> tuple[Path, Path]:
    tile = chest_phantom(shape=(30, size, size), spacing_mm=(9.0, 384 / size, 384 / size))
    hu = np.concatenate([tile.hu] * (slices // 30 + 1))[:slices]
    image = nibabel.Nifti1Image(hu.transpose(2, 1, 0), np.diag([-0.75, -0.75, -1.0, 1.0]))
    image.header.set_xyzt_units("mm")
    for name in ("scan.nii", "scan.nii.gz"):
        nibabel.save(image, folder / name)
    return folder / "scan.nii.gz", folder / "scan.nii"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in write_phantom(Path(folder), options.slices, options.size):
            ours = open_nifti(path).hu
            theirs = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
            assert np.array_equal(ours, theirs.transpose(2, 1, 0)), "the arrays differ"
            del ours, theirs
            ways: dict[str, Callable[[], object]] = {
                "ours, opened (proved, oriented lazily)": lambda p=path: open_nifti(p),  # type: ignore[misc]
                "ours, .hu": lambda p=path: open_nifti(p).hu,  # type: ignore[misc]
                "nibabel np.asarray(dataobj)": lambda p=path: np.asarray(nibabel.load(p).dataobj),  # type: ignore[misc]
                "nibabel get_fdata(float32)": lambda p=path: nibabel.load(p).get_fdata(  # type: ignore[misc]
                    dtype=np.float32
                ),
                "SimpleITK ReadImage": lambda p=path: SimpleITK.ReadImage(str(p)),  # type: ignore[misc]
            }
            print(f"{path.suffixes} {path.stat().st_size / 2**20:.0f} MiB")
            times = {name: median_ms(work, options.repeats) for name, work in ways.items()}
            for name, taken in times.items():
                ratio = taken / times["ours, .hu"]
                print(f"  {name:40s} {taken:8.0f} ms   {ratio:5.2f} x ours, .hu")


if __name__ == "__main__":
    main()
