"""What share of 300 generated studies ends in a report, and is any volume among them wrong?

    python benchmarks/hospital_mixture.py [--studies 300] [--first 0]

Each study is one examination as hospitals export it: heads, chests and abdomens; a tilted gantry in
10 %, missing slices in 3 %, copies in 3 %, a series split over two collimations in 5 %, a sharp
reconstruction beside the soft one in 30 %, native and contrast as series of their own in 10 %, and
a second region in the folder in 10 %. A study "ends in a report" where everything that
`CTReport` does before the model runs succeeds: one series is chosen, proved and shown. It is
"wrong" where what is shown is not every slice of the series that is meant, each with its own
pixels at its own place.
"""

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/builders"))
import dicom_builder as dicom
import series_builder as build

from longllava_domains import ct
from longllava_domains.errors import LongLlavaError

SIZE = 80
_SAME_PLACE_MM = 0.02
REGIONS = {"HEAD": (24, 5.0), "CHEST": (30, 5.0), "ABDOMEN": (34, 5.0)}
SHARES = {"tilt": 0.10, "gaps": 0.03, "copies": 0.03, "split": 0.05, "kernels": 0.30,
          "phases": 0.10, "regions": 0.10}  # fmt: skip


@dataclass
class Planned:
    """One study: its files, and the slices that a report on it must show.

    Attributes:
        images: Data sets of all files.
        traits: Which hazards it has.
        purpose: The region that the pipeline is for.
        truth: Position along the slice normal, millimetres -> Hounsfield units.
    """

    images: list[Dataset]
    traits: tuple[str, ...]
    purpose: str
    truth: dict[float, NDArray[np.int16]] = field(default_factory=dict)


def plan(number: int) -> Planned:
    """Draw one study of the mixture."""
    rng = np.random.default_rng(number)
    traits = tuple(name for name, share in SHARES.items() if rng.random() < share)
    region = str(rng.choice(list(REGIONS)))
    count, step = REGIONS[region]
    steps = [step] * (count - 1)
    if "split" in traits:
        steps = [2.5] * (count // 2) + [step * 1.5] * (count - 1 - count // 2)
    tilt = float(rng.uniform(8, 22)) if "tilt" in traits else 0.0
    hu = dicom.phantom((count, SIZE, SIZE), seed=number)
    images = build.sequential(steps, tilt_deg=tilt, hu=hu)
    build.change(images, range(count), BodyPartExamined=region)
    if "split" in traits:
        kind = ["ORIGINAL", "PRIMARY", "AXIAL", "ADD"]
        build.change(images, range(count // 2), ImageType=kind)
    kept = list(range(count))
    if "gaps" in traits:
        lost = int(rng.integers(3, count - 3))
        kept = [index for index in kept if index not in (lost, lost + 1)]
    normal = np.array([0, np.sin(np.radians(tilt)), np.cos(np.radians(tilt))])
    truth = {
        float(np.array(images[i].ImagePositionPatient, float) @ normal): hu[count - 1 - i]
        for i in kept
    }
    files = [images[i] for i in kept] + others(traits, region, steps, tilt, count, number)
    if "copies" in traits:
        files += [images[i] for i in kept[: int(rng.integers(1, len(kept)))]]
    return Planned(files, traits, region.lower(), truth)


def others(
    traits: tuple[str, ...], region: str, steps: list[float], tilt: float, count: int, seed: int
) -> list[Dataset]:
    """Return the other series of the study."""
    found: list[Dataset] = []
    again = {"tilt_deg": tilt, "hu": dicom.phantom((count, SIZE, SIZE), seed=seed + 10_000)}
    if "kernels" in traits:
        sharp = build.renumber(build.sequential(steps, **again), "5")
        found += build.change(
            sharp, range(count), ConvolutionKernel="B70f", BodyPartExamined=region
        )
    if "phases" in traits:
        late = build.renumber(build.sequential(steps, **again), "6")
        found += build.change(
            late, range(count), ContrastBolusAgent="CONTRAST", BodyPartExamined=region
        )
    if "regions" in traits:
        other = "ABDOMEN" if region != "ABDOMEN" else "CHEST"
        elsewhere = build.sequential([5.0] * 39, hu=dicom.phantom((40, SIZE, SIZE), seed=seed))
        for image in build.renumber(elsewhere, "7"):
            x, y, z = map(float, image.ImagePositionPatient)
            image.ImagePositionPatient = [x, y, z - 600]
            image.BodyPartExamined = other
        found += elsewhere
    return found


def read(folder: Path, study: Planned) -> tuple[str, str]:
    """Return what becomes of a study: ``report``, ``refused`` or ``wrong``; and by which code."""
    try:
        try:
            volume = ct.open_volume(folder, series="soft", purpose=study.purpose)
        except TypeError:  # a version whose choice takes no purpose
            volume = ct.open_volume(folder, series="soft")
        at = {} if getattr(volume, "has_grid", True) else {"at": "acquired"}
        views = volume.to_sequence(ct.SlicePolicy(**at))
    except LongLlavaError as error:
        return "refused", error.code
    expected = sorted(study.truth, reverse=True)  # the head first, as views are
    z_mm = [view.place.z_mm for view in views]
    if len(z_mm) != len(expected) or not np.allclose(z_mm, expected, rtol=0, atol=_SAME_PLACE_MM):
        return "wrong", "places"
    hu = volume.source.read(range(len(views)))
    same = all(np.array_equal(plane, study.truth[z]) for plane, z in zip(hu, expected, strict=True))
    return ("report", "") if same else ("wrong", "pixels")


def main() -> None:
    """Print the shares, by trait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number, and seed, of the first study")
    asked = parser.parse_args()
    studies = asked.studies
    outcomes: Counter[str] = Counter()
    by_trait: dict[str, Counter[str]] = {}
    codes: Counter[str] = Counter()
    for number in range(asked.first, asked.first + studies):
        study = plan(number)
        with tempfile.TemporaryDirectory() as folder:
            dicom.write(study.images, Path(folder))
            outcome, code = read(Path(folder), study)
        outcomes[outcome] += 1
        codes[f"{outcome} {code}"] += bool(code)
        for trait in study.traits or ("none",):
            by_trait.setdefault(trait, Counter())[outcome] += 1
    print(
        f"{studies} studies: {dict(outcomes)}, {outcomes['report'] / studies:.1%} end in a report"
    )
    for trait, found in sorted(by_trait.items()):
        print(f"  {trait:8s} {dict(found)}")
    for code, count in codes.most_common():
        print(f"  {count:4d} {code}")


if __name__ == "__main__":
    main()
