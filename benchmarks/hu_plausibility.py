"""How often impossible Hounsfield units are refused, and sound ones too.

Whole volumes and crops of phantoms that this project draws, and of real CT where there is some:

    python benchmarks/hu_plausibility.py [FOLDER_OR_FILE ...]

Each volume is judged as a loader judges it (three slices of it), whole and in crops of many sizes
and places, as it is and with every offset and slope of `SLIPS`. A crop that is nothing but air, or
smaller than 24 voxels across, is not counted: no scan looks like that.
"""

import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from longllava_domains import ct
from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.hounsfield.plausibility import judge

INTERCEPT = -1024.0
# Name -> (slope, offset) that a wrong header puts on sound values.
SLIPS = {
    "as it is": (1.0, 0.0),
    "+1024": (1.0, 1024.0),
    "-1024": (1.0, -1024.0),
    "-3072": (1.0, -3072.0),
    "-32768": (1.0, -32768.0),
    "slope 2": (2.0, 0.0),
    "slope 0.5": (0.5, 0.0),
    "slope 10": (10.0, 0.0),
}
_CROPS = 60
_SMALLEST = 24


def head(noise_hu: float = 6.0, seed: int = 0) -> NDArray[np.float64]:
    """Return a head: brain, fluid, skull, scalp and fat in air."""
    y, x = np.mgrid[-96:96, -96:96] * 1.3
    radius = np.hypot(y, x * 1.15)
    plane = np.full(radius.shape, -1000.0)
    for limit, hu in ((92, -90), (89, 45), (87, 900), (81, 8), (79, 34), (20, 6)):
        plane[radius < limit] = hu
    return plane + np.random.default_rng(seed).normal(0, noise_hu, (7, *plane.shape))


def abdomen(noise_hu: float = 12.0, seed: int = 0) -> NDArray[np.float64]:
    """Return an abdomen: fat, muscle, liver, spine, and a little bowel gas, in air."""
    y, x = np.mgrid[-96:96, -96:96] * 2.0
    plane = np.full(y.shape, -1000.0)
    plane[(y / 130) ** 2 + (x / 175) ** 2 < 1] = -100
    plane[(y / 100) ** 2 + (x / 145) ** 2 < 1] = 55
    plane[(y / 80) ** 2 + (x / 120) ** 2 < 1] = -105
    plane[((y + 10) / 60) ** 2 + ((x + 50) / 65) ** 2 < 1] = 110
    plane[((y - 75) / 20) ** 2 + (x / 24) ** 2 < 1] = 250
    plane[((y + 40) / 12) ** 2 + ((x - 60) / 20) ** 2 < 1] = -980
    return plane + np.random.default_rng(seed).normal(0, noise_hu, (7, *plane.shape))


def phantoms() -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield name and Hounsfield units of what this project draws."""
    for noise in (8.0, 30.0):
        drawn = chest_phantom(shape=(14, 192, 192), spacing_mm=(20.0, 2.0, 2.0), noise_hu=noise)
        yield f"chest, noise {noise:g}", drawn.hu.astype(float)
        yield f"head, noise {noise:g}", head(noise)
        yield f"abdomen, noise {noise:g}", abdomen(noise)


def crops(hu: NDArray[np.float64], seed: int = 1) -> Iterator[NDArray[np.float64]]:
    """Yield boxes of many sizes and places, each with some tissue in it."""
    rng = np.random.default_rng(seed)
    slices, rows, columns = hu.shape
    for _ in range(_CROPS):
        size = rng.integers(_SMALLEST, max(_SMALLEST + 1, min(rows, columns)))
        deep = min(slices, int(rng.integers(1, 4)))
        corner = [int(rng.integers(0, full - part + 1))
                  for full, part in zip(hu.shape, (deep, size, size), strict=True)]  # fmt: skip
        part = hu[corner[0] : corner[0] + deep, corner[1] : corner[1] + size,
                  corner[2] : corner[2] + size]  # fmt: skip
        if (part > -300).mean() > 0.02:
            yield part


def count(parts: list[NDArray[np.float64]]) -> dict[str, Counter[str]]:
    """Return how the parts are judged with each slip."""
    found = {name: Counter[str]() for name in SLIPS}
    for part in parts:
        for name, (slope, offset) in SLIPS.items():
            wrong = slope * (part - INTERCEPT) + INTERCEPT + offset
            if np.rint(wrong).min() < -32768 or np.rint(wrong).max() > 32767:
                found[name]["out of range"] += 1  # the loader refuses it before it judges
                continue
            found[name][judge(np.rint(wrong).astype(np.int16), INTERCEPT + offset).code] += 1
    return found


def report(title: str, parts: list[NDArray[np.float64]]) -> None:
    """Print one line for each slip."""
    print(f"{title}: {len(parts)}")
    for name, codes in count(parts).items():
        refused = codes["implausible"] + codes["out of range"]
        told = ", ".join(f"{code} {number}" for code, number in sorted(codes.items()))
        print(f"  {name:10s} refused {refused:4d} of {len(parts):4d}   ({told})")


def main(paths: list[str]) -> None:
    volumes = list(phantoms()) if not paths else []
    for number, path in enumerate(paths, 1):
        volumes.append((f"input {number}", ct.open_volume(path).hu.astype(float)))
    for name, hu in volumes:
        few = hu[np.unique(np.linspace(0, len(hu) - 1, 5)[1:-1].round().astype(int))]
        report(f"{name}, whole", [few])
    report("crops of all", [part for _, hu in volumes for part in crops(hu)])


if __name__ == "__main__":
    main(sys.argv[1:])
