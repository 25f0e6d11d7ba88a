"""Provenance of a result, as an allow-list: a key that is not listed here cannot be recorded.

Provenance travels with every sequence, answer and exported file, so it must never
hold patient data. Each key has a *kind* that says which values it takes; free text has
no kind. Names that a user chose (folders, files) are recorded as a hash.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.errors import OutputError

RESEARCH_NOTICE: Final = "For research use only. Not a medical device."
SCENE_NOTICE: Final = "For research use only."  # of scenes: nobody takes a map for a medical device
UNTRAINED_NOTICE: Final = "Untrained demonstration model: the text means nothing."
DRAWINGS_NOTICE: Final = (
    "Demonstration model: it learned from drawings alone, never from a patient, a slide or a place."
)

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

# Identifiers: codes, preset names, versions, hub ids. No spaces, so no names of people.
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.+\-/@:=,()\[\]<>%*]{0,200}\Z")
# Regular expressions over tensor names: printable ASCII without a space.
_PATTERN = re.compile(r"[!-~]{0,200}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?)?\Z")
LEFT_OUT_TEXT_NOTICE: Final = (
    "Text of the source header is left out: its character set does not explain it."
)
OUTSIDE_CALIBRATION_NOTICE: Final = (
    "The scan is unlike those that the calibration was fitted on: presence is withheld."
)
_NOTICES: Final = frozenset(
    {
        RESEARCH_NOTICE,
        SCENE_NOTICE,
        UNTRAINED_NOTICE,
        DRAWINGS_NOTICE,
        "No published evidence for this model on this kind of image.",
        "Beyond the length the model was trained on.",
        "Outside the ground resolution the model was trained on.",
        "The reconstruction kernel is not the one asked for.",
        # of satellite scenes
        "The control points of the scene disagree by more than 3 pixels.",
        "The place is exact at one height only: see rpc_horizontal_error_m.",
        "Nearly all of a band has one value: it is shown from its least to its largest.",
        "A frequent value apart from all others may be undeclared nodata.",
        "The views are not north up.",
        "Classes, not a photograph: the encoder learned from photographs.",
        "Radar, not a photograph: the encoder learned from photographs.",
        "Heat, not a photograph: the encoder learned from photographs.",
        "Heights, not a photograph: the encoder learned from photographs.",
        "The two dates were taken to one grid by resampling.",
        "The dates are paired by pixels: nothing says that they show one place.",
        "The area of interest reaches beyond the scene: the part inside is shown.",
        # of slides
        "A region reaches beyond the slide: the part inside is shown.",
        "The model's card names no training on pathology slides.",
        # of computed tomography
        "The header names another region of the body than the one asked for.",
        "The header names another contrast phase than the one asked for.",
        "One slice is shown: the distance asked for between slices is longer than the scan.",
        "The header names the head, and no window shown is for it: there are brain and others.",
        "Slices are shown as they were acquired, without a grid: the gantry was tilted.",
        "Slices are shown as they were acquired, without a grid: slices are missing between them.",
        "Slices are shown as they were acquired, without a grid: their distances differ.",
        "Slices are shown as they were acquired, without a grid: acquisitions meet at a position.",
        "The lung window shows a soft reconstruction, and the study has a sharp one.",
        "The headers say that the series has more images than were found.",
        "A part of a series was read, as asked: other images of it lie outside.",
        "Other series of the study cover other ranges, which were not read.",
        LEFT_OUT_TEXT_NOTICE,
        OUTSIDE_CALIBRATION_NOTICE,
    }
)


def research_notice(made: Mapping[str, Any]) -> str:
    """Return the notice of research use that fits what something was made from.

    Args:
        made: Its provenance; the domain in it decides.
    """
    return SCENE_NOTICE if made.get("domain") == "remote-sensing" else RESEARCH_NOTICE


def notices_for(made: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the notices of a provenance for a reader, the fitting notice of research use first."""
    others = (n for n in made.get("notices", ()) if n not in (RESEARCH_NOTICE, SCENE_NOTICE))
    return (research_notice(made), *dict.fromkeys(others))


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float))


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and _IDENTIFIER.match(value) is not None


def _is_plain(value: object) -> bool:
    """Accept numbers, identifiers, None, and lists or dictionaries of them."""
    if value is None or _is_number(value) or _is_identifier(value):
        return True
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, Mapping):
        return all(_is_identifier(key) and _is_plain(item) for key, item in value.items())
    return False


def _is_pattern(value: object) -> bool:
    return value is None or (isinstance(value, str) and _PATTERN.match(value) is not None)


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.match(value) is not None


def _is_notices(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(item in _NOTICES for item in value)


def _is_href(value: object) -> bool:
    """Accept a link without credentials or a query (they may sign access)."""
    return isinstance(value, str) and not re.search(r"[?#@]", value)


def _is_datetime(value: object) -> bool:
    return isinstance(value, str) and _DATETIME.match(value) is not None


ALLOWED: Final[Mapping[str, Callable[[object], bool]]] = MappingProxyType(
    {
        # the input
        "domain": _is_identifier,
        "source_kind": _is_identifier,
        "input_sha256": _is_sha256,
        "load_report": _is_plain,
        "series": _is_plain,
        "spacing_mm": _is_plain,
        "size": _is_plain,
        # what was shown
        "policy": _is_plain,
        "layout": _is_identifier,
        "views": _is_number,
        "left_out": _is_plain,
        "resolution_m": _is_plain,
        "stretch": _is_plain,
        # what was said
        "prompt_sha256": _is_sha256,
        "protocol": _is_identifier,
        "withheld": _is_plain,
        "preset": _is_identifier,
        "report_mode": _is_identifier,
        "tokens": _is_number,
        "tokens_per_image": _is_number,
        "trained_length": _is_number,
        "beyond_trained_length": _is_number,
        # who answered
        "model": _is_identifier,
        "model_sha256": _is_sha256,
        "model_revision": _is_identifier,
        "adapter": _is_identifier,
        "adapter_sha256": _is_sha256,
        "demo": _is_number,
        "trained": _is_number,
        "trained_domains": _is_plain,
        "allowed_unexpected": _is_pattern,
        "dtype": _is_identifier,
        "device": _is_identifier,
        "quantization": _is_plain,
        "kv_cache_dtype": _is_identifier,
        "kernels": _is_plain,
        "chunk_tokens": _is_number,
        "view_batch": _is_number,
        "out_of_memory_retries": _is_number,
        "max_new_tokens": _is_number,
        "sampling": _is_plain,
        "stop": _is_identifier,
        "seconds": _is_plain,
        "versions": _is_plain,
        "created": _is_datetime,
        "notices": _is_notices,
        # satellite scenes only: they are not patients
        "source_href": _is_href,
        "stac_id": _is_identifier,
        "datetime": _is_datetime,
        "start_datetime": _is_datetime,
        "end_datetime": _is_datetime,
    }
)


class Provenance(Mapping[str, Any]):
    """An immutable record of how something was made, limited to the keys of `ALLOWED`.

    Args:
        **entries: Allow-listed keys with values of their kind.

    Raises:
        OutputError: A key is not listed, or its value is not of the key's kind. The value
            itself is never repeated in the message.

    Example:
        >>> made = Provenance(domain="ct", views=12)
        >>> made.with_(demo=True)["demo"]
        True
    """

    def __init__(self, **entries: object) -> None:
        for key, value in entries.items():
            if key not in ALLOWED:
                raise OutputError(
                    f"Provenance has no key {key!r}.",
                    remedy="Add it to ALLOWED in provenance.py if it can never hold patient data.",
                    code="provenance.key",
                )
            if not ALLOWED[key](value):
                raise OutputError(
                    f"Provenance key {key!r} does not take this kind of value.",
                    remedy="Record numbers, identifiers or hashes; free text is not allowed.",
                    code="provenance.value",
                )
        # The JSON round trip freezes nested lists and dictionaries that a caller may still hold.
        self._text = json.dumps(entries, sort_keys=True, default=dict)

    def __getitem__(self, key: str) -> Any:
        return json.loads(self._text)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._text))

    def __len__(self) -> int:
        return len(json.loads(self._text))

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Provenance({self._text})"

    def with_(self, **entries: object) -> "Provenance":
        """Return a copy with more entries; later values win."""
        return Provenance(**{**json.loads(self._text), **entries})

    def to_json(self) -> dict[str, Json]:
        """Return a fresh dictionary that `json.dumps` accepts."""
        entries: dict[str, Json] = json.loads(self._text)
        return entries
