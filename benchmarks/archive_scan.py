"""How many DICOM headers a second an archive scan reads, and whether its memory stays flat.

    python benchmarks/archive_scan.py [--files 20000] [--per-study 100]

Headers are as long as a scanner's; pixels are 16 x 16. Each scan runs in a fresh process. The
second scan of the same archive shows what a rescan costs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage

ROOT = "1.2.826.0.1.3680043.10.1561.98"
_CHILD = """
import resource, sys, time
from pathlib import Path
from longllava_domains.archive.manifest.scan import scan_archive
from longllava_domains.archive.manifest.secret import SiteSecret
out = Path(sys.argv[2])
peaks, begin = [], time.process_time()
def look(files):
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
summary = scan_archive(sys.argv[1], "ct", out / "m.parquet", secret=SiteSecret(bytes(32)), on_files=look)
end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{summary.files} files, {summary.read} read, {summary.items} items in {summary.seconds:.1f} s: "
      f"{summary.files / summary.seconds:.0f} files/s ({time.process_time() - begin:.1f} s of processor); peak {peaks[0]:.0f} MiB after 1,000 files, "
      f"{peaks[-1]:.0f} MiB after all, {end:.0f} MiB at the end")
"""


def template() -> Dataset:
    """Return a CT image with about 130 elements, some of them private."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
    image.Modality, image.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.PatientName, image.PatientID, image.PatientBirthDate = "Phantom^A", "P1", "19700101"
    image.KVP, image.SliceThickness, image.ConvolutionKernel = 120, 1, "B30f"
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [0.75, 0.75]
    image.Rows = image.Columns = 16
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
    image.add_new(0x00090010, "LO", "A VENDOR")
    for number in range(100):
        image.add_new(0x00091001 + number, "LO", f"private value {number}")
    image.PixelData = bytes(512)
    image["PixelData"].VR = "OW"
    return image


def write_archive(root: Path, files: int, per_study: int) -> None:
    """Write studies of one series each."""
    image = template()
    for number in range(files):
        study, position = divmod(number, per_study)
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.{study}", f"{ROOT}.{study}.1"
        image.FrameOfReferenceUID = f"{ROOT}.{study}.2"
        uid = f"{ROOT}.{study}.1.{position + 1}"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = uid
        image.ImagePositionPatient = [0, 0, -float(position)]
        image.InstanceNumber = position + 1
        place = root / f"{study:05d}" / f"{position:05d}.dcm"
        place.parent.mkdir(exist_ok=True)
        pydicom.dcmwrite(place, image, enforce_file_format=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--per-study", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        archive, out = Path(name) / "archive", Path(name) / "out"
        archive.mkdir()
        out.mkdir()
        write_archive(archive, options.files, options.per_study)
        for what in ("first scan", "rescan"):
            command = [sys.executable, "-c", _CHILD, str(archive), str(out)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{what}: {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
