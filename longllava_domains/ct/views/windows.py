"""Display windows: Hounsfield units to grey levels, exactly as DICOM defines it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError

Function = Literal["linear", "linear_exact", "sigmoid"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,39}\Z")
_WIDTH_LEVEL = re.compile(r"(\d+(?:\.\d+)?)/(-?\d+(?:\.\d+)?)\Z")


@checked_fields
@dataclass(frozen=True, slots=True)
class Window:
    """One window: a centre, a width, and the function between them.

    Attributes:
        name: Lower-case identifier, such as ``"lung"``.
        center_hu: Window Center (0028,1050), Hounsfield units.
        width_hu: Window Width (0028,1051), Hounsfield units; at least 1 for ``linear``,
            above 0 for the others.
        function: VOI LUT Function (0028,1056); DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Raises:
        PolicyError: The name is not an identifier, the function unknown or the width too small.
    """

    name: str
    center_hu: float
    width_hu: float
    function: Function = "linear"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            raise PolicyError(
                "A window's name must be lower-case letters, digits, dots and dashes.",
                remedy='Use a name such as "lung".',
                code="window.name",
            )
        if self.function not in get_args(Function):
            raise PolicyError(
                "There is no such window function.",
                remedy=f"Use one of {', '.join(get_args(Function))}.",
                code="window.function",
            )
        object.__setattr__(self, "center_hu", float(self.center_hu))
        object.__setattr__(self, "width_hu", float(self.width_hu))
        if not (math.isfinite(self.center_hu) and math.isfinite(self.width_hu)):
            raise PolicyError(
                "The centre or the width of the window is not a finite number.",
                remedy="Give both in Hounsfield units, such as -600 and 1500.",
                code="window.width",
            )
        enough = self.width_hu >= 1 if self.function == "linear" else self.width_hu > 0
        if not enough:
            raise PolicyError(
                f"A {self.function} window of width {self.width_hu:g} HU shows nothing.",
                remedy="Give a width of 1 HU or more.",
                code="window.width",
            )

    def levels(self, hu: NDArray[Any]) -> NDArray[np.float64]:
        """Map Hounsfield units to grey levels 0..255 before rounding, by the clauses themselves.

        Args:
            hu: Hounsfield units, any shape and number type.

        Returns:
            Grey levels, float64, the same shape.
        """
        x = np.asarray(hu, np.float64)
        c, w = self.center_hu, self.width_hu
        if self.function == "sigmoid":
            # Far from the centre the exponential leaves float64's range on purpose: 255 / inf is 0.
            with np.errstate(over="ignore"):
                return np.asarray(255.0 / (1.0 + np.exp(-4.0 * (x - c) / w)))
        if self.function == "linear":
            c, w = c - 0.5, w - 1.0
        if w == 0:
            return np.where(x <= c, 0.0, 255.0)
        # Multiplied before it is divided: whole numbers then meet their halves exactly.
        inside = (x - c) * 255.0 / w + 127.5
        return np.where(x <= c - w / 2, 0.0, np.where(x > c + w / 2, 255.0, inside))

    def grey(self, hu: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Map int16 Hounsfield units to grey levels rounded to uint8, the same shape."""
        return _rounded_table(self).take(hu.view(np.uint16), mode="clip")

    def grey_levels(self, hu: NDArray[np.int16]) -> NDArray[np.float32]:
        """Map int16 Hounsfield units to grey levels 0..255 before rounding, the same shape."""
        # Every index lies in the table; mode "clip" only spares numpy the check.
        return _table(self).take(hu.view(np.uint16), mode="clip")

    def to_json(self) -> dict[str, Any]:
        """Return the window as JSON."""
        return {
            "name": self.name,
            "center_hu": self.center_hu,
            "width_hu": self.width_hu,
            "function": self.function,
        }


@dataclass(frozen=True, slots=True)
class RgbWindow:
    """Three windows shown at once, one for each colour channel.

    Attributes:
        name: Lower-case identifier with a version, because every model has its own triple.
        red: Window of the red channel.
        green: Window of the green channel.
        blue: Window of the blue channel.

    Raises:
        PolicyError: The name is not an identifier.
    """

    name: str
    red: Window
    green: Window
    blue: Window

    def __post_init__(self) -> None:
        Window(self.name, 0, 1)  # the same rule for names

    @property
    def channels(self) -> tuple[Window, Window, Window]:
        """The windows of red, green and blue."""
        return self.red, self.green, self.blue

    def to_json(self) -> dict[str, Any]:
        """Return the windows as JSON."""
        return {"name": self.name, "rgb": [window.to_json() for window in self.channels]}


AnyWindow = Window | RgbWindow


def window_from_json(entry: Mapping[str, Any]) -> AnyWindow:
    """Rebuild what `Window.to_json` or `RgbWindow.to_json` wrote.

    Raises:
        PolicyError: The entry is not a window.
    """
    try:
        if "rgb" in entry:
            red, green, blue = (Window(**channel) for channel in entry["rgb"])
            return RgbWindow(entry["name"], red, green, blue)
        return Window(**entry)
    except (KeyError, TypeError, ValueError):
        raise PolicyError(
            "This is not a window.",
            remedy="A window has name, center_hu, width_hu and function, or name and rgb.",
            code="window.json",
        ) from None


@lru_cache(maxsize=32)
def _table(window: Window) -> NDArray[np.float32]:
    """Return the levels of all int16 values, indexed by their bit pattern as uint16."""
    table = window.levels(np.arange(65536, dtype=np.uint16).view(np.int16)).astype(np.float32)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=32)
def _rounded_table(window: Window) -> NDArray[np.uint8]:
    levels = window.levels(np.arange(65536, dtype=np.uint16).view(np.int16))
    table = np.rint(levels).astype(np.uint8)
    table.flags.writeable = False
    return table


# Widths and centres in everyday use. LUNG and MEDIASTINUM as in the CT-CHAT viewer; ABDOMEN as
# the MONAI VLM framework's soft-tissue window; the others are the values that radiology teaching
# pages (Radiopaedia, "Windowing (CT)") agree on.
LUNG: Final = Window("lung", -600, 1500)
MEDIASTINUM: Final = Window("mediastinum", 50, 350)
BONE: Final = Window("bone", 400, 1800)
BRAIN: Final = Window("brain", 40, 80)
SUBDURAL: Final = Window("subdural", 75, 215)
STROKE: Final = Window("stroke", 40, 40)
STROKE_NARROW: Final = Window("stroke-narrow", 32, 8)
TEMPORAL_BONE: Final = Window("temporal-bone", 600, 2800)
HEAD_SOFT_TISSUE: Final = Window("head-soft-tissue", 40, 375)
ABDOMEN: Final = Window("abdomen", 50, 400)
LIVER: Final = Window("liver", 30, 150)
SPINE: Final = Window("spine", 50, 250)
ANGIOGRAPHY: Final = Window("angiography", 300, 600)

# MedGemma 1.5's CT notebook: red -1024..1024 HU, green -135..215, blue 0..80, rounded. (Its
# serving code has 135..215 for green, against the notebook; the notebook is what is documented.)
MEDGEMMA_15: Final = RgbWindow(
    "medgemma-1.5",
    red=Window("medgemma-1.5-red", 0, 2048, "linear_exact"),
    green=Window("medgemma-1.5-green", 40, 350, "linear_exact"),
    blue=Window("medgemma-1.5-blue", 40, 80, "linear_exact"),
)
LUNG_MEDIASTINUM_BONE: Final = RgbWindow("lung-mediastinum-bone", LUNG, MEDIASTINUM, BONE)

PRESETS: Final[Mapping[str, AnyWindow]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            LUNG,
            MEDIASTINUM,
            BONE,
            BRAIN,
            SUBDURAL,
            STROKE,
            STROKE_NARROW,
            TEMPORAL_BONE,
            HEAD_SOFT_TISSUE,
            ABDOMEN,
            LIVER,
            SPINE,
            ANGIOGRAPHY,
            MEDGEMMA_15,
            LUNG_MEDIASTINUM_BONE,
        )
    }
)


def window(spec: str | AnyWindow) -> AnyWindow:
    """Find a window by its preset name, or make one from ``"width/level"`` in Hounsfield units.

    Example:
        >>> window("lung").width_hu, window("400/40").center_hu
        (1500.0, 40.0)

    Raises:
        PolicyError: No preset has that name.
    """
    if isinstance(spec, (Window, RgbWindow)):
        return spec
    if spec in PRESETS:
        return PRESETS[spec]
    numbers = _WIDTH_LEVEL.match(spec)
    if numbers:
        width, level = float(numbers[1]), float(numbers[2])
        return Window(f"w{width:g}_l{level:g}", level, width)
    raise PolicyError(
        "There is no window preset of that name.",
        remedy=f'Use a number pair "width/level" such as "400/40", or one of {", ".join(PRESETS)}.',
        code="window.unknown",
    )


# A header may recommend several windows, such as one for the mediastinum and one for the lung.
# They are told apart by their order: what an exporter calls them is free text.
HEADER_WINDOWS: Final = ("header", *(f"header-{number}" for number in range(2, 10)))


def header_facts(
    name: str, center_hu: float, width_hu: float, function: str
) -> dict[str, str | float]:
    """Return the facts of a volume that `header_window` reads; ``name`` is of `HEADER_WINDOWS`."""
    center, width = _fact_names(name)
    return {center: center_hu, width: width_hu, "window_function": function}


def _fact_names(name: str) -> tuple[str, str]:
    suffix = name.removeprefix("header").replace("-", "_")
    return f"window_center_hu{suffix}", f"window_width_hu{suffix}"


def header_window(facts: Mapping[str, str | float], name: str = "header") -> Window:
    """Return a window that the source's own header recommends.

    Args:
        facts: A volume's facts: ``window_center_hu``, ``window_width_hu``, ``window_center_hu_2``
            and so on for further windows and, where the header says, ``window_function``.
        name: ``"header"`` for the first, ``"header-2"`` for the second and so on.

    Raises:
        PolicyError: The header holds no such window, or one that shows nothing.
    """
    function = cast(Function, str(facts.get("window_function", "linear")).lower())
    center, width = (facts.get(fact) for fact in _fact_names(name))
    if not isinstance(center, (int, float)) or not isinstance(width, (int, float)):
        found = sum(key.startswith("window_center_hu") for key in facts)
        raise PolicyError(
            f"The source's header holds no display window {name!r}; it holds {found}.",
            remedy='Name a window, such as windows="mediastinum".',
            code="window.header",
            facts={"header_windows": found},
        )
    return Window(name, center, width, function)
