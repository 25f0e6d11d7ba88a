"""What a model would see: the views of any input, without a model."""

from pathlib import Path

from longllava_domains import ct
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.errors import UnsupportedInputError
from longllava_domains.pipelines.domains import decide_domain
from longllava_domains.visual import VisualSequence


def views_of(path: str | Path, *, domain: str | None = None) -> VisualSequence:
    """Return the views of a CT or a raster as its domain shows them without further wishes.

    Args:
        path: A file, folder or URL.
        domain: The user's word on the domain, decided by evidence otherwise.

    Raises:
        InputError: The input cannot be read.
    """
    decided = decide_domain(path, domain)
    if decided == "ct":
        return views_of_ct(ct.open_volume(path))
    if decided == "remote_sensing":
        from longllava_domains import remote_sensing

        with remote_sensing.open_raster(str(path)) as raster:
            return raster.to_sequence()
    raise UnsupportedInputError(
        "This is a pathology slide, which this version does not read yet.",
        remedy="Slides come with a later release; see CHANGELOG.md.",
        code="pathology.later",
    )


def views_of_ct(
    volume: ct.CTVolume,
    *,
    windows: list[str] | None = None,
    spacing_mm: float | None = None,
    max_views: int | None = None,
    kernel: ReconstructionKernel | None = None,
) -> VisualSequence:
    """Return the views of a CT.

    Args:
        volume: An open CT.
        windows: Window presets or "width/level", the mediastinal window by default.
        spacing_mm: Distance between slices, all slices by default.
        max_views: Largest number of views.
        kernel: Reconstruction that was asked for; a notice says where the volume is of another.

    Raises:
        PolicyError: The wishes cannot be followed.
    """
    policy = ct.SlicePolicy(
        spacing_mm=spacing_mm,
        windows=tuple(windows or ["mediastinum"]),
        max_views=max_views,
        kernel=kernel,
    )
    return volume.to_sequence(policy)
