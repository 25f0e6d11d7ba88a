"""Time and memory from a folder of CT slices to Hounsfield units and views, against the usual ways.

    python benchmarks/ct_loading.py [--slices 300] [--size 512] [--repeats 3] [--compressed]

Peers, each in the same run on the same files in the page cache: SimpleITK's series reader,
pydicom slice by slice, MONAI's LoadImage; then a window in float and Pillow, or the Hugging Face
CLIP processor. Only ours proves geometry and units. `--compressed` times every syntax against
pydicom's own decoders, on one core and on all (``pip install python-gdcm`` gives pydicom one for
JPEG lossless). Peak memory is that of a fresh process, over what its imports took.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder, get_encoder
from pydicom.uid import CTImageStorage, RLELossless

from longllava_domains import ct
from longllava_domains.adapters.phantoms.chest import chest_phantom

VIEW_PX = 336
EXPLICIT = "1.2.840.10008.1.2.1"
ENCODERS: dict[str, tuple[str, Callable[[NDArray[np.uint16]], bytes]]] = {
    "jpeg lossless": (
        "1.2.840.10008.1.2.4.70",
        lambda image: imagecodecs.jpeg8_encode(image, lossless=True, predictor=1, bitspersample=16),
    ),
    "jpeg-ls": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
    "jpeg 2000": (
        "1.2.840.10008.1.2.4.90",
        lambda image: imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True),
    ),
    "htj2k": ("1.2.840.10008.1.2.4.201", lambda image: imagecodecs.htj2k_encode(image, reversible=True)),
    "rle": (RLELossless, lambda image: next(get_encoder(RLELossless).iter_encode(
        image, rows=image.shape[0], columns=image.shape[1], samples_per_pixel=1,
        number_of_frames=1, bits_allocated=16, bits_stored=16, pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    ))),
}  # fmt: skip
_MEMORY_CHILD = """
import sys
from pathlib import Path
from longllava_domains import ct
import longllava_domains.ct.dicom.open, longllava_domains.ct.views.render, imagecodecs, PIL.Image
ct.open_volume(sys.argv[2])
Path("/proc/self/clear_refs").write_text("5")
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
before = peak()
volume = ct.open_volume(sys.argv[1])
if sys.argv[3] == "hu":
    volume.hu
else:
    volume.source.read(range(int(sys.argv[3])))
print(peak() - before)
"""


def write_series(folder: Path, hu: NDArray[np.int16], syntax: str, encode: Any = None) -> Path:
    """Write slices as CT Image Storage; `encode` compresses one frame."""
    folder.mkdir()
    for index, plane in enumerate(hu):
        stored = (plane.astype(np.int32) + 1024).astype(np.uint16)
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = syntax
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = f"1.2.3.{index + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", "1.2.3.0"
        image.FrameOfReferenceUID = "1.2.3.9"
        image.Modality, image.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.ImagePositionPatient = [0, 0, -float(index)]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing = [0.75, 0.75]
        image.Rows, image.Columns = stored.shape
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation, image.InstanceNumber = 0, index + 1
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
        # As long as a scanner's header: about 130 elements, some of them private.
        for number in range(100):
            image.add_new(0x00091000 + number + 1, "LO", f"private value {number}")
        image.add_new(0x00090010, "LO", "A VENDOR")
        image.PixelData = stored.tobytes() if encode is None else encapsulate([encode(stored)])
        image["PixelData"].VR = "OW" if encode is None else "OB"
        image.save_as(folder / f"{index:05d}", enforce_file_format=True)
    return folder


def median_ms(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the medians of elapsed and of processor milliseconds."""
    work()
    taken, worked = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        taken.append(time.perf_counter() - start)
        worked.append(time.process_time() - start_cpu)
    return statistics.median(taken) * 1000, statistics.median(worked) * 1000


def simpleitk_hu(folder: Path) -> NDArray[Any]:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return SimpleITK.GetArrayFromImage(reader.Execute())


def pydicom_hu(folder: Path) -> NDArray[np.int16]:
    images = [pydicom.dcmread(path) for path in folder.iterdir()]
    images.sort(key=lambda image: -float(image.ImagePositionPatient[2]))
    planes = [
        image.pixel_array.astype(np.int16) * np.int16(image.RescaleSlope)
        + np.int16(image.RescaleIntercept)
        for image in images
    ]
    return np.stack(planes)


def window_and_pillow(hu: NDArray[Any]) -> list[NDArray[np.uint8]]:
    views = []
    for plane in hu:
        grey = np.clip((plane.astype(np.float32) + 1350) / 1500, 0, 1) * 255
        picture = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
        views.append(np.asarray(picture.resize((VIEW_PX, VIEW_PX), Image.Resampling.BICUBIC)))
    return views


def monai_and_clip(folder: Path) -> object:
    from monai.transforms import LoadImage
    from transformers import CLIPImageProcessor

    size = {"height": VIEW_PX, "width": VIEW_PX}
    processor = CLIPImageProcessor(size=size, crop_size=size)
    hu = np.asarray(LoadImage(image_only=True, reader="PydicomReader")(str(folder)))
    grey = (np.clip((hu + 1350) / 1500, 0, 1) * 255).astype(np.uint8)
    pictures = [Image.fromarray(plane.T).convert("RGB") for plane in np.moveaxis(grey, 2, 0)]
    return processor(images=pictures, return_tensors="np")["pixel_values"]


def our_views(folder: Path) -> object:
    policy = ct.SlicePolicy(windows=ct.LUNG, view_px=VIEW_PX)
    return ct.open_volume(folder).to_sequence(policy)


def print_table(
    title: str, ways: dict[str, Callable[[], object]], slices: int, repeats: int
) -> None:
    """Time each way; the first is ours."""
    print(title)
    times = {name: median_ms(work, repeats) for name, work in ways.items()}
    ours, _ = next(iter(times.values()))
    for name, (taken, worked) in times.items():
        print(
            f"  {name:34s} {taken:7.0f} ms ({worked:7.0f} ms of processor)"
            f"  {slices / taken * 1000:6.0f} slices/s  {taken / ours:6.2f} x ours",
            flush=True,
        )


def print_compressed(root: Path, hu: NDArray[np.int16], repeats: int) -> None:
    """Time every syntax against pydicom and SimpleITK, on one core and on all."""
    for syntax, (uid, encode) in ENCODERS.items():
        folder = write_series(root / syntax.replace(" ", "_"), hu, uid, encode)
        assert np.array_equal(ct.open_volume(folder).hu, hu), "the arrays differ"
        ways: dict[str, Callable[[], object]] = {
            "ours": lambda f=folder: ct.open_volume(f).hu,  # type: ignore[misc]
        }
        decoder = get_decoder(uid)
        if decoder.is_available:
            plugin = decoder.available_plugins[0]
            ways[f"pydicom ({plugin})"] = lambda f=folder: pydicom_hu(f)  # type: ignore[misc]
        if syntax != "htj2k":  # GDCM has no decoder for it
            ways["SimpleITK"] = lambda f=folder: simpleitk_hu(f)  # type: ignore[misc]
        cores = os.sched_getaffinity(0)
        for some in ({min(cores)}, cores):
            os.sched_setaffinity(0, some)
            print_table(
                f"{len(hu)} slices, {syntax}, {len(some)} of {len(cores)} cores",
                ways,
                len(hu),
                repeats,
            )


def added_mib(folder: Path, warm_up: Path, what: str) -> float:
    command = [sys.executable, "-c", _MEMORY_CHILD, str(folder), str(warm_up), what]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compressed", action="store_true", help="time every compressed syntax")
    parser.add_argument("--monai", action="store_true", help="time MONAI with the CLIP processor")
    options = parser.parse_args()
    logging.getLogger("pydicom").disabled = True
    warnings.simplefilter("ignore")
    size, slices = options.size, options.slices
    tile = chest_phantom(shape=(30, size, size), spacing_mm=(9.0, 384 / size, 384 / size)).hu
    hu = np.concatenate([tile] * (slices // 30 + 1))[:slices]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        raw = write_series(root / "raw", hu, EXPLICIT)
        warm_up = write_series(root / "few", hu[:3], EXPLICIT)
        for read in (lambda: ct.open_volume(raw).hu, lambda: pydicom_hu(raw)):
            assert np.array_equal(read(), hu), "the arrays differ"
        assert np.array_equal(simpleitk_hu(raw)[::-1], hu), "the arrays differ"
        views: dict[str, Callable[[], object]] = {
            "ours: open_volume, to_sequence": lambda: our_views(raw),
            "SimpleITK series, window, Pillow": lambda: window_and_pillow(simpleitk_hu(raw)),
            "pydicom, window, Pillow": lambda: window_and_pillow(pydicom_hu(raw)),
        }
        if options.monai:
            views["MONAI LoadImage, CLIP processor"] = lambda: monai_and_clip(raw)
        print_table(
            f"{slices} uncompressed slices to {VIEW_PX} px views", views, slices, options.repeats
        )
        volumes: dict[str, Callable[[], object]] = {
            "ours: open_volume(...).hu": lambda: ct.open_volume(raw).hu,
            "ours: open_volume alone": lambda: ct.open_volume(raw),
            "SimpleITK series": lambda: simpleitk_hu(raw),
            "pydicom int16": lambda: pydicom_hu(raw),
        }
        print_table(f"{slices} uncompressed slices to int16", volumes, slices, options.repeats)
        if options.compressed:
            print_compressed(root, hu[:60], options.repeats)
        volume_mib = hu.nbytes / 2**20
        print(f"added peak memory, {slices} slices ({volume_mib:.0f} MiB as int16)")
        print(f"  .hu: {added_mib(raw, warm_up, 'hu'):.0f} MiB")
        some = max(1, slices // 10)
        print(
            f"  {some} slices ({volume_mib * some / slices:.0f} MiB): {added_mib(raw, warm_up, str(some)):.0f} MiB"
        )


if __name__ == "__main__":
    main()
