"""Every benchmark, read from the user's disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from longllava_domains.pipelines.benchmark.material import Material
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.vision_language import ViewFormat

_DOMAINS: Final = {
    "ct-rate": "ct",
    "multipathqa": "pathology",
    "slidebench": "pathology",
    "fit-rsfg": "remote_sensing",
    "fit-rsrc": "remote_sensing",
    "hrben": "remote_sensing",
}


def domain_of(benchmark: str) -> str | None:
    """Return the domain of a benchmark's inputs, None for flat pictures."""
    return _DOMAINS.get(benchmark.partition("/")[0])


def read_material(
    benchmark: str,
    folder: Path,
    limit: int | None,
    view_format: ViewFormat,
    protocols: Sequence[str],
    calibration: Calibration | None = None,
) -> Material:
    """Read a benchmark; its domain's libraries are imported here, not before.

    Args:
        benchmark: Name in `evaluate.PROTOCOLS`.
        folder: As distributed.
        limit: Only the first N rows; None for all.
        view_format: Of the model that looks.
        protocols: Names of the protocols that are asked.
        calibration: Says which findings are present, for a protocol that takes them first.

    Raises:
        InputError: The folder holds no layout of it that is known.
    """
    if benchmark in ("vqa-rad", "path-vqa"):
        from longllava_domains.pipelines.benchmark.medical_vqa import medical_vqa_material

        return medical_vqa_material(benchmark, folder, limit)
    if benchmark.startswith("ct-rate"):
        from longllava_domains.pipelines.benchmark.ct_rate import ct_rate_material

        return ct_rate_material(benchmark, folder, limit, view_format, protocols, calibration)
    if benchmark in ("multipathqa", "slidebench"):
        from longllava_domains.pipelines.benchmark.slides import slides_material

        return slides_material(benchmark, folder, limit, view_format)
    from longllava_domains.pipelines.benchmark.fit_rsfg import fit_rsfg_material

    return fit_rsfg_material(benchmark, folder, limit)
