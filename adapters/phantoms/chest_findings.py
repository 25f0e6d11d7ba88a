"""Thirteen findings of the CT-RATE list, as drawings: where each may lie and what it looks like.

Sizes are chosen for a reader of 112-pixel views, some 3.2 mm a pixel: the smallest findings are wider than
four of its pixels.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from longllava_domains.adapters.phantoms.chest import AIR_HU, FAT_HU, LUNG_HU
from longllava_domains.adapters.phantoms.chest_canvas import ChestCanvas, Place

Chance = np.random.Generator
SOFT_HU, METAL_HU, FLUID_HU = 35.0, 2500.0, 10.0
# The heart of the reference body: centre and radii, millimetres, as `chest` draws it.
HEART: Final[tuple[Place, Place]] = ((25.0, -22.0, 22.0), (60.0, 48.0, 52.0))


def _cardiomegaly(canvas: ChestCanvas, chance: Chance) -> None:
    """A heart a third to a half wider."""
    factor = float(chance.uniform(1.32, 1.55))
    (z, y, x), radii = HEART
    wide: Place = (radii[0] * (factor + 1) / 2, radii[1] * factor, radii[2] * factor)
    where, inside = canvas.ellipsoid((z, y - 4, x + 6), wide)
    soft = inside & (canvas.hu[where] < 60)
    canvas.paint("Cardiomegaly", where, soft, 45.0)


def _pericardial_effusion(canvas: ChestCanvas, chance: Chance) -> None:
    """A shell of water around the heart, and fat outside that shows its edge."""
    thick = float(chance.uniform(11, 18))
    centre, radii = HEART
    grown = 1.0 if "Cardiomegaly" not in canvas.marks else 1.4
    inner: Place = (radii[0] * (grown + 1) / 2, radii[1] * grown, radii[2] * grown)
    outer: Place = (inner[0] + thick, inner[1] + thick, inner[2] + thick)
    rim: Place = (outer[0] + 5, outer[1] + 5, outer[2] + 5)
    for radius, value in ((rim, float(FAT_HU)), (outer, FLUID_HU)):
        where, inside = canvas.ellipsoid(centre, radius)
        heart = canvas.around(centre, radius)[1]
        squares = sum((axis / r) ** 2 for axis, r in zip(heart, inner, strict=True))
        shell = inside & np.asarray(squares > 1) & (canvas.hu[where] < 55)
        canvas.paint("Pericardial effusion" if value == FLUID_HU else "", where, shell, value)


def _hiatal_hernia(canvas: ChestCanvas, chance: Chance) -> None:
    """A pouch of stomach with gas between heart and spine."""
    centre: Place = (float(chance.uniform(50, 80)), 38.0, float(chance.uniform(-8, 4)))
    size = float(chance.uniform(17, 25))
    where, inside = canvas.ellipsoid(centre, (size * 1.5, size * 0.9, size))
    canvas.paint("Hiatal hernia", where, inside, SOFT_HU + 10)
    where, gas = canvas.ellipsoid(
        (centre[0], centre[1] - size * 0.2, centre[2]), (size, size * 0.5, size * 0.65)
    )
    canvas.paint("Hiatal hernia", where, gas, float(AIR_HU))


def _lymphadenopathy(canvas: ChestCanvas, chance: Chance) -> None:
    """Round nodes in the fat beside the trachea."""
    for _ in range(int(chance.integers(3, 6))):
        side = 1 if chance.random() < 0.5 else -1
        centre: Place = (
            float(chance.uniform(-105, -45)),
            float(chance.uniform(-38, -2)),
            side * float(chance.uniform(10, 24)),
        )
        size = float(chance.uniform(10, 14))
        where, inside = canvas.ellipsoid(centre, (size, size, size))
        canvas.paint("Lymphadenopathy", where, inside & (canvas.hu[where] < 0), SOFT_HU + 10)


def mediastinal_fat(canvas: ChestCanvas) -> None:
    """Fat in front of and beside the trachea, in which nodes can be seen."""
    where, inside = canvas.ellipsoid((-75.0, -22.0, 0.0), (62.0, 34.0, 38.0))
    muscle = inside & (np.abs(canvas.hu[where] - 50) < 1)
    canvas.paint("", where, muscle, float(FAT_HU))


def _medical_material(canvas: ChestCanvas, chance: Chance) -> None:
    """A pacemaker in the chest wall, and its lead into the heart."""
    side = 1 if chance.random() < 0.7 else -1
    box: Place = (float(chance.uniform(-110, -80)), -85.0, side * float(chance.uniform(60, 85)))
    where, inside = canvas.ellipsoid(box, (26.0, 11.0, 22.0))
    canvas.paint("Medical material", where, inside, METAL_HU)
    tip: Place = (float(chance.uniform(10, 45)), -20.0, float(chance.uniform(5, 35)))
    for share in np.linspace(0, 1, 60):
        bend = 30 * np.sin(np.pi * share)
        place = [a + (b - a) * float(share) for a, b in zip(box, tip, strict=True)]
        spot: Place = (place[0], place[1] + float(bend) * 0.5, place[2])
        where, inside = canvas.ellipsoid(spot, (5.0, 5.0, 5.0))
        canvas.paint("Medical material", where, inside, METAL_HU)


def _arterial_calcification(canvas: ChestCanvas, chance: Chance) -> None:
    """Plaques of lime on the wall of the aorta."""
    for _ in range(int(chance.integers(3, 7))):
        centre: Place = (float(chance.uniform(-110, 110)), 45.0, 24.0)
        where, (_, y, x) = canvas.around(centre, (float(chance.uniform(12, 24)), 19.0, 19.0))
        radius = np.sqrt(y**2 + x**2)
        turn = np.abs(np.angle(np.exp(1j * (np.arctan2(y, x) - chance.uniform(-np.pi, np.pi)))))
        arc = (radius > 8.5) & (radius < 17) & (turn < 0.9)
        inside = np.broadcast_to(arc, canvas.hu[where].shape)
        canvas.paint("Arterial wall calcification", where, inside, float(chance.uniform(650, 1100)))


def _coronary_calcification(canvas: ChestCanvas, chance: Chance) -> None:
    """Specks of lime along a vessel on the front of the heart."""
    start, height = float(chance.uniform(-0.9, 0.3)), float(chance.uniform(-25, 25))
    grown = 1.4 if "Cardiomegaly" in canvas.marks else 1.0
    for step in range(int(chance.integers(4, 7))):
        angle = start + 0.22 * step
        (z, y, x), radii = HEART
        spot: Place = (
            z + height + 7.0 * step - 14,
            y - 0.72 * grown * radii[1] * float(np.cos(angle)),
            x + 0.72 * grown * radii[2] * float(np.sin(angle)),
        )
        size = float(chance.uniform(5.5, 8))
        where, inside = canvas.ellipsoid(spot, (size + 2, size, size))
        canvas.paint(
            "Coronary artery wall calcification", where, inside, float(chance.uniform(600, 1000))
        )


def _emphysema(canvas: ChestCanvas, chance: Chance) -> None:
    """Many dark holes in the upper lungs."""
    for _ in range(int(chance.integers(35, 70))):
        centre = canvas.lung_place(chance, -130, 10)
        size = float(chance.uniform(7, 14))
        where, inside = canvas.ellipsoid(centre, (size, size, size))
        canvas.paint("Emphysema", where, inside & canvas.lung(where), -985.0)


def _atelectasis(canvas: ChestCanvas, chance: Chance) -> None:
    """One or two thin plates of airless lung near the base."""
    for _ in range(int(chance.integers(1, 3))):
        centre = canvas.lung_place(chance, 0, 70)
        where, (z, y, x) = canvas.around(centre, (30.0, 42.0, 42.0))
        turn, tilt = chance.uniform(0.35, 1.2) * chance.choice((-1, 1)), chance.uniform(-0.25, 0.25)
        across = np.cos(turn) * y + np.sin(turn) * x + tilt * z
        plate = (np.abs(across) < chance.uniform(4, 6.5)) & (y**2 + x**2 < 40**2)
        inside = np.asarray(np.broadcast_to(plate, canvas.hu[where].shape)) & canvas.lung(where)
        canvas.paint("Atelectasis", where, inside, SOFT_HU)


def _nodule(canvas: ChestCanvas, chance: Chance) -> None:
    """One or two round soft spots."""
    for _ in range(int(chance.integers(1, 3))):
        centre = canvas.lung_place(chance, -125, 60)
        size = float(chance.uniform(8.5, 16))
        where, inside = canvas.ellipsoid(centre, (size, size, size))
        canvas.paint("Lung nodule", where, inside, SOFT_HU + 5)


def _opacity(canvas: ChestCanvas, chance: Chance) -> None:
    """One or two patches of hazy lung through which vessels are seen."""
    for _ in range(int(chance.integers(1, 3))):
        centre = canvas.lung_place(chance, -120, 60)
        radii: Place = tuple(float(r) for r in chance.uniform(22, 40, 3))  # type: ignore[assignment]
        where, (z, y, x) = canvas.around(centre, radii)
        depth = 1 - ((z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2)
        inside = np.asarray(depth > 0) & canvas.lung(where)
        haze = LUNG_HU + float(chance.uniform(260, 380)) * np.clip(2.5 * depth, 0, 1)
        canvas.paint(
            "Lung opacity", where, inside & np.asarray(depth > 0.12), haze.astype(np.float32)
        )


def _consolidation(canvas: ChestCanvas, chance: Chance) -> None:
    """Airless lung with branches of air in it."""
    centre = canvas.lung_place(chance, -110, 60)
    radii: Place = tuple(float(r) for r in chance.uniform(26, 44, 3))  # type: ignore[assignment]
    where, inside = canvas.ellipsoid(centre, radii)
    canvas.paint("Consolidation", where, inside & (canvas.lung(where)), 30.0)
    for _ in range(3):
        turn = float(chance.uniform(0, np.pi))
        where, (z, y, x) = canvas.around(centre, radii)
        across = np.cos(turn) * y + np.sin(turn) * x
        tube = (
            (np.abs(across) < 2.6)
            & (np.abs(z) < 0.7 * radii[0])
            & (y**2 + x**2 < (0.75 * radii[1]) ** 2)
        )
        inside = np.asarray(np.broadcast_to(tube, canvas.hu[where].shape)) & (
            canvas.hu[where] == 30.0
        )
        canvas.paint("Consolidation", where, inside, -880.0)


def _pleural_effusion(canvas: ChestCanvas, chance: Chance) -> None:
    """Fluid in the lowest, hindmost part of one side or both."""
    sides = {0: (-1,), 1: (1,), 2: (-1, 1)}[int(chance.integers(0, 3))]
    for side in sides:
        centre: Place = (float(chance.uniform(65, 90)), 70.0, side * float(chance.uniform(80, 98)))
        size = float(chance.uniform(0.85, 1.6))
        where, inside = canvas.ellipsoid(centre, (50 * size, 30 * size, 40 * size))
        lung = (canvas.hu[where] < -500) & (canvas.hu[where] > AIR_HU + 5)
        canvas.paint("Pleural effusion", where, inside & lung, FLUID_HU + 2)


PLANTERS: Final[Mapping[str, Callable[[ChestCanvas, Chance], None]]] = MappingProxyType(
    {
        "Cardiomegaly": _cardiomegaly,
        "Pericardial effusion": _pericardial_effusion,
        "Hiatal hernia": _hiatal_hernia,
        "Lymphadenopathy": _lymphadenopathy,
        "Emphysema": _emphysema,
        "Lung opacity": _opacity,
        "Consolidation": _consolidation,
        "Atelectasis": _atelectasis,
        "Lung nodule": _nodule,
        "Pleural effusion": _pleural_effusion,
        "Arterial wall calcification": _arterial_calcification,
        "Coronary artery wall calcification": _coronary_calcification,
        "Medical material": _medical_material,
    }
)
"""Finding -> what draws it, in the order of drawing."""

FOCAL: Final = (
    "Hiatal hernia", "Lung opacity", "Consolidation", "Atelectasis", "Lung nodule", "Pleural effusion",
)  # fmt: skip
"""Findings that lie in a few neighbouring slices."""

LUNG_WINDOW_ONLY: Final = ("Emphysema", "Lung opacity")
"""Findings that a mediastinal window hides."""
