"""Time from int16 slices in memory to windowed 336 x 336 RGB views, against the usual ways.

    python benchmarks/slices_to_views.py [--slices 300] [--size 512] [--repeats 5]

The peers: a window in float64 and Pillow on RGB (what most scripts do), and a lookup table and
Pillow on one grey byte channel. The largest difference from an exact float64 result is printed
beside each time.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.render import render_sequence
from longllava_domains.ct.views.windows import LUNG

VIEW_PX = 336
Slice = NDArray[np.int16]


def rgb_way(hu: Slice) -> NDArray[np.uint8]:
    grey = np.clip((hu.astype(np.float64) + 1350) / 1500, 0, 1) * 255
    picture = Image.fromarray(np.stack([grey.astype(np.uint8)] * 3, axis=-1))
    return np.asarray(picture.resize((VIEW_PX, VIEW_PX), Image.Resampling.BICUBIC))


def byte_way(hu: Slice) -> NDArray[np.uint8]:
    grey = Image.fromarray(LUNG.grey(hu)).resize((VIEW_PX, VIEW_PX), Image.Resampling.BICUBIC)
    return np.stack([np.asarray(grey)] * 3, axis=-1)


def exact(hu: Slice) -> NDArray[np.float64]:
    levels = Image.fromarray(LUNG.levels(hu).astype(np.float32))
    resized = levels.resize((VIEW_PX, VIEW_PX), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized, np.float64), 0, 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size = options.size
    tile = chest_phantom(shape=(30, size, size), spacing_mm=(9.0, 384 / size, 384 / size))
    hu = np.concatenate([tile.hu] * (options.slices // 30 + 1))[: options.slices]
    volume = volume_from_array(hu, tile.affine_ras_mm)
    policy = SlicePolicy(windows=LUNG, view_px=VIEW_PX)
    render_sequence(volume, policy)  # hashes once and fills the caches
    ways: dict[str, Callable[[], list[NDArray[np.uint8]]]] = {
        "ours": lambda: [view.pixels for view in render_sequence(volume, policy)],
        "float64 window, Pillow RGB": lambda: [rgb_way(one) for one in hu],
        "table, Pillow grey bytes": lambda: [byte_way(one) for one in hu],
    }
    expected = [exact(one) for one in hu[:30]]
    times = {}
    for name, work in ways.items():
        taken = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            made = work()
            taken.append(time.perf_counter() - start)
        times[name] = statistics.median(taken)
        far = max(float(np.abs(m[..., 0] - e).max()) for m, e in zip(made, expected, strict=False))
        print(
            f"{name:28s} {len(hu) / times[name]:7.0f} slices/s   {times[name] / times['ours']:5.2f} x ours"
            f"   off by at most {far:.2f} grey levels"
        )


if __name__ == "__main__":
    main()
