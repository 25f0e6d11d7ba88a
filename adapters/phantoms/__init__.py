"""Phantoms: synthetic inputs with known content, for tests, examples and demonstrations."""

from longllava_domains.adapters.phantoms.benchmarks import write_benchmark
from longllava_domains.adapters.phantoms.chest import ChestPhantom, chest_phantom
from longllava_domains.adapters.phantoms.files import write_dicom_series, write_nifti
from longllava_domains.adapters.phantoms.labelled_chest import LabelledChest, labelled_chest
from longllava_domains.adapters.phantoms.labelled_scene import LabelledScene, labelled_scene
from longllava_domains.adapters.phantoms.labelled_slide import LabelledSlide, labelled_slide
from longllava_domains.adapters.phantoms.scene_files import write_geotiff, write_pyramid

__all__ = [
    "ChestPhantom",
    "LabelledChest",
    "LabelledScene",
    "LabelledSlide",
    "chest_phantom",
    "labelled_chest",
    "labelled_scene",
    "labelled_slide",
    "write_benchmark",
    "write_dicom_series",
    "write_geotiff",
    "write_nifti",
    "write_pyramid",
]
