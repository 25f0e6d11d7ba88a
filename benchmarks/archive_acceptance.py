"""A whole archive, from scan to report: 300 mixed studies, interrupted, resumed, and again on Ray.

    pip install "ray"
    python benchmarks/archive_acceptance.py --keep FOLDER [--studies 300] [--without-ray]

Good and hostile CTs, empty files, large ones, slides and scenes are written, scanned and scored
with the demonstration model through the command line. The CT run is stopped once with SIGTERM and
once with SIGKILL, each time after more items have ended. What each item should come to is asked of the loaders directly; the results of
both engines and the reports are compared with it. Exits with 1 where anything differs.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pydicom

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))
import dicom_builder as dicom
import raster_builder as rasters
import slide_builder as slides
from pydicom.encaps import encapsulate

from longllava_domains import ct, load_model
from longllava_domains.archive import Manifest
from longllava_domains.archive.results.schema import VARYING
from longllava_domains.errors import LongLlavaError
from longllava_domains.pipelines.archive.opening import ShowItem
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.reading import showable, shown_ct

ROOT = Path(__file__).parents[1]
LONGLLAVA = str(Path(sys.executable).with_name("longllava"))
TASKS = {
    "ct": ["--task", "ct-findings", "--every-mm", "60", "--files", "json"],
    "pathology": ["--task", "ask", "--question", "What?", "--most", "2", "--files", "geojson"],
    "remote_sensing": ["--task", "ask", "--question", "What?", "--max-tokens", "1500", "--files", "json"],
}  # fmt: skip
# Ended items after which a run is interrupted again.
_MORE_ITEMS = 5
Edit = Callable[[Any, int], None]


def value(**changed: Any) -> Edit:
    """Return an edit that sets elements of a slice, or deletes them where the value is None."""

    def edit(image: Any, index: int) -> None:
        for name, new in changed.items():
            if new is None:
                delattr(image, name)
            else:
                setattr(image, name, new(index) if callable(new) else new)

    return edit


HOSTILE: dict[str, Edit] = {
    "no positions": value(ImagePositionPatient=None),
    "one position": value(ImagePositionPatient=[0, 0, 0]),
    "no rescale": value(RescaleSlope=None, RescaleIntercept=None),
    "zero slope": value(RescaleSlope=0),
    "wrong slope": value(RescaleSlope=2),
    "another unit": value(RescaleType="Z_EFF"),
    "of two patients": value(PatientID=lambda index: f"P{index % 2}"),
    "another modality": value(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR"),
    "localizer": value(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "colour": value(PhotometricInterpretation="RGB"),
    "unknown codec": value(RescaleSlope=1),
    "gap": value(ImagePositionPatient=lambda index: [0, 0, float(index + 5 * (index > 4))]),
}


def write_ct(root: Path, number: int, kind: str) -> None:
    """Write one study, a patient's name in its path."""
    folder = root / f"DOE^JANE {number:03d}"
    study = f"{dicom.ROOT}.300.{number}"

    def edit(image: Any, index: int) -> None:
        image.StudyInstanceUID, image.SeriesInstanceUID = study, f"{study}.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{index}"
        if kind in HOSTILE:
            HOSTILE[kind](image, index)

    if kind == "empty":
        folder.mkdir(parents=True)
        (folder / "image.dcm").touch()
    elif kind == "chest":
        shutil.copytree(ROOT / "examples" / "chest_phantom", folder)
        for index, place in enumerate(sorted(folder.rglob("*.dcm"))):
            image = pydicom.dcmread(place)
            edit(image, index)
            image.save_as(place)
    elif kind == "large":
        rng = np.random.default_rng(number)
        hu = rng.integers(-1000, 200, (300, 256, 256)).astype(np.int16)
        dicom.write_series(folder, edit=edit, hu=hu)
    else:
        dicom.write_series(folder, edit=edit)
    files = sorted(folder.iterdir())
    if kind == "cut":
        files[0].write_bytes(files[0].read_bytes()[:900])
    if kind == "unknown codec":
        for place in files:
            image = pydicom.dcmread(place)
            image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
            image.PixelData = encapsulate([image.PixelData])
            image["PixelData"].VR = "OB"
            image.save_as(place)


def write_archive(root: Path, studies: int, domains: list[str]) -> Counter[str]:
    """Write the studies of some domains; return how many of each kind there are in all."""
    kinds: Counter[str] = Counter()
    hostile = [*HOSTILE, "cut", "empty"]
    plan = ["large"] * 2 + ["chest"] * 4 + ["good"] * (studies // 10)
    plan += [hostile[number % len(hostile)] for number in range(studies * 11 // 20)]
    for number, kind in enumerate(plan if "ct" in domains else ()):
        write_ct(root / "ct", number, kind)
    left = studies - len(plan)
    for folder in ("pathology", "remote_sensing"):
        (root / folder).mkdir(parents=True)
    makers = [
        rasters.tiled,
        rasters.tiled,
        rasters.no_georeference,
        rasters.all_nodata,
        rasters.complex_values,
    ]
    for number in range(left):
        name = f"{number:03d}"
        if number % 2:
            seed = {"seed": number}
            slide = slides.svs(
                root / "pathology" / f"DOE {name}.svs", slides.tissue(1024, 768, **seed)
            )
            if number % 10 == 1:
                slide.write_bytes(slide.read_bytes()[: 2000 + number])
            plan.append("cut slide" if number % 10 == 1 else "slide")
        else:
            make = makers[number // 2 % len(makers)]
            scene = make(root / "remote_sensing" / f"{name}.tif")
            with scene.open("ab") as file:  # no two alike, or they are copies of one item
                file.write(name.encode())
            plan.append(f"scene {make.__name__}")
    kinds.update(plan)
    return kinds


def longllava(
    *arguments: str, stop_when: Callable[[], bool] | None = None, how: int = 0
) -> tuple[int, str]:
    """Run a command, stopped with a signal when something is so."""
    process = subprocess.Popen(
        [LONGLLAVA, "archive", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if stop_when is not None:
        while process.poll() is None and not stop_when():
            time.sleep(0.2)
        process.send_signal(how)
    said, _ = process.communicate()
    return process.returncode, said


def ended(output: Path) -> int:
    """Return how many items have ended, by the metrics of the run."""
    try:
        text = (output / "metrics.prom").read_text()
    except OSError:
        return 0
    return sum(
        int(count) for count in re.findall(r'status="(?:done|refused|failed)"\} (\d+)', text)
    )


def rows_of(output: Path, domain: str) -> dict[str, dict[str, Any]]:
    """Return rows by item, without what varies; fails where an item stands twice."""
    table = pq.read_table(output / domain / "parts").drop_columns(list(VARYING))
    rows = {row["item_id"]: row for row in table.to_pylist()}
    assert len(rows) == len(table), "an item stands twice"
    return rows


def expected(manifest: Manifest, domain: str) -> dict[str, tuple[str, str]]:
    """Return item -> (status, code), as the loaders themselves say."""
    settings = {
        "ct": {"spacing_mm": 60.0},
        "pathology": {"max_views": 2},
        "remote_sensing": {"max_tokens": 1500},
    }
    # As the model sees them: whether a token budget fits depends on what a view costs it.
    show: Any = ShowItem(settings[domain], load_model("demo").view_format)
    if domain == "ct":  # from its folder, as `longllava report` would
        policy = CTPreset.named().policy(336, spacing_mm=60.0)

        def show(item: Any) -> Any:
            volume = ct.open_volume(item.uri)
            return shown_ct(volume, showable(volume, policy))

    found = {}
    for item in manifest():
        try:
            show(item)
            found[item.item_id] = ("done", "")
        except LongLlavaError as error:
            found[item.item_id] = ("refused", error.code)
    return found


def differences(output: Path, domain: str, wanted: dict[str, tuple[str, str]]) -> list[str]:
    """Compare results and report with what the loaders say."""
    rows = rows_of(output, domain)
    said = {item: (row["status"], row["code"]) for item, row in rows.items()}
    wrong = [
        f"{domain}: {item} is {said.get(item)}, not {wanted[item]}"
        for item in wanted
        if said.get(item) != wanted[item]
    ]
    wrong += [f"{domain}: {item} is in no manifest" for item in said.keys() - wanted.keys()]
    counts = Counter(status for status, _ in wanted.values())
    if not counts["done"]:  # a policy that fits no item would agree with everything
        wrong.append(f"{domain}: nothing was scored")
    page = (output / domain / "report.html").read_text()
    text = (output / domain / "report.md").read_text()
    for status, count in counts.items():
        if f"| {status} | {count} |" not in text or f"{status} ({count})" not in page:
            wrong.append(f"{domain}: the report does not say {count} {status}")
    for code, count in Counter(code for _, code in wanted.values() if code).items():
        if f"| {code} | {count} |" not in text or f"{code} ({count})" not in page:
            wrong.append(f"{domain}: the report does not say {count} {code}")
    for name in re.findall(r'<a href="(.*?)"', page):
        if not (output / domain / name).is_file():
            wrong.append(f"{domain}: a link leads nowhere")
    if "DOE" in page + text + json.dumps(list(rows.values())):
        wrong.append(f"{domain}: a name is in the results")
    return wrong


def score(root: Path, output: Path, domain: str, *, engine: str) -> None:
    """Run a domain to its end; the local CT run is interrupted twice first."""
    common = [
        "run",
        str(root / f"{domain}.private" / "m.parquet"),
        *TASKS[domain],
        "--model",
        "demo",
    ]
    common += ["--max-new-tokens", "2", "--output", str(output / domain), "--engine", engine]
    common += ["--workers", "2"] if engine == "ray" else []
    if engine == "local" and domain == "ct":
        for how in (signal.SIGTERM, signal.SIGKILL):
            begin, enough = time.monotonic(), ended(output / domain) + _MORE_ITEMS
            code, said = longllava(
                *common, stop_when=lambda most=enough: ended(output / domain) >= most, how=how
            )
            last = said.strip().splitlines()[-1] if said.strip() else ""
            print(
                f"  {how.name} after {time.monotonic() - begin:.0f} s: exit {code}; {last}",
                flush=True,
            )
    begin = time.monotonic()
    code, said = longllava(*common)
    print(
        f"  {domain} on {engine}: exit {code} in {time.monotonic() - begin:.0f} s; {said.strip().splitlines()[-1]}",
        flush=True,
    )
    longllava("report", str(output / domain))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True, help="a new folder")
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--without-ray", action="store_true")
    parser.add_argument("--domains", nargs="+", choices=tuple(TASKS), default=list(TASKS))
    options = parser.parse_args()
    root = options.keep
    root.mkdir(parents=True)
    print(dict(write_archive(root / "archive", options.studies, options.domains)), flush=True)
    wrong: list[str] = []
    wanted = {}
    for domain in options.domains:
        private = root / f"{domain}.private"
        scan = ["scan", str(root / "archive" / domain), "--domain", domain]
        scan += ["-o", str(private / "m.parquet"), "--secret", str(root / "secret")]
        print(longllava(*scan)[1], flush=True)
        wanted[domain] = expected(Manifest(private / "m.parquet"), domain)
    for engine in ("local",) if options.without_ray else ("local", "ray"):
        for domain in options.domains:
            score(root, root / engine, domain, engine=engine)
            wrong += differences(root / engine, domain, wanted[domain])
    if not options.without_ray:
        for domain in options.domains:
            if rows_of(root / "local", domain) != rows_of(root / "ray", domain):
                wrong.append(f"{domain}: Ray's results are not those of the local engine")
    print("\n".join(wrong) or "all as expected")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
