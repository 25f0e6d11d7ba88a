"""Dates of one place: scenes on one grid, their views side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.load_report import LoadReport
from longllava_domains.remote_sensing.io.opened_file import Bands, Opened
from longllava_domains.remote_sensing.mosaic.mosaic import common_grid, mosaic
from longllava_domains.remote_sensing.open import cores, make_rendering, open_files
from longllava_domains.remote_sensing.percentiles import Fitted
from longllava_domains.remote_sensing.raster import Raster
from longllava_domains.remote_sensing.scene import SceneOrigin
from longllava_domains.remote_sensing.stretch import Stretch
from longllava_domains.remote_sensing.views.policy import GridPolicy
from longllava_domains.vision_language import TAG_TOKENS
from longllava_domains.visual import MapPlace, View, VisualSequence

# Tokens of the sign between two frames, spelt as plain text.
_BETWEEN_TOKENS = 3


@checked
def open_dates(
    sources: Sequence[Any],
    *,
    bands: Bands = None,
    stretch: str | Stretch = "auto",
    nodata: float | None = None,
    crs: str | None = None,
) -> list[Raster]:
    """Open scenes of one place at several dates on one grid, in the order given.

    The grid is the finest of theirs, cut to what all show; a scene on another grid is resampled. All
    are stretched alike where they store values alike.

    Args:
        sources: What `open_raster` takes, two or more.
        bands: As for `open_raster`.
        stretch: As for `open_raster`.
        nodata: As for `open_raster`.
        crs: As for `open_raster`.

    Raises:
        PolicyError: Fewer than two scenes.
        GeoreferenceError: They do not show one place, or nothing says where one of them lies.
        InputError: As `open_raster`.
    """
    if len(sources) < 2:
        raise PolicyError(
            "Dates of one place are two scenes at least.",
            remedy="Pass [before, after].",
            code="raster.dates",
        )
    opened = []
    for source in sources:
        files = open_files(source, bands, crs, nodata)
        opened.append(files[0] if len(files) == 1 else mosaic(files))
    seen, codes, numbers = common_grid(opened)
    rendered = [make_rendering(file, stretch) for file in seen]
    if _alike(seen) and all(shown.palette is None for shown, _ in rendered):
        wide = _widest([fitted for _, fitted in rendered])
        rendered = [(replace(shown, stretch=wide), fitted) for shown, fitted in rendered]
    rasters = []
    for file, (rendering, fitted) in zip(seen, rendered, strict=True):
        report = LoadReport("raster", file.codes, file.numbers).with_(codes, numbers)
        report = report.with_(fitted.codes, fitted.numbers)
        origin = SceneOrigin(file.hrefs, file.files, file.stac_id, file.acquired)
        rasters.append(Raster(file.source, file.place, rendering, report, origin, cores()))
    return rasters


@checked
def dates_sequence(rasters: Sequence[Raster], policy: GridPolicy | None = None) -> VisualSequence:
    """Show dates of one place as frames: every date's global view, then tile by tile every date's.

    Args:
        rasters: Of one size, as `open_dates` returns them.
        policy: The budget of all dates together.

    Raises:
        PolicyError: The policy refuses, or the scenes have several sizes.
        DamagedInputError: A block cannot be decoded.
        NotFoundError: A whole scene is nodata.
    """
    if len({(raster.width, raster.height) for raster in rasters}) != 1:
        raise PolicyError(
            "Dates of one place must lie on one grid.",
            remedy="Open them with open_dates([before, after]).",
            code="raster.dates",
        )
    whole = policy or GridPolicy()
    _require_room(whole, len(rasters))
    free = (whole.max_tokens - whole.reserved_tokens) // len(rasters)
    each = replace(
        whole,
        max_tokens=whole.reserved_tokens + free,
        tokens_per_view=whole.tokens_per_view + _BETWEEN_TOKENS,
    )
    sequences = [raster.to_sequence(each) for raster in rasters]
    frames = [
        _dated(view, raster)
        for views in zip(*sequences, strict=True)
        for view, raster in zip(views, rasters, strict=True)
    ]
    first = sequences[0]
    hrefs = " ".join(href for raster in rasters for href in raster.origin.hrefs)
    notices = dict.fromkeys(notice for raster in rasters for notice in raster.notices)
    known = {"source_href": hrefs, "notices": list(notices)}
    return VisualSequence(
        views=tuple(frames),
        layout="temporal",
        provenance=first.provenance.with_(
            layout="temporal", views=len(frames), policy=whole.to_json(), **known
        ),
        left_out=first.left_out,
    )


def _require_room(whole: GridPolicy, dates: int) -> None:
    """Refuse a budget too small for a global view and a tile of each date, with the one that is not.

    Raises:
        PolicyError: It is.
    """
    each = whole.tokens_per_view + _BETWEEN_TOKENS + TAG_TOKENS
    least = whole.reserved_tokens + dates * (each + each + 1)
    if whole.max_tokens < least:
        raise PolicyError(
            f"{whole.max_tokens} tokens hold no global view and tile of each of {dates} dates beside "
            f"the {whole.reserved_tokens} that are kept for question and answer.",
            remedy=f"Raise max_tokens to {least} at least, or lower reserved_tokens or "
            "tokens_per_view.",
            code="raster.budget",
            facts={"max_tokens": whole.max_tokens, "reserved_tokens": whole.reserved_tokens},
        )


def told(rasters: Sequence[Raster]) -> str:
    """Say in words which view of each set is from when."""
    times = [date_of(raster) or "an unknown date" for raster in rasters]
    names = ("first", "second", "third", "fourth", "fifth", "sixth")
    said = [
        f"the {names[n]} of each set is from {time}" if n < len(names) else f"then {time}"
        for n, time in enumerate(times)
    ]
    return f"The images come in sets of {len(rasters)}, all of one place: {', '.join(said)}."


def date_of(raster: Raster) -> str | None:
    """Return the day a scene was taken; both ends of an interval; None where no one says it."""
    taken = raster.origin.acquired
    if taken.time is not None:
        return taken.time[:10]
    ends = [end[:10] for end in (taken.start, taken.end) if end is not None]
    return " to ".join(ends) or None


def _dated(view: View, raster: Raster) -> View:
    assert isinstance(view.place, MapPlace)
    return View(view.pixels, replace(view.place, acquired=date_of(raster)))


def _alike(files: Sequence[Opened]) -> bool:
    first = files[0]
    return all(
        (file.source.dtype, file.source.channels, file.scales, file.offsets)
        == (first.source.dtype, first.source.channels, first.scales, first.offsets)
        for file in files
    )


def _widest(fitted: Sequence[Fitted]) -> Stretch:
    """Return one stretch that loses nothing that any of them shows."""
    stretches = [entry.stretch for entry in fitted]
    if len({stretch.name for stretch in stretches}) > 1 or stretches[0].name != "percentile":
        return stretches[0]
    lows = zip(*(stretch.low for stretch in stretches), strict=True)
    highs = zip(*(stretch.high for stretch in stretches), strict=True)
    return Stretch("percentile", tuple(map(min, lows)), tuple(map(max, highs)))
