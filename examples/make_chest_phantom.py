"""Make the example CT: a synthetic chest, once as a DICOM series and once as NIfTI.

    python examples/make_chest_phantom.py examples

writes examples/chest_phantom/*.dcm and examples/chest_phantom.nii.gz.
"""

import sys
from pathlib import Path

from longllava_domains.adapters.phantoms import chest_phantom, write_dicom_series, write_nifti


def main(folder: Path) -> None:
    """Write both forms of the phantom below the folder."""
    phantom = chest_phantom(findings=("nodule", "effusion"))
    slices = write_dicom_series(phantom, folder / "chest_phantom")
    volume = write_nifti(phantom, folder / "chest_phantom.nii.gz")
    print(f"{len(slices)} DICOM slices and {volume.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
