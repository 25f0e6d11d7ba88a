"""Chest phantoms with known findings: bodies, scanners and slice distances that vary by seed."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest import (
    AIR_HU,
    LUNG_HU,
    ChestPhantom,
    Grid,
    draw_anatomy,
    millimetre_grid,
)
from longllava_domains.adapters.phantoms.chest_canvas import ChestCanvas
from longllava_domains.adapters.phantoms.chest_findings import PLANTERS, mediastinal_fat
from longllava_domains.adapters.phantoms.seeds import chance_of
from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.units import did_you_mean

Split = Literal["train", "held-out"]

# Slice distances and matrices of the two splits have no value in common.
_SPACINGS_MM: Final[dict[Split, tuple[float, ...]]] = {
    "train": (5.0, 6.0, 7.5, 8.0, 10.0),
    "held-out": (5.5, 7.0, 9.0),
}
_MATRICES: Final[dict[Split, tuple[int, ...]]] = {
    "train": (160, 176, 192),
    "held-out": (168, 184, 200),
}
_PLANTED_SHARE: Final = 0.22
_SEEN_MM2: Final = 30.0  # less of a finding than this in a slice counts as not seen


@dataclass(frozen=True)
class PlantedFinding:
    """A finding of a phantom, and where it is.

    Attributes:
        label: One of the CT-RATE labels.
        centre_mm: Middle of what is seen, from the first voxel, as (slice, row, column).
        size_mm: Extent along the same axes.
        side: ``"right"``, ``"left"`` or ``"both"`` for what lies beside the midline, else ``""``.
        slices: Numbers of the slices that show it, ascending.
        coverage: float32 (slices, 8, 8), share of each square of the picture that it covers.
    """

    label: str
    centre_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float]
    side: str
    slices: tuple[int, ...]
    coverage: NDArray[np.float32]


@dataclass(frozen=True)
class LabelledChest:
    """A chest phantom that knows what was planted in it.

    Attributes:
        phantom: The volume.
        planted: What it shows, in the order of drawing.
    """

    phantom: ChestPhantom
    planted: tuple[PlantedFinding, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The CT-RATE labels that are present."""
        return tuple(finding.label for finding in self.planted)

    def report(self) -> str:
        """Return the report of what was planted, in one fixed form."""
        if not self.planted:
            return "Findings: No abnormality is seen. Impression: No acute abnormality."
        parts = [finding_phrase(finding) for finding in self.planted]
        names = ", ".join(finding.label.lower() for finding in self.planted)
        return f"Findings: {'. '.join(parts)}. Impression: {names[0].upper()}{names[1:]}."


def finding_phrase(finding: PlantedFinding) -> str:
    """Return ``"Lung nodule on the right"``; the label alone where it has no side."""
    where = {"": "", "both": " on both sides"}.get(finding.side, f" on the {finding.side}")
    return finding.label + where


def split_of(seed: int) -> Split:
    """Return the split that a seed belongs to: one in eight is held out, by its hash."""
    digest = hashlib.sha256(f"chest phantom {seed}".encode()).digest()
    return "held-out" if digest[0] < 32 else "train"


@checked
def labelled_chest(seed: int, *, findings: tuple[str, ...] | None = None) -> LabelledChest:
    """Draw a chest phantom with findings, body, scanner and slice distance of a seed.

    Args:
        seed: Everything is drawn from it; see `split_of`.
        findings: Which of `PLANTERS` are planted, instead of each with even chance.

    Raises:
        PolicyError: The seed is below 0, or a finding is none that is drawn.
    """
    _require_drawn(findings or ())
    chance = chance_of(20260901, seed)
    split = split_of(seed)
    spacing_z = float(chance.choice(_SPACINGS_MM[split]))
    matrix = int(chance.choice(_MATRICES[split]))
    field_mm = float(chance.uniform(342, 368))
    scale = chance.uniform((0.93, 0.9, 0.9), (1.05, 1.06, 1.06))
    slices = round(float(chance.uniform(285, 310)) / spacing_z)
    spacing = (spacing_z, field_mm / matrix, field_mm / matrix)
    axes = _body_axes((slices, matrix, matrix), spacing, scale, chance)
    canvas = ChestCanvas(np.full((slices, matrix, matrix), AIR_HU, np.float32), axes)
    draw_anatomy(canvas.hu, *axes)
    wanted = _wanted(chance) if findings is None else findings
    if chance.random() < 0.5 or "Lymphadenopathy" in wanted:
        mediastinal_fat(canvas)
    for label, plant in PLANTERS.items():
        if label in wanted:
            plant(canvas, chance)
    planted = tuple(
        found for label in canvas.marks if (found := _found(label, canvas.marks[label], spacing))
    )
    hu = _scanned(canvas.hu, chance)
    return LabelledChest(
        ChestPhantom(hu, spacing, {found.label: found.centre_mm for found in planted}), planted
    )


def _require_drawn(findings: tuple[str, ...]) -> None:
    unknown = next((name for name in findings if name not in PLANTERS), None)
    if unknown is not None:
        raise PolicyError(
            f"No phantom shows {unknown!r}.",
            remedy=f"{did_you_mean(unknown, PLANTERS)}Drawn are {', '.join(PLANTERS)}.",
            code="phantom.finding",
        )


def _wanted(chance: np.random.Generator) -> tuple[str, ...]:
    share = 0.0 if chance.random() < 0.06 else _PLANTED_SHARE
    return tuple(label for label in PLANTERS if chance.random() < share)


def _body_axes(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    scale: NDArray[np.float64],
    chance: np.random.Generator,
) -> tuple[Grid, Grid, Grid]:
    """Return the reference body's coordinates of every voxel of this body."""
    shift = chance.uniform((-8, -6, -8), (8, 6, 8))
    z, y, x = millimetre_grid(shape, spacing_mm)
    grids = zip((z, y, x), scale, shift, strict=True)
    scaled = [((axis - moved) / size).astype(np.float32) for axis, size, moved in grids]
    return scaled[0], scaled[1], scaled[2]


def _scanned(hu: NDArray[np.float32], chance: np.random.Generator) -> NDArray[np.int16]:
    """Look at the drawing through a scanner: lung density, sharpness, offset and noise."""
    density = float(chance.uniform(-45, 35))
    hu = np.where(hu == LUNG_HU, LUNG_HU + density, hu)
    soft = float(chance.uniform(0, 0.22))
    if soft > 0.05:
        hu = _smoothed(hu, soft)
    noise = chance.standard_normal(hu.shape, np.float32)
    grain = float(chance.uniform(0, 0.2))
    noise = _smoothed(noise, grain) if grain > 0.08 else noise
    noisy = hu + float(chance.uniform(3, 24)) * noise + float(chance.uniform(-8, 8))
    return np.asarray(np.rint(np.clip(noisy, -1024, 3071)), np.int16)


def _smoothed(values: NDArray[np.float32], side: float) -> NDArray[np.float32]:
    """Mix every pixel with its neighbours in rows and columns, each with the weight `side`."""
    for axis in (1, 2):
        ahead, behind = np.roll(values, 1, axis), np.roll(values, -1, axis)
        values = (1 - 2 * side) * values + side * (ahead + behind)
    return values


def _found(
    label: str, mark: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> PlantedFinding | None:
    """Describe what can be seen of a finding; None where it is nowhere large enough."""
    area_mm2 = mark.sum((1, 2)) * spacing_mm[1] * spacing_mm[2]
    slices = np.flatnonzero(area_mm2 >= _SEEN_MM2)
    if not len(slices):
        return None
    places = np.argwhere(mark)
    low, high = places.min(0), places.max(0)
    middle = places.mean(0)
    centre = [float(m * step) for m, step in zip(middle, spacing_mm, strict=True)]
    size = [float(n * step) for n, step in zip(high - low + 1, spacing_mm, strict=True)]
    return PlantedFinding(
        label,
        (centre[0], centre[1], centre[2]),
        (size[0], size[1], size[2]),
        _side(label, mark),
        tuple(int(index) for index in slices),
        _coverage(mark),
    )


def _side(label: str, mark: NDArray[np.bool_]) -> str:
    if label in ("Lung nodule", "Lung opacity", "Consolidation", "Atelectasis", "Pleural effusion"):
        half = mark.shape[2] // 2
        right, left = int(mark[:, :, :half].sum()), int(mark[:, :, half:].sum())
        return (
            "both"
            if min(right, left) > 0.05 * max(right, left)
            else ("right", "left")[left > right]
        )
    return ""


def _coverage(mark: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the share of each of 8 x 8 squares of every slice that is marked."""
    rows, columns = (np.linspace(0, size, 9).astype(int)[:-1] for size in mark.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(mark, rows, 1, dtype=np.float32), columns, 2)
    return np.asarray(sums / (mark.shape[1] * mark.shape[2] / 64), np.float32)
