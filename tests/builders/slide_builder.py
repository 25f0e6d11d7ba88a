"""Real slides written by script, each named for its hazard.

`tissue` paints what a scanner would see: glass, islands of stroma and nuclei, nothing symmetric.
Every writer takes the path to write and returns it.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence

Rgb = NDArray[np.uint8]

MPP = 0.5
WIDTH, HEIGHT = 1501, 1103
TILE = 128
GLASS = (244, 240, 242)
STROMA = (226, 160, 198)
NUCLEUS = (96, 58, 142)
APERIO = (
    "Aperio Image Library v12.0.16 \r\n{w}x{h} (128x128) JPEG/RGB Q=90|AppMag = 20|"
    "Filename = PLANTED^NAME|User = planted-user|Date = 01/02/93|ImageID = 77777|MPP = {mpp}"
)
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_2000_LOSSY = "1.2.840.10008.1.2.4.91"
EXPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
ROOT = "1.2.826.0.1.3680043.10.1561.14"


def tissue(width: int = WIDTH, height: int = HEIGHT, seed: int = 0, *, islands: int = 3) -> Rgb:
    """Return uint8 (height, width, 3): glass with islands of tissue, nuclei in them."""
    rng = np.random.default_rng(seed)
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    short = min(width, height)
    for number in range(islands):
        x = width * (0.2 + 0.6 * (number + 0.5) / islands)
        y = height * rng.uniform(0.35, 0.65)
        a, b = short * rng.uniform(0.14, 0.2), short * rng.uniform(0.12, 0.25)
        draw.ellipse((x - a, y - b, x + a, y + b), fill=255)
    share = np.asarray(mask.filter(ImageFilter.GaussianBlur(1.5)), np.float32)[..., None] / 255
    slow = rng.normal(0, 1, (height // 32 + 2, width // 32 + 2)).astype(np.float32)
    texture = np.asarray(Image.fromarray(slow).resize((width, height), Image.Resampling.BICUBIC))
    picture = Image.new("RGB", (width, height), STROMA)
    nuclei = ImageDraw.Draw(picture)
    for _ in range(width * height // 900):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(2, 4)
        nuclei.ellipse((x - r, y - r * 0.8, x + r, y + r * 0.8), fill=NUCLEUS)
    stained = np.asarray(picture, np.float32) + 14 * texture[..., None]
    grain = rng.normal(0, 1.2, (height, width, 1)).astype(np.float32)
    colours = share * stained + (1 - share) * np.array(GLASS, np.float32) + grain
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def shrunk(image: Rgb, factor: int) -> Rgb:
    """Average whole cells; the last ones are cut off, as scanners do."""
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    cells = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    return np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)


def tiff(
    path: Path,
    image: Rgb | None = None,
    *,
    factors: Sequence[int] = (4, 16),
    mpp: float | tuple[float, float] | None = MPP,
    subifds: bool = False,
    label: bool = False,
    **options: Any,
) -> Path:
    """Write a tiled pyramid, JPEG in YCbCr unless told otherwise.

    Args:
        path: Where.
        image: Level 0.
        factors: Of the further levels.
        mpp: Written as pixels per centimetre; None for no resolution.
        subifds: Levels hang below the first page instead of following it.
        label: Add pages that show a label and the macro image.
        **options: For `tifffile`, over the defaults.
    """
    image = tissue() if image is None else image
    settings: dict[str, Any] = {
        "tile": (TILE, TILE), "compression": "jpeg", "compressionargs": {"level": 92},
        "photometric": "rgb", "metadata": None,
    } | options  # fmt: skip
    if mpp is not None:
        x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
        settings |= {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"}
    description = settings.pop("description", None)
    with tifffile.TiffWriter(path, bigtiff=settings.pop("bigtiff", False)) as file:
        file.write(
            image, description=description, subifds=len(factors) if subifds else None, **settings
        )
        for factor in factors:
            file.write(shrunk(image, factor), subfiletype=1, **settings)
        if label:
            for size, kind in (((90, 70), 1), ((60, 180), 9)):
                page = np.full((*size, 3), 255, np.uint8)
                page[10:-10, 10:-10] = (250, 0, 0)
                file.write(page, subfiletype=kind, compression="lzw", photometric="rgb",
                           description="label PLANTED^NAME", metadata=None)  # fmt: skip
    return path


def svs(path: Path, image: Rgb | None = None, *, mpp: object = MPP, **options: Any) -> Path:
    """An Aperio SVS: description with MPP, JPEG tiles in RGB, label and macro at the end."""
    image = tissue() if image is None else image
    text = APERIO.format(w=image.shape[1], h=image.shape[0], mpp=mpp)
    if mpp is None:
        text = text.rpartition("|")[0]
    return tiff(path, image, mpp=None, label=True, description=text,
                compressionargs={"level": 92, "outcolorspace": "rgb"}, **options)  # fmt: skip


def ome(path: Path, image: Rgb | None = None, *, mpp: object = MPP, unit: str = "µm") -> Path:
    """An OME-TIFF whose levels are SubIFDs."""
    image = tissue() if image is None else image
    metadata = {"axes": "YXS", "Name": "PLANTED^NAME"}
    if mpp is not None:
        metadata |= {"PhysicalSizeX": mpp, "PhysicalSizeXUnit": unit,
                     "PhysicalSizeY": mpp, "PhysicalSizeYUnit": unit}  # fmt: skip
    options: dict[str, Any] = {"tile": (TILE, TILE), "compression": "jpeg", "photometric": "rgb",
                               "compressionargs": {"level": 92}}  # fmt: skip
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image, subifds=2, metadata=metadata, **options)
        for factor in (4, 16):
            file.write(shrunk(image, factor), subfiletype=1, **options)
    return path


def ome_stack(path: Path, axes: str = "ZYXS") -> Path:
    """An OME-TIFF with three focal planes (ZYXS) or three channels (CYX)."""
    image = tissue(256, 192)
    data = np.stack([image] * 3) if axes == "ZYXS" else np.moveaxis(image, -1, 0)
    photometric = "rgb" if axes == "ZYXS" else "minisblack"
    tifffile.imwrite(path, data, ome=True, photometric=photometric, tile=(TILE, TILE),
                     metadata={"axes": axes, "PhysicalSizeX": MPP, "PhysicalSizeY": MPP})  # fmt: skip
    return path


def jpeg2000_svs(path: Path, *, ycbcr: bool, transform: bool) -> Path:
    """An Aperio SVS of JPEG 2000 tiles (33003 YCbCr or 33005 RGB), written tile by tile."""
    image = tissue(400, 300)
    tiles = [
        encode_tile(_padded(image, row, column), "jpeg2000", ycbcr=ycbcr, transform=transform)
        for row in range(0, 300, TILE)
        for column in range(0, 400, TILE)
    ]
    code = 33003 if ycbcr else 33005
    with tifffile.TiffWriter(path) as file:
        file.write(
            iter(tiles), shape=image.shape, dtype=np.uint8, tile=(TILE, TILE), photometric="rgb",
            compression=code, metadata=None, description=APERIO.format(w=400, h=300, mpp=MPP),
        )  # fmt: skip
    return path


def _padded(image: Rgb, row: int, column: int) -> Rgb:
    piece = image[row : row + TILE, column : column + TILE]
    grow = ((0, TILE - piece.shape[0]), (0, TILE - piece.shape[1]), (0, 0))
    return np.pad(piece, grow, mode="edge")


def encode_tile(tile: Rgb, codec: str, *, ycbcr: bool, transform: bool = False) -> bytes:
    """Encode one tile.

    Args:
        tile: RGB.
        codec: ``"jpeg"``, ``"jpeg2000"``, ``"jpeg-ls"``, ``"rle"`` or ``"raw"``.
        ycbcr: The samples handed to the codec are YCbCr, converted by ourselves.
        transform: JPEG 2000 and JPEG only: the codec transforms the colours itself, and says so.
    """
    samples = to_ycbcr(tile) if ycbcr else tile
    samples = np.ascontiguousarray(samples)
    if codec == "jpeg":
        inside = "ycbcr" if transform else "rgb"
        data = imagecodecs.jpeg8_encode(samples, level=95, colorspace="rgb", outcolorspace=inside)
        return data if transform else without_markers(data)
    if codec == "jpeg2000":
        return imagecodecs.jpeg2k_encode(samples, codecformat="j2k", mct=transform, reversible=True)
    if codec == "jpeg-ls":
        return imagecodecs.jpegls_encode(samples)
    if codec == "rle":
        return _rle(samples)
    return samples.tobytes()


def coarse_chroma_tile(tile: Rgb, folder: Path) -> bytes:
    """Encode one tile as JPEG 2000 in YCbCr whose chroma is stored at half the resolution."""
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.errors import NotGeoreferencedWarning

    path = folder / "tile.jp2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="JP2OpenJPEG", width=TILE, height=TILE, count=3, dtype="uint8",
            YCBCR420="YES", CODEC="J2K", QUALITY=95,
        ) as file:  # fmt: skip
            file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
            file.write(np.moveaxis(tile, -1, 0))
    return path.read_bytes()


def to_ycbcr(rgb: Rgb) -> Rgb:
    """Convert as JFIF says, rounded to the nearest; Pillow cuts fractions off."""
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    converted = rgb.astype(np.float64) @ matrix.T + (0, 128, 128)
    return np.clip(np.rint(converted), 0, 255).astype(np.uint8)


def without_markers(data: bytes) -> bytes:
    """Strip the application markers of a JPEG and number its components 1, 2, 3: it says nothing."""
    out, at = bytearray(data[:2]), 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not 0xE0 <= data[at + 1] <= 0xEF:
            out += data[at : at + length]
        at += length
    out += data[at:]
    frame, scan = out.find(b"\xff\xc0"), out.find(b"\xff\xda")
    for number in range(3):
        out[frame + 10 + 3 * number] = number + 1
        out[scan + 5 + 2 * number] = number + 1
    return bytes(out)


def _rle(samples: Rgb) -> bytes:
    """Encode literally: PS3.5 annex G allows runs of literals only."""
    segments = []
    for channel in range(3):
        plane = samples[..., channel].tobytes()
        pieces = [plane[at : at + 128] for at in range(0, len(plane), 128)]
        segment = b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)
        segments.append(segment + b"\0" * (len(segment) % 2))
    starts = [64, 64 + len(segments[0]), 64 + len(segments[0]) + len(segments[1])]
    header = [3, *starts, *[0] * 12]
    return b"".join(value.to_bytes(4, "little") for value in header) + b"".join(segments)


def dicom(
    folder: Path,
    image: Rgb | None = None,
    *,
    factors: Sequence[int] = (1, 4),
    codec: str = "jpeg",
    photometric: str = "YBR_FULL_422",
    ycbcr: bool = False,
    transform: bool = True,
    sparse: bool = False,
    skip: Callable[[int], bool] = lambda frame: False,
    parts: int = 1,
    label: bool = True,
    mpp: float | tuple[float, float] | None = MPP,
    edit: Callable[[Dataset], None] = lambda dataset: None,
) -> Path:
    """Write a DICOM slide into a folder.

    Args:
        folder: Made if it is not there.
        image: Level 0.
        factors: One level each.
        codec: As for `encode_tile`.
        photometric: What the tag says.
        ycbcr: As for `encode_tile`.
        transform: As for `encode_tile`.
        sparse: TILED_SPARSE, frames in reverse order.
        skip: Frames of a sparse level that were not scanned.
        parts: Instances of a concatenation for each level.
        label: Add label and overview instances.
        mpp: Of level 0; None writes no spacing.
        edit: Changes each data set before it is written.
    """
    folder.mkdir(exist_ok=True)
    image = tissue() if image is None else image
    number = 0
    for factor in factors:
        level = image if factor == 1 else shrunk(image, factor)
        starts = [(row, column) for row in range(0, level.shape[0], TILE)
                  for column in range(0, level.shape[1], TILE)]  # fmt: skip
        kept = [place for at, place in enumerate(starts) if not (sparse and skip(at))]
        kept = kept[::-1] if sparse else kept
        per_part = -(-len(kept) // parts)
        for part in range(parts):
            number += 1
            places = kept[part * per_part : (part + 1) * per_part]
            if not places:
                continue
            frames = [encode_tile(_padded(level, *place), codec, ycbcr=ycbcr, transform=transform)
                      for place in places]  # fmt: skip
            dataset = _header(level.shape, photometric, factor, mpp, len(frames), number)
            if parts > 1:
                dataset.ConcatenationUID = f"{ROOT}.7.{factor}"
                dataset.InConcatenationNumber = part + 1
                dataset.ConcatenationFrameOffsetNumber = part * per_part
            if sparse:
                _say_places(dataset, places)
            else:
                dataset.DimensionOrganizationType = "TILED_FULL"
            edit(dataset)
            _save(dataset, frames, codec, folder / f"PLANTED_{number}.dcm")
    for kind in ("LABEL", "OVERVIEW") if label else ():
        number += 1
        dataset = _header((TILE, TILE, 3), "RGB", 1, None, 1, number)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
        _save(dataset, [bytes(TILE * TILE * 3)], "raw", folder / f"PLANTED_{number}.dcm")
    return folder


def _header(
    shape: tuple[int, ...], photometric: str, factor: int, mpp: Any, frames: int, number: int
) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = WSI, f"{ROOT}.1.{number}"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"{ROOT}.2", f"{ROOT}.3"
    dataset.Modality = "SM"
    dataset.PatientName, dataset.PatientID = "PLANTED^NAME", "PLANTED-ID"
    dataset.ContainerIdentifier, dataset.BarcodeValue = "PLANTED-SLIDE", "PLANTED-BARCODE"
    dataset.LabelText = "PLANTED label text"
    dataset.ImageType = ["DERIVED" if factor > 1 else "ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, photometric
    dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = TILE, TILE, frames
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = shape[:2]
    dataset.TotalPixelMatrixFocalPlanes, dataset.NumberOfOpticalPaths = 1, 1
    path = Dataset()
    path.OpticalPathIdentifier, path.ObjectiveLensPower = "1", 20
    path.ICCProfile = b"no profile at all"
    dataset.OpticalPathSequence = DicomSequence([path])
    if mpp is not None:
        x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
        measures = Dataset()
        measures.PixelSpacing = [y * factor / 1000, x * factor / 1000]
        measures.SliceThickness = 0.001
        shared = Dataset()
        shared.PixelMeasuresSequence = DicomSequence([measures])
        dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    return dataset


def _say_places(dataset: Dataset, places: list[tuple[int, int]]) -> None:
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    groups = []
    for row, column in places:
        place = Dataset()
        place.ColumnPositionInTotalImagePixelMatrix = column + 1
        place.RowPositionInTotalImagePixelMatrix = row + 1
        group = Dataset()
        group.PlanePositionSlideSequence = DicomSequence([place])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(groups)


def _save(dataset: Dataset, frames: list[bytes], codec: str, path: Path) -> None:
    syntaxes = {"jpeg": JPEG_BASELINE, "jpeg2000": JPEG_2000, "jpeg-ls": JPEG_LS, "rle": RLE,
                "raw": EXPLICIT}  # fmt: skip
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntaxes[codec]
    if codec == "jpeg2000" and dataset.PhotometricInterpretation == "YBR_ICT":
        meta.TransferSyntaxUID = JPEG_2000_LOSSY
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    if codec == "raw":
        data = b"".join(frames)
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = encapsulate([bytes(frame) for frame in frames])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
