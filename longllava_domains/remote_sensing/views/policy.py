"""Amount of a raster that the model sees at once, and how sharply: arithmetic on a token budget."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing.views.grid import Grid, GridProtocol, require_protocol
from longllava_domains.vision_language import TAG_TOKENS, TRAINED_TOKENS
from longllava_domains.visual.strips import PixelWindow

BeyondBudget = Literal["decimate", "super-tiles", "refuse"]


@checked_fields
@dataclass(frozen=True)
class GridPolicy:
    """Choice of the views of a raster: a global view, then a grid of tiles.

    Attributes:
        tile_px: Side of a tile, pixels of the (possibly decimated) raster.
        max_tokens: Budget of the whole prompt; by default what LongLLaVA was trained on.
        tokens_per_view: Tokens one view becomes (144 with 2x2 pooling).
        reserved_tokens: Kept free for the question and the answer.
        beyond_budget: Where all tiles at native resolution are too many: ``"decimate"`` to the
            sharpest grid that fits, split into ``"super-tiles"`` at native resolution (one
            sequence each, from `Raster.to_sequences`), or ``"refuse"``.
        protocol: ``"neutral"`` or ``"reference"``; see `grid.Grid` and `grid.COLOURS`.
        global_px: Longer side of the global view, pixels.
    """

    tile_px: int = 336
    max_tokens: int = TRAINED_TOKENS
    tokens_per_view: int = 144
    reserved_tokens: int = 1024
    beyond_budget: BeyondBudget = "decimate"
    protocol: GridProtocol = "neutral"
    global_px: int = 336

    def __post_init__(self) -> None:
        require_protocol(self.protocol)
        if self.beyond_budget not in get_args(BeyondBudget):
            raise PolicyError(
                "There is no such way to meet the token budget.",
                remedy=f"Use one of {', '.join(get_args(BeyondBudget))}.",
                code="raster.beyond_budget",
            )
        positive = (self.tile_px, self.tokens_per_view, self.global_px)
        if min(positive) < 1 or self.reserved_tokens < 0:
            raise PolicyError(
                "Tile side, tokens per view and the global view's side must be positive.",
                remedy="The defaults are 336 pixels, 144 tokens and 336 pixels.",
                code="raster.policy",
            )
        if self.max_tiles < 1:
            raise PolicyError(
                f"{self.max_tokens} tokens hold no global view and tile beside the "
                f"{self.reserved_tokens} that are kept for question and answer.",
                remedy=f"Raise max_tokens to {self.least_tokens} at least, or lower reserved_tokens "
                "or tokens_per_view.",
                code="raster.budget",
                facts={"max_tokens": self.max_tokens, "reserved_tokens": self.reserved_tokens},
            )

    @property
    def least_tokens(self) -> int:
        """Smallest `max_tokens` that holds the global view and a tile."""
        each = self.tokens_per_view + TAG_TOKENS
        return self.reserved_tokens + each + each + 1

    @property
    def max_tiles(self) -> int:
        """Tiles that fit the budget beside the global view, even if each stood in its own row."""
        free = self.max_tokens - self.reserved_tokens - self.tokens_per_view - TAG_TOKENS
        return free // (self.tokens_per_view + TAG_TOKENS + 1)

    def within_views(self, views: int) -> "GridPolicy":
        """Return the policy with the largest `max_tokens` that shows at most `views` views.

        Args:
            views: The global view and the tiles of one sequence, 2 or more.

        Raises:
            PolicyError: Fewer than two views.
        """
        each = self.tokens_per_view + TAG_TOKENS
        return replace(self, max_tokens=self.reserved_tokens + each + (views - 1) * (each + 1))

    def to_json(self) -> dict[str, Any]:
        """Return the policy as JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class ViewPlan:
    """Plan of what a policy does with a raster.

    Attributes:
        mode: ``"native"``, ``"decimated"`` or ``"super-tiles"``.
        size: (width, height) the raster is averaged to; its own size unless decimated.
        factor: Raster pixels per shown pixel along (x, y).
        grid: The tiles; of the first region with super-tiles.
        regions: Raster windows, one sequence each; one unless super-tiles.
        tokens: Of the longest sequence: views, tags and line breaks.
        native_tiles: Tiles of the whole raster at native resolution.
        resolution_m: Ground metres per shown pixel; None where unknown.
    """

    mode: str
    size: tuple[int, int]
    factor: tuple[float, float]
    grid: Grid
    regions: tuple[PixelWindow, ...]
    tokens: int
    native_tiles: int
    resolution_m: float | None

    def __str__(self) -> str:
        ground = "unknown" if self.resolution_m is None else f"{self.resolution_m:.3g} m"
        return (
            f"{self.mode}: {len(self.regions)} sequence(s), grid {self.grid.rows} x "
            f"{self.grid.columns}, {self.factor[0]:.2f} raster pixels per pixel shown, "
            f"ground resolution {ground}, {self.tokens} tokens"
        )


def plan(
    width: int, height: int, policy: GridPolicy, native_resolution_m: float | None = None
) -> ViewPlan:
    """Decide between native resolution, decimation and super-tiles.

    Args:
        width: Of the raster, pixels.
        height: Of the raster, pixels.
        policy: The budget and what to do beyond it.
        native_resolution_m: Ground metres per raster pixel; None where unknown.

    Raises:
        PolicyError: Too many tiles, and the policy refuses to decimate or split.
    """
    native = Grid(width, height, policy.tile_px, policy.protocol)
    whole = PixelWindow(0, 0, width, height)
    regions: tuple[PixelWindow, ...] = (whole,)
    size, grid, mode = (width, height), native, "native"
    if len(native) > policy.max_tiles:
        if policy.beyond_budget == "refuse":
            raise _over_budget(native, policy)
        if policy.beyond_budget == "decimate":
            mode, size = "decimated", _fitting_size(width, height, policy)
            grid = Grid(*size, policy.tile_px, policy.protocol)
        else:
            mode, regions = "super-tiles", _regions(native, policy)
            grid = region_grid(regions[0], policy)
    factor = (width / size[0], height / size[1])
    shown = None
    if native_resolution_m is not None:
        shown = native_resolution_m * (factor[0] * factor[1]) ** 0.5
    return ViewPlan(
        mode=mode,
        size=size,
        factor=factor,
        grid=grid,
        regions=regions,
        tokens=max(_tokens(region_grid(region, policy), policy) for region in regions)
        if mode == "super-tiles"
        else _tokens(grid, policy),
        native_tiles=len(native),
        resolution_m=shown,
    )


def region_grid(region: PixelWindow, policy: GridPolicy) -> Grid:
    """Return the grid of tiles of one region at native resolution."""
    return Grid(region.width, region.height, policy.tile_px, policy.protocol)


def _tokens(grid: Grid, policy: GridPolicy) -> int:
    return (1 + len(grid)) * (policy.tokens_per_view + TAG_TOKENS) + grid.rows


def _fitting_size(width: int, height: int, policy: GridPolicy) -> tuple[int, int]:
    """Return the largest size of the raster's shape whose grid fits the budget, by bisection."""

    def size(factor: float) -> tuple[int, int]:
        return max(1, int(width / factor)), max(1, int(height / factor))

    low, high = 1.0, float(max(width, height))
    for _ in range(60):
        middle = (low + high) / 2
        if len(Grid(*size(middle), policy.tile_px)) > policy.max_tiles:
            low = middle
        else:
            high = middle
    return size(high)


def _regions(native: Grid, policy: GridPolicy) -> tuple[PixelWindow, ...]:
    """Split a raster into regions of whole tiles, nearly square and nearly equal."""
    side = max(1, int(policy.max_tiles**0.5))
    columns = _shares(native.columns, max(1, min(policy.max_tiles // side, native.columns)))
    rows = _shares(native.rows, max(1, min(policy.max_tiles // max(columns), native.rows)))
    regions = []
    top = 0
    for tile_rows in rows:
        height = min(tile_rows * policy.tile_px, native.height - top)
        left = 0
        for tile_columns in columns:
            width = min(tile_columns * policy.tile_px, native.width - left)
            regions.append(PixelWindow(left, top, width, height))
            left += width
        top += height
    return tuple(regions)


def _shares(total: int, most: int) -> list[int]:
    parts = -(-total // most)
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _over_budget(native: Grid, policy: GridPolicy) -> PolicyError:
    fitting = _fitting_size(native.width, native.height, policy)
    return PolicyError(
        f"{len(native)} tiles at native resolution need {_tokens(native, policy)} tokens; "
        f"the budget is {policy.max_tokens}.",
        remedy='Pass beyond_budget="decimate" or "super-tiles", or raise max_tokens.',
        code="raster.over_budget",
        facts={
            "tiles": len(native),
            "tokens": _tokens(native, policy),
            "max_tokens": policy.max_tokens,
            "fitting_width_px": fitting[0],
            "fitting_height_px": fitting[1],
        },
    )
