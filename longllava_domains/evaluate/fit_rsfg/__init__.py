"""FIT-RSFG, FIT-RSRC and HRBEN: the remote sensing benchmarks of SkySenseGPT (arXiv 2406.10100)."""

from longllava_domains.evaluate.fit_rsfg.equality import hrben_references
from longllava_domains.evaluate.fit_rsfg.protocols import PROTOCOLS, differing_rows

__all__ = ["PROTOCOLS", "differing_rows", "hrben_references"]
