"""The elements that are read from headers, and typed access to their raw bytes."""

import hashlib
from typing import Final

from longllava_domains.formats.dicom.fast_parser import ParsedElements
from longllava_domains.formats.dicom.values import (
    BadValueError,
    decimal,
    decimals,
    integer,
    text,
    unsigned_short,
    words,
)
from longllava_domains.units import keyed_hash

# The allow-list: no name, description or comment is on it. Of age and maker a band of years and a
# word from a fixed list are kept. The identity of the patient is only
# ever hashed; times only tell phases apart and are never passed on.
TAGS: Final = {
    "ImageType": 0x00080008,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "AcquisitionDate": 0x00080022,
    "AcquisitionDateTime": 0x0008002A,
    "AcquisitionTime": 0x00080032,
    "Modality": 0x00080060,
    "Manufacturer": 0x00080070,
    "PatientID": 0x00100020,
    "PatientBirthDate": 0x00100030,
    "PatientSex": 0x00100040,
    "PatientAge": 0x00101010,
    "AnatomicalOrientationType": 0x00102210,
    "ContrastBolusAgent": 0x00180010,
    "ContrastBolusAgentSequence": 0x00180012,
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
    "ImagesInAcquisition": 0x00201002,
    "TemporalPositionIndex": 0x00209128,
    "ConcatenationUID": 0x00209161,
    "InConcatenationNumber": 0x00209162,
    "InConcatenationTotalNumber": 0x00209163,
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
    "SharedFunctionalGroupsSequence": 0x52009229,
    "PerFrameFunctionalGroupsSequence": 0x52009230,
}
WANTED: Final = frozenset(TAGS.values())

# What may tell phases apart, by a value that all images of a phase share.
PHASE_MARKS: Final = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
)
# Written in place of an agent where none was given.
_NO_CONTRAST: Final = frozenset({"NONE", "NO", "N", "NATIVE", "WITHOUT", "W/O", "0"})
_DAY_S: Final = 86_400.0


def digest(value: bytes) -> str:
    """Return 32 hexadecimal digits that stand for an identifier, the same in every run."""
    return hashlib.sha256(value).hexdigest()[:32]


class Elements:
    """Typed access to raw elements by keyword.

    Attributes:
        bad: Keywords of elements whose value could not be read.
    """

    def __init__(self, found: ParsedElements) -> None:
        self._elements = found.elements
        self._little_endian = found.little_endian
        self.bad: set[str] = set()

    def raw(self, keyword: str) -> bytes:
        """Return the value without padding, empty where absent."""
        return self._elements.get(TAGS[keyword], b"").strip(b"\0 ")

    def present(self, keyword: str) -> bool:
        """Return whether the element is there and not empty."""
        return bool(self._elements.get(TAGS[keyword]))

    def text(self, keyword: str) -> str:
        """Return one line of text, never for showing."""
        return text(self._elements.get(TAGS[keyword], b""))

    def words(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a text, upper case."""
        return words(self._elements.get(TAGS[keyword], b""))

    def digest(self, keyword: str) -> str:
        """Return a digest of the value, empty where absent."""
        raw = self.raw(keyword)
        return digest(raw) if raw else ""

    def token(self, keyword: str) -> str:
        """Return a keyed hash of the value, which may be shown in part; empty where absent."""
        raw = self.raw(keyword)
        return keyed_hash(raw) if raw else ""

    def decimals(self, keyword: str, count: int) -> tuple[float, ...]:
        """Return exactly `count` numbers, or none."""
        try:
            numbers = decimals(self._elements.get(TAGS[keyword], b""))
        except BadValueError:
            numbers = (0.0,) * (count + 1)
        if numbers and len(numbers) != count:
            self.bad.add(keyword)
            return ()
        return numbers

    def decimal(self, keyword: str) -> float | None:
        """Return one number, None where absent or unreadable."""
        try:
            return decimal(self._elements.get(TAGS[keyword], b""))
        except BadValueError:
            self.bad.add(keyword)
            return None

    def integer(self, keyword: str) -> int | None:
        """Return one whole number, None where absent or unreadable."""
        try:
            return integer(self._elements.get(TAGS[keyword], b""))
        except BadValueError:
            self.bad.add(keyword)
            return None

    def short(self, keyword: str) -> int | None:
        """Return an unsigned 16-bit number, None where absent or unreadable."""
        raw = self._elements.get(TAGS[keyword], b"")
        try:
            return unsigned_short(raw, self._little_endian)
        except BadValueError:
            self.bad.add(keyword)
            return None

    def windows(self) -> tuple[tuple[float, float], ...]:
        """Return centre and width of each display window, in the header's order."""
        try:
            centres = decimals(self._elements.get(TAGS["WindowCenter"], b""))
            widths = decimals(self._elements.get(TAGS["WindowWidth"], b""))
        except BadValueError:  # only a suggestion for display: nothing is lost
            return ()
        return tuple(zip(centres, widths, strict=False))

    def phase_marks(self) -> tuple[str, ...]:
        """Return a digest for each of `PHASE_MARKS`, empty where absent."""
        # Not stripped: in a binary value a space or a zero is part of the number.
        values = (self._elements.get(TAGS[keyword], b"") for keyword in PHASE_MARKS)
        return tuple(digest(value) if value else "" for value in values)

    def acquired_s(self) -> float | None:
        """Return the time of acquisition in seconds, for telling images apart only."""
        stamp = self.text("AcquisitionDateTime")
        day, time = stamp[:8], stamp[8:].partition("+")[0].partition("-")[0]
        if not time:
            day, time = self.text("AcquisitionDate"), self.text("AcquisitionTime")
        digits = time.replace(":", "")
        whole, _, fraction = digits.partition(".")
        if len(whole) < 4 or not (whole + fraction).isdecimal():
            return None
        hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:6] or 0)
        number = day.replace(".", "")
        days = float(number) if len(number) == 8 and number.isdecimal() else 0.0
        return days * _DAY_S + hours * 3600 + minutes * 60 + seconds + float(f"0.{fraction or 0}")

    def contrast(self) -> str:
        """Return ``"contrast"``, ``"native"`` where the header denies it, or ``""``."""
        if self.present("ContrastBolusAgentSequence"):
            return "contrast"
        agent = self.text("ContrastBolusAgent").upper()
        if agent:
            return "native" if agent in _NO_CONTRAST else "contrast"
        return ""
