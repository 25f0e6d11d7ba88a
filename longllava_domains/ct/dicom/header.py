"""Read one DICOM header, once: an allow-list of elements, parsed without trust.

Names and descriptions are never read. Identifiers are kept as digests, and times as seconds:
enough to compare, nothing that is passed on. A value that cannot be parsed is recorded by its keyword in
`SliceHeader.bad`; whoever needs it refuses.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from longllava_domains.ct.dicom.elements import WANTED, Elements
from longllava_domains.ct.population import age_from_years, manufacturer_word, sex_word
from longllava_domains.formats.dicom.fast_parser import ParsedElements, parse
from longllava_domains.formats.dicom.pydicom_parser import read_elements
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.units import keyed_hash

CT_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
    }
)


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """Header of one image; one frame of it if it has several.

    Attributes:
        file: The file it came from.
        frame: Frame number from 0.
        frames: Frames in the file.
        syntax: Transfer syntax UID, empty where absent.
        little_endian: Byte order of uncompressed pixels.
        pixel_offset: As `ParsedElements.pixel_offset`.
        pixel_length: Its bytes, None where encapsulated.
        spans: (offset, length) of the frame's fragments; empty where uncompressed, or where the
            fragments are damaged.
        sop_class: SOP class UID, empty where absent.
        instance, series, study, patient, frame_of_reference: Digests, empty where absent.
        position_mm, orientation: Image position and orientation (patient); empty where absent.
        padding: Pixel padding value and range limit, as unsigned 16-bit patterns.
        phase_marks: Digests of what may tell cardiac or temporal phases apart, see `PHASE_MARKS`.
        acquired_s, trigger_ms: Times that tell phases apart, and are never passed on.
        contrast: ``"contrast"``, ``"native"`` where the header denies it, or empty.
        age_from_years: First year of the age band, None where absent, see `age_from_years`.
        manufacturer: Of the scanner, a word from a fixed list; empty where absent.
        sex: Of the patient, ``"male"`` or ``"female"``; empty where the header says neither.
        images_in_acquisition: How many images the header says its acquisition has.
        concatenation: Digest of the concatenation that the file is a part of, empty for none.
        concatenation_part, concatenation_parts: Number of the part, and how many there are.
        grouped: Geometry and rescale are in functional groups (enhanced multi-frame).
        bad: Keywords of elements whose value cannot be read.
    """

    file: SourceFile
    syntax: str
    little_endian: bool
    pixel_offset: int | None
    pixel_length: int | None
    spans: tuple[tuple[int, int], ...] = field(default=(), repr=False)
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
    phase_marks: tuple[str, ...] = ()
    acquired_s: float | None = field(default=None, repr=False)
    trigger_ms: float | None = field(default=None, repr=False)
    contrast: str = ""
    age_from_years: int | None = None
    manufacturer: str = ""
    sex: str = ""
    images_in_acquisition: int | None = None
    concatenation: str = ""
    concatenation_part: int | None = None
    concatenation_parts: int | None = None
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
    grouped: bool = False
    windows: tuple[tuple[float, float], ...] = ()
    window_function: str = "linear"
    bad: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """Digests of who and what the image is of; equal for all frames of a file."""
        return self.patient, self.study, self.series, self.instance


@dataclass(frozen=True, slots=True)
class NotAnImage:
    """Reason why a file is set aside.

    Attributes:
        code: Report code.
        series: Digest of its series UID where it claims to be a CT slice.
    """

    code: str
    series: str = ""


def read_header(file: SourceFile) -> SliceHeader | NotAnImage:
    """Read a file's header up to its pixel data; never raises for what the file holds."""
    try:
        with file.open() as stream:
            found = parse(stream, WANTED)
    except OSError:
        return NotAnImage("file.unreadable")
    if found is None:
        outcome = read_elements(file, WANTED)
        if isinstance(outcome, str):
            return NotAnImage(outcome)
        found = outcome
    return parse_header(file, found)


_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_WINDOW_FUNCTIONS: Final = {"LINEAR_EXACT": "linear_exact", "SIGMOID": "sigmoid"}


def parse_header(file: SourceFile, found: ParsedElements) -> SliceHeader | NotAnImage:
    """Turn raw elements into a header, or say why the file is not an image."""
    values = Elements(found)
    if found.has_pixels:
        return _image(file, found, values)
    if values.text("SOPClassUID") in CT_CLASSES:
        return NotAnImage("file.ct_without_pixels", values.digest("SeriesInstanceUID"))
    return NotAnImage("file.no_image")


def _population(values: Elements) -> dict[str, Any]:
    """Return age, sex and scanner as a band and words; see `ct.population`."""
    return {
        "age_from_years": age_from_years(values.text("PatientAge").upper()),
        "sex": sex_word(values.text("PatientSex")),
        "manufacturer": manufacturer_word(values.text("Manufacturer")),
    }


def _image(file: SourceFile, found: ParsedElements, values: Elements) -> SliceHeader:
    return SliceHeader(
        file=file,
        syntax=found.syntax,
        little_endian=found.little_endian,
        pixel_offset=found.pixel_offset,
        pixel_length=found.pixel_length,
        # Zero frames beside pixel data is a known slip of converters; the length is checked later.
        frames=max(1, values.integer("NumberOfFrames") or 1),
        sop_class=values.text("SOPClassUID"),
        modality=values.text("Modality").upper(),
        instance=values.token("SOPInstanceUID"),
        series=values.digest("SeriesInstanceUID"),
        study=values.token("StudyInstanceUID"),
        patient=_patient(values),
        frame_of_reference=values.digest("FrameOfReferenceUID"),
        image_type=values.words("ImageType"),
        kernel=values.words("ConvolutionKernel"),
        body_part=values.text("BodyPartExamined").upper(),
        quadruped=values.text("AnatomicalOrientationType").upper() == "QUADRUPED",
        series_number=values.integer("SeriesNumber"),
        acquisition=values.integer("AcquisitionNumber"),
        instance_number=values.integer("InstanceNumber"),
        phase_marks=values.phase_marks(),
        acquired_s=values.acquired_s(),
        trigger_ms=values.decimal("TriggerTime"),
        contrast=values.contrast(),
        **_population(values),
        images_in_acquisition=values.integer("ImagesInAcquisition"),
        concatenation=values.digest("ConcatenationUID"),
        concatenation_part=values.short("InConcatenationNumber"),
        concatenation_parts=values.short("InConcatenationTotalNumber"),
        kvp=values.decimal("KVP"),
        thickness_mm=values.decimal("SliceThickness"),
        header_spacing_mm=values.decimal("SpacingBetweenSlices"),
        position_mm=values.decimals("ImagePositionPatient", 3),
        orientation=values.decimals("ImageOrientationPatient", 6),
        pixel_spacing_mm=values.decimals("PixelSpacing", 2),
        rows=values.short("Rows"),
        columns=values.short("Columns"),
        samples=values.short("SamplesPerPixel") or 1,
        photometric=values.text("PhotometricInterpretation").upper(),
        bits_allocated=values.short("BitsAllocated"),
        bits_stored=values.short("BitsStored"),
        high_bit=values.short("HighBit"),
        signed=values.short("PixelRepresentation") == 1,
        padding=_padding(values),
        slope=values.decimal("RescaleSlope"),
        intercept=values.decimal("RescaleIntercept"),
        rescale_type=values.text("RescaleType").upper(),
        modality_lut=values.present("ModalityLUTSequence"),
        real_world=values.present("RealWorldValueMappingSequence"),
        burned_in=values.text("BurnedInAnnotation").upper() not in ("", "NO"),
        lossy=values.text("LossyImageCompression") == "01",
        grouped=any(map(values.present, _GROUPS)),
        windows=values.windows(),
        window_function=_WINDOW_FUNCTIONS.get(values.text("VOILUTFunction").upper(), "linear"),
        bad=tuple(sorted(values.bad)),
    )


def _patient(values: Elements) -> str:
    """Return the digest of id and birth date: an emptied id does not make two people one."""
    return keyed_hash(values.raw("PatientID") + b"/" + values.raw("PatientBirthDate"))


def _padding(values: Elements) -> tuple[int, ...]:
    found = values.short("PixelPaddingValue"), values.short("PixelPaddingRangeLimit")
    return tuple(value for value in found if value is not None)
