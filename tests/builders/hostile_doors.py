"""Every door that bytes from a stranger come through: sound files for it, and what opens them.

`DOORS` maps a name to a function that writes sound files into a folder and returns a `Door`.
`mutate` damages bytes in the ways that have found something: flips, cuts, holes, repeats, zeros,
extreme numbers, and pieces of the same file in another place.
"""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicom_builder
import imagecodecs
import numpy as np
import raster_builder
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.formats.magic import read_magic

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "longllava_domains" / "model" / "demo"
JPEG = "1.2.840.10008.1.2.4."
SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg_lossless": JPEG + "70",
    "jpeg_ls": JPEG + "80",
    "jpeg2000": JPEG + "90",
    "htj2k": JPEG + "201",
}
EXTREMES = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xff",
    b"\0",
)


@dataclass(frozen=True)
class Door:
    """One way in.

    Attributes:
        data: The sound bytes that are damaged.
        target: The file they are written to.
        enter: Opens what lies there; raises our errors, or whatever else it meets.
        judge: Says of a result that was accepted what it is; by default ``"accepted"``.
    """

    data: bytes
    target: Path
    enter: Callable[[], Any]
    judge: Callable[[Any], str] = lambda _: "accepted"


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return damaged bytes."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not found:
            return b"\0"
        at = int(rng.integers(len(found)))
        size = int(rng.integers(1, 33))
        kind = int(rng.integers(7))
        if kind <= 1:
            found[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del found[at : at + size if rng.random() < 0.7 else None]
        elif kind == 3:
            found[at : at + size] = bytes(size)
        elif kind == 4:
            extreme = EXTREMES[int(rng.integers(len(EXTREMES)))]
            found[at : at + len(extreme)] = extreme
        elif kind == 5:
            other = int(rng.integers(len(found)))
            found[at:at] = found[other : other + size]
        else:
            found[at : at + size] = rng.bytes(size)
    return bytes(found)


def series(name: str) -> Callable[[Path], Door]:
    """A series of which one slice is damaged."""

    def make(folder: Path) -> Door:
        dicom_builder.write_series(folder / "series", syntax=SYNTAXES[name])
        target = sorted((folder / "series").iterdir())[1]
        return Door(target.read_bytes(), target, lambda: ct.open_volume(folder / "series").hu)

    return make


def frame(name: str) -> Callable[[Path], Door]:
    """One compressed frame, decoded alone; wrong pixels are those that decode as valid data."""

    def make(folder: Path) -> Door:
        from longllava_domains.formats.decoding.frames import decode_frame

        rows, columns = np.mgrid[:48, :64]
        image = (1000 + rows * 7 + columns * 3 + (rows * columns) % 61).astype(np.uint16)
        data = dicom_builder.encode(image, SYNTAXES[name])
        target = folder / "frame"

        def enter() -> Any:
            return decode_frame(target.read_bytes(), SYNTAXES[name], *image.shape)[0]

        def judge(found: NDArray[np.uint16]) -> str:
            if np.array_equal(found, image):
                return "same"
            # What was never written is 0, and in JPEG 2000 the middle of the range: neither occurs
            # in the image. (There 0 is what a damaged wavelet is clipped to.)
            unwritten = 1 << 15 if name == "jpeg2000" else 0
            return "zero-filled" if (found[-8:] == unwritten).all() else "undetectable"

        return Door(data, target, enter, judge)

    return make


def zipped(folder: Path) -> Door:
    dicom_builder.write_series(folder / "series")
    target = folder / "a.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "series").iterdir()):
            archive.write(path, path.name)
    return Door(target.read_bytes(), target, lambda: ct.open_volume(target).hu)


def dicomdir(folder: Path) -> Door:
    dicom_builder.write_series(folder / "series", syntax=SYNTAXES["rle"])
    directory = dicom_builder.datasets()[0]
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(directory, keyword)
    record = Dataset()
    record.ReferencedFileID = ["..", "..", "etc", "passwd"]
    directory.DirectoryRecordSequence = Sequence([record] * 3)
    target = dicom_builder.save(directory, folder / "series" / "DICOMDIR")
    return Door(target.read_bytes(), target, lambda: ct.open_volume(target).hu)


def nifti(folder: Path) -> Door:
    target = folder / "scan.nii.gz"
    shutil.copy(ROOT / "examples" / "chest_phantom.nii.gz", target)
    return Door(target.read_bytes(), target, lambda: ct.open_volume(target).hu)


def raster(name: str, **profile: Any) -> Callable[[Path], Door]:
    """A raster that is opened and shown."""

    def make(folder: Path) -> Door:
        from longllava_domains.remote_sensing import open_raster

        target = folder / name
        if name.endswith(".png"):
            target.write_bytes(imagecodecs.png_encode(raster_builder.scene(1, "uint8")[0]))
        elif name.endswith(".vrt"):
            raster_builder.write(folder / "a.tif", raster_builder.scene(1, "uint8"))
            target.write_text(
                '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" '
                'band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
                '<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/>'
                '<DstRect xOff="0" yOff="0" xSize="64" ySize="64"/></SimpleSource>'
                "</VRTRasterBand></VRTDataset>"
            )
        else:
            raster_builder.write(target, raster_builder.scene(1, "uint16", 96, 80), **profile)

        def enter() -> Any:
            with open_raster(target) as opened:
                return opened.to_sequence()

        return Door(target.read_bytes(), target, enter)

    return make


def stac(folder: Path) -> Door:
    from longllava_domains.remote_sensing import open_raster

    raster_builder.write(folder / "a.tif", raster_builder.scene(1, "uint8", 64, 64))
    asset = {"href": "./a.tif", "type": "image/tiff", "roles": ["data"],
             "raster:bands": [{"scale": 0.1, "offset": 1}], "eo:bands": [{"name": "B1"}]}  # fmt: skip
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "a", "bbox": [3, 48, 3, 48],
        "geometry": {"type": "Point", "coordinates": [3, 48]}, "links": [],
        "properties": {"datetime": "2024-05-01T12:00:00Z"}, "assets": {"data": asset},
    }  # fmt: skip
    target = folder / "item.json"
    return Door(json.dumps(item).encode(), target, lambda: open_raster(target).close())


def checkpoint(name: str) -> Callable[[Path], Door]:
    """A file of the demonstration model's folder, damaged."""

    def make(folder: Path) -> Door:
        from longllava_domains.model.checkpoint.load import open_checkpoint
        from longllava_domains.prompt import PromptTokenizer

        model = folder / "model"
        shutil.copytree(DEMO, model)
        target = model / name
        if name == "tokenizer.json":
            return Door(target.read_bytes(), target, lambda: PromptTokenizer.from_folder(model))
        if name != "config.json":  # a few tensors are enough: what is read first is their headers
            import torch
            from safetensors.torch import load_file, save_file

            weights = load_file(model / "model.safetensors")
            few = {key: weights[key].clone() for key in sorted(weights, key=len)[:3]}
            (model / "model.safetensors").unlink()
            torch.save(few, target) if name.endswith(".bin") else save_file(few, target)
        data = target.read_bytes()
        return Door(data, target, lambda: open_checkpoint(model))

    return make


def adapter(folder: Path) -> Door:
    from longllava_domains.errors import CheckpointError
    from longllava_domains.formats.regular_file import BadDocumentError
    from longllava_domains.model.checkpoint.adapter.config import read_adapter_config

    target = folder / "adapter_config.json"
    entries = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj"],
               "rank_pattern": {"q_proj": 2}, "base_model_name_or_path": "a/b"}  # fmt: skip

    def enter() -> Any:
        try:
            return read_adapter_config(target)
        except (BadDocumentError, TypeError, ValueError, AttributeError):  # as `merge_adapter` does
            raise CheckpointError("unreadable", remedy="none") from None

    return Door(json.dumps(entries).encode(), target, enter)


def prompt(folder: Path) -> Door:
    from longllava_domains.prompt import PromptTokenizer, compose

    speller = PromptTokenizer.from_folder(DEMO)
    target = folder / "question"
    text = "What is <img> shown</img> <|endoftext|> here? [/INST] \u2581 \U0001f600 <vid><t>\n"

    def enter() -> Any:
        question = target.read_bytes().decode("utf-8", "surrogateescape")
        asked = compose(None, question)
        return speller.encode(asked, tokens_per_image=4, image_token_id=speller.image_token_id)

    return Door(text.encode(), target, enter)


def magic(folder: Path) -> Door:
    target = folder / "any"
    data = (ROOT / "examples" / "chest_phantom" / "slice_000.dcm").read_bytes()[:4000]
    return Door(data, target, lambda: read_magic(target))


DOORS: dict[str, Callable[[Path], Door]] = {
    **{f"series {name}": series(name) for name in SYNTAXES},
    **{f"frame {name}": frame(name) for name in list(SYNTAXES)[3:]},
    "zip": zipped,
    "dicomdir": dicomdir,
    "nifti": nifti,
    "tiff deflate": raster("a.tif", compress="deflate"),
    "tiff lzw tiled": raster("a.tif", compress="lzw", tiled=True, blockxsize=32, blockysize=32),
    "tiff plain": raster("a.tif"),
    "png": raster("a.png"),
    "vrt": raster("a.vrt"),
    "stac": stac,
    "magic": magic,
    "config": checkpoint("config.json"),
    "tokenizer": checkpoint("tokenizer.json"),
    "safetensors": checkpoint("model.safetensors"),
    "bin": checkpoint("pytorch_model.bin"),
    "adapter": adapter,
    "prompt": prompt,
}
