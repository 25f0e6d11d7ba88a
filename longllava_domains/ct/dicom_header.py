"""Read one DICOM header, once: an allow-list of elements, parsed without trust.

Names, dates and descriptions are never read. Identifiers are kept as digests: enough to
compare, nothing to leak. A value that cannot be parsed is recorded by its keyword in
`Header.bad`; whoever needs it refuses.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from longllava_domains.ct.dicom_files import SourceFile
from longllava_domains.ct.dicom_pydicom import read_elements
from longllava_domains.ct.dicom_scan import Scan, scan
from longllava_domains.ct.dicom_values import (
    BadValueError,
    decimal,
    decimals,
    integer,
    text,
    unsigned_short,
    words,
)

TAGS: Final = {
    "ImageType": 0x00080008,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "Modality": 0x00080060,
    "PatientID": 0x00100020,
    "PatientBirthDate": 0x00100030,
    "AnatomicalOrientationType": 0x00102210,
    "BodyPartExamined": 0x00180015,
    "SliceThickness": 0x00180050,
    "KVP": 0x00180060,
    "SpacingBetweenSlices": 0x00180088,
    "TriggerTime": 0x00181060,
    "ConvolutionKernel": 0x00181210,
    "NominalPercentageOfCardiacPhase": 0x00209241,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "SeriesNumber": 0x00200011,
    "AcquisitionNumber": 0x00200012,
    "InstanceNumber": 0x00200013,
    "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037,
    "FrameOfReferenceUID": 0x00200052,
    "TemporalPositionIdentifier": 0x00200100,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
    "PixelPaddingValue": 0x00280120,
    "PixelPaddingRangeLimit": 0x00280121,
    "BurnedInAnnotation": 0x00280301,
    "RescaleIntercept": 0x00281052,
    "RescaleSlope": 0x00281053,
    "RescaleType": 0x00281054,
    "WindowCenter": 0x00281050,
    "WindowWidth": 0x00281051,
    "VOILUTFunction": 0x00281056,
    "LossyImageCompression": 0x00282110,
    "ModalityLUTSequence": 0x00283000,
    "RealWorldValueMappingSequence": 0x00409096,
}
WANTED: Final = frozenset(TAGS.values())


@dataclass(frozen=True, slots=True)
class Header:
    """What one image says about itself; one frame of it where it has several.

    Attributes:
        file: The file it came from.
        frame: Frame number from 0.
        frames: Frames in the file.
        syntax: Transfer syntax UID, empty where absent.
        little_endian: Byte order of uncompressed pixels.
        pixel_offset: Offset of the pixel data in the file, None where pydicom has to read it.
        pixel_length: Its bytes, None where encapsulated.
        sop_class: SOP class UID, empty where absent.
        instance, series, study, patient, frame_of_reference: Digests, empty where absent.
        position_mm, orientation: Image position and orientation (patient); empty where absent.
        padding: Pixel padding value and range limit, as unsigned 16-bit patterns.
        bad: Keywords of elements whose value cannot be read.
    """

    file: SourceFile
    syntax: str
    little_endian: bool
    pixel_offset: int | None
    pixel_length: int | None
    frame: int = 0
    frames: int = 1
    sop_class: str = ""
    modality: str = ""
    instance: str = field(default="", repr=False)
    series: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    image_type: tuple[str, ...] = field(default=(), repr=False)
    kernel: tuple[str, ...] = field(default=(), repr=False)
    body_part: str = field(default="", repr=False)
    quadruped: bool = False
    series_number: int | None = None
    acquisition: int | None = None
    instance_number: int | None = None
    phase: tuple[float, ...] = ()
    kvp: float | None = None
    thickness_mm: float | None = None
    header_spacing_mm: float | None = None
    position_mm: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    pixel_spacing_mm: tuple[float, ...] = ()
    rows: int | None = None
    columns: int | None = None
    samples: int = 1
    photometric: str = ""
    bits_allocated: int | None = None
    bits_stored: int | None = None
    high_bit: int | None = None
    signed: bool = False
    padding: tuple[int, ...] = ()
    slope: float | None = None
    intercept: float | None = None
    rescale_type: str = ""
    modality_lut: bool = False
    real_world: bool = False
    burned_in: bool = False
    lossy: bool = False
    window: tuple[float, ...] = ()
    window_function: str = "linear"
    bad: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAnImage:
    """Why a file is set aside.

    Attributes:
        code: Report code.
    """

    code: str


def read_header(file: SourceFile) -> Header | NotAnImage:
    """Read a file's header up to its pixel data; never raises for what the file holds."""
    try:
        with file.open() as stream:
            found = scan(stream, WANTED)
    except OSError:
        return NotAnImage("file.unreadable")
    if found is None:
        outcome = read_elements(file, WANTED)
        if isinstance(outcome, str):
            return NotAnImage(outcome)
        found = outcome
    return parse_header(file, found)


def parse_header(file: SourceFile, found: Scan) -> Header | NotAnImage:
    """Turn raw elements into a header, or say why the file is not an image."""
    values = _Values(found)
    sop_class = values.text("SOPClassUID")
    if sop_class == _MEDIA_DIRECTORY:
        return NotAnImage("file.dicomdir")
    if not found.has_pixels:
        return NotAnImage("file.no_image")
    rows, columns = values.short("Rows"), values.short("Columns")
    padding = (values.short("PixelPaddingValue"), values.short("PixelPaddingRangeLimit"))
    frames = values.integer("NumberOfFrames")
    # The identity of a patient: both parts, so that an emptied id does not make two people one.
    patient = values.raw("PatientID") + b"/" + values.raw("PatientBirthDate")
    return Header(
        file=file,
        syntax=found.syntax,
        little_endian=found.little_endian,
        pixel_offset=found.pixel_offset,
        pixel_length=found.pixel_length,
        frames=1 if frames is None else frames,
        sop_class=sop_class,
        modality=values.text("Modality").upper(),
        instance=values.digest("SOPInstanceUID"),
        series=values.digest("SeriesInstanceUID"),
        study=values.digest("StudyInstanceUID"),
        patient=digest(patient),
        frame_of_reference=values.digest("FrameOfReferenceUID"),
        image_type=values.words("ImageType"),
        kernel=values.words("ConvolutionKernel"),
        body_part=values.text("BodyPartExamined").upper(),
        quadruped=values.text("AnatomicalOrientationType").upper() == "QUADRUPED",
        series_number=values.integer("SeriesNumber"),
        acquisition=values.integer("AcquisitionNumber"),
        instance_number=values.integer("InstanceNumber"),
        phase=values.phase(),
        kvp=values.decimal("KVP"),
        thickness_mm=values.decimal("SliceThickness"),
        header_spacing_mm=values.decimal("SpacingBetweenSlices"),
        position_mm=values.decimals("ImagePositionPatient", 3),
        orientation=values.decimals("ImageOrientationPatient", 6),
        pixel_spacing_mm=values.decimals("PixelSpacing", 2),
        rows=rows,
        columns=columns,
        samples=values.short("SamplesPerPixel") or 1,
        photometric=values.text("PhotometricInterpretation").upper(),
        bits_allocated=values.short("BitsAllocated"),
        bits_stored=values.short("BitsStored"),
        high_bit=values.short("HighBit"),
        signed=values.short("PixelRepresentation") == 1,
        padding=tuple(value for value in padding if value is not None),
        slope=values.decimal("RescaleSlope"),
        intercept=values.decimal("RescaleIntercept"),
        rescale_type=values.text("RescaleType").upper(),
        modality_lut=values.present("ModalityLUTSequence"),
        real_world=values.present("RealWorldValueMappingSequence"),
        burned_in=values.text("BurnedInAnnotation").upper() not in ("", "NO"),
        lossy=values.text("LossyImageCompression") == "01",
        window=values.window(),
        window_function=_WINDOW_FUNCTIONS.get(values.text("VOILUTFunction").upper(), "linear"),
        bad=tuple(sorted(values.bad)),
    )


_WINDOW_FUNCTIONS: Final = {"LINEAR_EXACT": "linear_exact", "SIGMOID": "sigmoid"}
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"


def digest(value: bytes) -> str:
    """Return 32 hexadecimal digits that stand for an identifier."""
    return hashlib.sha256(value).hexdigest()[:32]


class _Values:
    """Typed access to raw elements; what cannot be read is collected in `bad`."""

    def __init__(self, found: Scan) -> None:
        self._elements = found.elements
        self._little_endian = found.little_endian
        self.bad: set[str] = set()

    def raw(self, keyword: str) -> bytes:
        return self._elements.get(TAGS[keyword], b"").strip(b"\0 ")

    def present(self, keyword: str) -> bool:
        return bool(self._elements.get(TAGS[keyword]))

    def text(self, keyword: str) -> str:
        return text(self._elements.get(TAGS[keyword], b""))

    def words(self, keyword: str) -> tuple[str, ...]:
        return words(self._elements.get(TAGS[keyword], b""))

    def digest(self, keyword: str) -> str:
        raw = self.raw(keyword)
        return digest(raw) if raw else ""

    def decimals(self, keyword: str, count: int) -> tuple[float, ...]:
        try:
            numbers = decimals(self._elements.get(TAGS[keyword], b""))
        except BadValueError:
            numbers = (0.0,) * (count + 1)
        if numbers and len(numbers) != count:
            self.bad.add(keyword)
            return ()
        return numbers

    def decimal(self, keyword: str) -> float | None:
        try:
            return decimal(self._elements.get(TAGS[keyword], b""))
        except BadValueError:
            self.bad.add(keyword)
            return None

    def integer(self, keyword: str) -> int | None:
        try:
            return integer(self._elements.get(TAGS[keyword], b""))
        except BadValueError:
            self.bad.add(keyword)
            return None

    def short(self, keyword: str) -> int | None:
        raw = self._elements.get(TAGS[keyword], b"")
        try:
            return unsigned_short(raw, self._little_endian)
        except BadValueError:
            self.bad.add(keyword)
            return None

    def window(self) -> tuple[float, ...]:
        """Return centre and width of the first display window, empty where there is none."""
        try:
            centres = decimals(self._elements.get(TAGS["WindowCenter"], b""))
            widths = decimals(self._elements.get(TAGS["WindowWidth"], b""))
        except BadValueError:  # only a suggestion for display: nothing is lost
            return ()
        return (centres[0], widths[0]) if centres and widths else ()

    def phase(self) -> tuple[float, ...]:
        """Return what tells cardiac or temporal phases apart."""
        number = self.integer("TemporalPositionIdentifier")
        trigger = self.decimal("TriggerTime")
        percentage = self._elements.get(TAGS["NominalPercentageOfCardiacPhase"], b"")
        return (
            -1.0 if number is None else float(number),
            -1.0 if trigger is None else trigger,
            float(hash_number(percentage)),
        )


def hash_number(raw: bytes) -> int:
    """Return a number that is equal for equal bytes, 0 for none."""
    return int.from_bytes(hashlib.sha256(raw).digest()[:4], "big") if raw else 0
