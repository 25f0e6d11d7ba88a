"""What a model would see: the views of any input, without a model."""

from pathlib import Path

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.pipelines.domain import decide_domain
from longllava_domains.visual import VisualSequence


def look_at(
    path: str | Path,
    *,
    domain: str | None = None,
    windows: list[str] | None = None,
    spacing_mm: float | None = None,
    max_views: int | None = None,
) -> VisualSequence:
    """Return the views of a CT or a raster.

    Args:
        path: A file, folder or URL.
        domain: The user's word on the domain, decided by evidence otherwise.
        windows: CT window presets, the mediastinal window by default.
        spacing_mm: CT: distance between slices, all slices by default.
        max_views: CT: largest number of views.

    Raises:
        InputError: The input cannot be read.
    """
    decided = decide_domain(path, domain)
    if decided == "ct":
        from longllava_domains import ct

        policy = ct.SlicePolicy(
            spacing_mm=spacing_mm,
            windows=tuple(windows or ["mediastinum"]),
            max_views=max_views,
        )
        return ct.open_volume(path).to_sequence(policy)
    if decided == "remote_sensing":
        from longllava_domains import remote_sensing

        return remote_sensing.open_raster(str(path)).to_sequence()
    raise UnsupportedInputError(
        "This is a pathology slide, which this version does not read yet.",
        remedy="Slides come with a later release; see CHANGELOG.md.",
        code="pathology.later",
    )
