"""Reading a raster once and making the views a policy asks for."""

from collections.abc import Iterator

import numpy as np

from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.remote_sensing.scene import Scene
from longllava_domains.remote_sensing.views.grid import COLOURS, Grid
from longllava_domains.remote_sensing.views.policy import GridPolicy, ViewPlan, plan, region_grid
from longllava_domains.remote_sensing.views.tiles import (
    Crop,
    averaged,
    bands_of,
    global_size,
    global_view,
    tiles,
)
from longllava_domains.units import MIB
from longllava_domains.visual import View, VisualSequence
from longllava_domains.visual.area_average import GlobalAverager
from longllava_domains.visual.strips import Mask, PixelWindow, Rgb, Strip

# Tiles held so that the global view can come first out of the same pass.
SPOOL_BYTES = 256 * MIB
# Rows of a region read together.
_REGION_ROWS = 336


class SinglePassReader:
    """One pass over a region: strips in order, and the picture they make.

    Args:
        raster: The scene.
        policy: Protocol and size of the global view.
        region: What is looked at, raster pixels.
        grid: Tiles; smaller than the region where it is averaged down.
    """

    def __init__(self, raster: Scene, policy: GridPolicy, region: PixelWindow, grid: Grid) -> None:
        self.raster = raster
        self.policy = policy
        self.region = region
        self.grid = grid
        self.paint = raster.painter(COLOURS[policy.protocol][1])
        self.factor = min(region.width / grid.width, region.height / grid.height)
        size = global_size(region.width, region.height, policy.global_px)
        factor = min(region.width / size[0], region.height / size[1])
        source = raster.source
        # Colours of classes do not average, so classes are decimated before they are painted.
        self.decimated_reads = self.factor > 1 and (
            source.categorical or source.overview_factor(self.factor) >= 2
        )
        self.from_overviews = source.categorical or source.overview_factor(factor) >= 2
        self.from_overviews = self.from_overviews or self.decimated_reads
        self.averager = GlobalAverager(
            region.width, region.height, size, COLOURS[policy.protocol][1]
        )

    def picture(self) -> tuple[Rgb, Mask | None]:
        """Return the global picture: from overviews, or from the strips once all have passed."""
        if not self.from_overviews:
            return self.averager.picture()
        pixels = self.raster.source.read(self.region, self.averager.size)
        rgb = np.empty((*pixels.values.shape[:2], 3), np.uint8)
        self.paint(pixels, rgb)
        return rgb, pixels.valid

    def strips(self) -> Iterator[Strip]:
        """Yield the rows of the grid's image, top to bottom."""
        if self.decimated_reads:
            return self._decimated()
        strips = self.native_strips()
        if not self.from_overviews:
            strips = self.averager.listen(strips)
        if self.factor > 1:
            size = (self.region.width, self.region.height)
            return averaged(strips, size, self.grid, self.policy.protocol)
        return strips

    def crops(self) -> Iterator[Crop]:
        """Yield every tile."""
        return tiles(self.strips(), self.grid, self.raster.ground, self.region)

    def native_strips(self) -> Iterator[Strip]:
        """Yield the rows of the region at full resolution, top to bottom."""
        raster, region = self.raster, self.region
        if region == PixelWindow(0, 0, raster.width, raster.height):
            yield from raster.source.sweep(self.paint, raster.threads)
            return
        for top in range(0, region.height, _REGION_ROWS):
            rows = min(_REGION_ROWS, region.height - top)
            window = PixelWindow(region.column, region.row + top, region.width, rows)
            yield self._painted(window, None, top)

    def _decimated(self) -> Iterator[Strip]:
        """Read row bands already averaged; their edges are whole raster rows."""
        region, grid = self.region, self.grid
        for top, bottom in bands_of(grid):
            first = round(top * region.height / grid.height)
            last = round(bottom * region.height / grid.height)
            window = PixelWindow(region.column, region.row + first, region.width, last - first)
            yield self._painted(window, (grid.width, bottom - top), top)

    def _painted(self, window: PixelWindow, size: tuple[int, int] | None, top: int) -> Strip:
        pixels = self.raster.source.read(window, size)
        rgb = np.empty((*pixels.values.shape[:2], 3), np.uint8)
        self.paint(pixels, rgb)
        return Strip(top, rgb, pixels.valid)


def views(raster: Scene, policy: GridPolicy) -> Iterator[View]:
    """Yield the global view, then every tile at native resolution."""
    sweep = _native_pass(raster, policy)
    if sweep.from_overviews:
        yield _global(raster, sweep)
        yield from (crop.view for crop in sweep.crops())
        return
    if raster.width * raster.height * 3 <= SPOOL_BYTES:
        crops = list(sweep.crops())
        yield _global(raster, sweep)
        yield from (crop.view for crop in crops)
        return
    for _ in sweep.strips():
        pass
    yield _global(raster, sweep)
    again = tiles(sweep.native_strips(), sweep.grid, raster.ground, sweep.region)
    yield from (crop.view for crop in again)


def overview(raster: Scene, most_px: int) -> Rgb:
    """Return the whole raster averaged down to a picture, painted as its views are.

    Args:
        raster: The scene.
        most_px: Longer side of the picture, at most.
    """
    sweep = _native_pass(raster, GridPolicy(global_px=most_px))
    if not sweep.from_overviews:
        for _ in sweep.strips():
            pass
    return sweep.picture()[0]


def tiles_then_global(raster: Scene, policy: GridPolicy) -> Iterator[View]:
    """Yield every tile at native resolution, then the global view: one pass."""
    sweep = _native_pass(raster, policy)
    yield from (crop.view for crop in sweep.crops())
    yield _global(raster, sweep)


def to_sequence(raster: Scene, policy: GridPolicy) -> VisualSequence:
    """Show the whole raster in one sequence."""
    planned = plan(raster.width, raster.height, policy, raster.resolution_m)
    if len(planned.regions) > 1:
        raise PolicyError(
            f"This policy splits the raster into {len(planned.regions)} super-tiles.",
            remedy="Iterate over to_sequences(policy), one sequence per super-tile.",
            code="raster.super_tiles",
            facts={"super_tiles": len(planned.regions)},
        )
    sequence = _sequence(raster, policy, planned, planned.regions[0], planned.grid)
    if sequence is None:
        raise _all_nodata()
    return sequence


def to_sequences(raster: Scene, policy: GridPolicy) -> Iterator[VisualSequence]:
    """Show the raster as one sequence per super-tile; empty super-tiles are passed over."""
    planned = plan(raster.width, raster.height, policy, raster.resolution_m)
    empty = 0
    for region in planned.regions:
        grid = region_grid(region, policy) if len(planned.regions) > 1 else planned.grid
        sequence = _sequence(raster, policy, planned, region, grid)
        if sequence is None:
            empty += 1
        else:
            yield sequence
    if empty == len(planned.regions):
        raise _all_nodata()


def _sequence(
    raster: Scene, policy: GridPolicy, plan: ViewPlan, region: PixelWindow, grid: Grid
) -> VisualSequence | None:
    """Return the sequence of one region, or None where all of it is nodata."""
    sweep = SinglePassReader(raster, policy, region, grid)
    crops = list(sweep.crops())
    picture, _ = sweep.picture()
    empty = sum(not crop.has_data for crop in crops)
    if empty == len(crops):
        return None
    shown = raster.report.with_({"tiles.nodata": empty} if empty else {})
    left_out = {}
    if plan.mode == "decimated":
        left_out["native_tiles_averaged"] = plan.native_tiles - len(crops)
    provenance = raster.provenance.with_(
        policy=policy.to_json() | {"mode": plan.mode, "region": list(region)},
        layout="grid",
        views=1 + len(crops),
        resolution_m=plan.resolution_m,
        load_report=shown.to_json(),
        left_out=left_out,
    )
    return VisualSequence(
        views=(global_view(raster.ground, region, picture), *(crop.view for crop in crops)),
        layout="grid",
        grid=(grid.rows, grid.columns),
        provenance=provenance,
        left_out=left_out,
    )


def _native_pass(raster: Scene, policy: GridPolicy) -> SinglePassReader:
    whole = PixelWindow(0, 0, raster.width, raster.height)
    return SinglePassReader(raster, policy, whole, region_grid(whole, policy))


def _global(raster: Scene, sweep: SinglePassReader) -> View:
    picture, valid = sweep.picture()
    if valid is not None and not valid.any() and _nothing(raster):
        raise _all_nodata()
    return global_view(raster.ground, sweep.region, picture)


def _nothing(raster: Scene) -> bool:
    """Return whether not one pixel is data; averages may hide a few."""
    paint = raster.painter(COLOURS["neutral"][1])
    return not any(
        strip.valid is None or strip.valid.any() for strip in raster.source.sweep(paint, 1)
    )


def _all_nodata() -> NotFoundError:
    return NotFoundError(
        "Every pixel of the raster is nodata.",
        remedy="Check the file, its nodata value and its mask.",
        code="raster.all_nodata",
    )
