"""Phantoms: synthetic inputs with known content, for tests, examples and demonstrations."""

from longllava_domains.adapters.phantoms.benchmarks import write_benchmark
from longllava_domains.adapters.phantoms.chest import ChestPhantom, chest_phantom
from longllava_domains.adapters.phantoms.files import write_dicom_series, write_nifti

__all__ = ["ChestPhantom", "chest_phantom", "write_benchmark", "write_dicom_series", "write_nifti"]
