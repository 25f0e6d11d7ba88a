"""Joining files: a mosaic of scenes, or one scene from files that hold one band each."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longllava_domains.errors import GeoreferenceError, UnsupportedInputError
from longllava_domains.remote_sensing.crs import between, parse_crs
from longllava_domains.remote_sensing.georeference import AffineMap, Georeference, Point
from longllava_domains.remote_sensing.io.opened_file import Opened
from longllava_domains.remote_sensing.mosaic.composite_source import (
    MosaicSource,
    MosaicTile,
    StackSource,
)
from longllava_domains.remote_sensing.mosaic.warp import MapGrid, level, warp

# Files whose pixels are this close to the mosaic's grid lie on it.
_ON_GRID_PX = 0.01
# Scenes scattered over the globe make a mosaic of nothing, but one of absurd size.
_SCATTERED = 200.0
_SCATTERED_PX = 2**32
_EDGE_STEPS = 16
# Scenes with less of the smallest in common are neighbours, not dates of one place.
_ONE_PLACE = 0.25
# How far GDAL's warper may put a pixel off.
_WARPED_PX = 0.125


def mosaic(files: Sequence[Opened]) -> Opened:
    """Put files beside each other on the grid of the first.

    Files on that grid are read as they are; only the others are warped, and those that have control
    points instead of a geotransform. Where files overlap, the first with data is shown.

    Args:
        files: Two or more.

    Raises:
        GeoreferenceError: A file has no georeference or CRS, or cannot be projected.
        UnsupportedInputError: Types, channels or scales differ, or the files lie far apart.
    """
    _require_alike(files)
    files = [level(file) for file in files]
    grid = _own_grid(files[0])
    footprints = [_footprint(file, grid) for file in files]
    left = min(box[0] for box in footprints)
    top = min(box[1] for box in footprints)
    width = max(box[2] for box in footprints) - left
    height = max(box[3] for box in footprints) - top
    _require_compact(width, height, footprints)
    tiles, joined = [], []
    for file, box in zip(files, footprints, strict=True):
        if not _on_grid(file, grid):
            file = warp(file, grid.shifted(box[0], box[1], box[2] - box[0], box[3] - box[1]))
        joined.append(file)
        tiles.append(MosaicTile(file.source, box[0] - left, box[1] - top))
    place = Georeference(grid.shifted(left, top, width, height).affine, grid.crs)
    return _joined(joined, MosaicSource(tiles, width, height), place)


def common_grid(files: Sequence[Opened]) -> tuple[list[Opened], dict[str, int], dict[str, float]]:
    """See files of one place on one grid: the finest of theirs, where all of them overlap.

    Args:
        files: Two or more.

    Returns:
        The files on that grid, all of one size, and codes and numbers for the report.

    Raises:
        GeoreferenceError: A file has no georeference or CRS (unless none has, and all have one size),
            or they do not show one place.
    """
    sizes = {(file.source.width, file.source.height) for file in files}
    if all(file.place.kind == "none" for file in files) and len(sizes) == 1:
        return list(files), {"dates.by_pixel": 1}, {}
    files = [level(file) for file in files]
    finest = min(range(len(files)), key=lambda n: files[n].place.ground_size_m(0, 0) or (1e9,))
    grid = _own_grid(files[finest])
    boxes = [_footprint(file, grid) for file in files]
    left, top = max(box[0] for box in boxes), max(box[1] for box in boxes)
    right, bottom = min(box[2] for box in boxes), min(box[3] for box in boxes)
    smallest = min((box[2] - box[0]) * (box[3] - box[1]) for box in boxes)
    share = max(0, right - left) * max(0, bottom - top) / smallest
    if right <= left or bottom <= top or share < _ONE_PLACE:
        raise GeoreferenceError(
            f"The scenes have {share:.0%} of the smallest in common: they do not show one place.",
            remedy="Pass dates of one place; scenes beside each other are one open_raster([...]).",
            code="raster.dates_apart",
            facts={"common": share},
        )
    shared = grid.shifted(left, top, right - left, bottom - top)
    place = Georeference(shared.affine, shared.crs)
    seen, resampled, drift = [], 0, 0.0
    for file, box in zip(files, boxes, strict=True):
        if _on_grid(file, grid):
            tile = MosaicTile(file.source, box[0] - left, box[1] - top)
            source = MosaicSource([tile], shared.width, shared.height)
            seen.append(replace(file, source=source, place=place))
            column, row = _first_pixel(file, grid)
            drift = max(drift, math.dist((column, row), (round(column), round(row))))
        else:
            seen.append(warp(file, shared))
            resampled += 1
            drift = max(drift, _WARPED_PX)
        drift = max(drift, file.numbers.get("gcp_residual_px", 0.0))
    numbers = {"dates_residual_px": drift, "dates_common_share": share}
    return seen, {"dates.resampled": resampled} if resampled else {}, numbers


def stack(files: Sequence[Opened]) -> Opened:
    """Read files that hold one band each as one scene, on the finest of their grids.

    Args:
        files: One per channel, in order; each shows one band.

    Raises:
        GeoreferenceError: A file has no georeference, and its size differs from the others'.
    """
    finest = max(files, key=lambda file: file.source.width * file.source.height)
    size = (finest.source.width, finest.source.height)
    if any((f.source.width, f.source.height) != size or f.place != finest.place for f in files):
        files = [level(file) for file in files]
        grid = _own_grid(max(files, key=lambda file: file.source.width * file.source.height))
        files = [file if _own_grid(file) == grid else warp(file, grid) for file in files]
    joined = _joined(files, StackSource([file.source for file in files]), files[0].place)
    return replace(
        joined,
        scales=tuple(file.scales[0] for file in files),
        offsets=tuple(file.offsets[0] for file in files),
    )


def _joined(files: Sequence[Opened], source: Any, place: Georeference) -> Opened:
    codes: dict[str, int] = {}
    for file in files:
        for code, count in file.codes.items():
            codes[code] = codes.get(code, 0) + count
    local = all(file.files for file in files)
    taken = files[0].acquired
    for file in files[1:]:
        taken = taken.joined(file.acquired)
    ids = {file.stac_id for file in files}
    return Opened(
        source=source,
        place=place,
        scales=files[0].scales,
        offsets=files[0].offsets,
        palette=files[0].palette,
        full_scale=files[0].full_scale,
        codes=codes,
        numbers={"files": len(files)},
        hrefs=tuple(href for file in files for href in file.hrefs),
        files=tuple(name for file in files for name in file.files) if local else (),
        acquired=taken,
        stac_id=ids.pop() if len(ids) == 1 else None,
    )


def _require_alike(files: Sequence[Opened]) -> None:
    first = files[0]
    for file in files[1:]:
        alike = (
            file.source.dtype == first.source.dtype
            and file.source.channels == first.source.channels
            and (file.scales, file.offsets) == (first.scales, first.offsets)
            and (_colours(file), file.full_scale) == (_colours(first), first.full_scale)
        )
        if not alike:
            raise UnsupportedInputError(
                "The files of the mosaic differ in type, number of bands, scale or palette.",
                remedy="Open them one by one, or choose bands that all of them have.",
                code="raster.mosaic_mixed",
                facts={"files": len(files)},
            )


def _colours(file: Opened) -> Any:
    return None if file.palette is None else file.palette.tolist()


def _own_grid(file: Opened) -> MapGrid:
    pixel_map, crs = file.place.pixel_map, file.place.crs
    assert isinstance(pixel_map, AffineMap), "level() gives every file a geotransform"
    assert crs is not None, "level() refuses files without a CRS"
    return MapGrid(pixel_map, crs, file.source.width, file.source.height)


def _footprint(file: Opened, grid: MapGrid) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a file in pixels of the grid, whole pixels outward."""
    size = (file.source.width, file.source.height)
    if _on_grid(file, grid):
        column, row = _first_pixel(file, grid)
        return round(column), round(row), round(column) + size[0], round(row) + size[1]
    to_grid = between(file.place.crs, grid.crs)
    around = [to_grid(*file.place.pixel_to_map(*point)) for point in _border(*size)]
    if not all(math.isfinite(value) for point in around for value in point):
        raise _unreachable()
    if parse_crs(grid.crs).is_geographic:
        around = _unrolled(around, grid)
    corners = [grid.affine.backward(*point) for point in around]
    columns, rows = zip(*corners, strict=True)
    # A hair inside a pixel's border must not add a whole row of nothing.
    left, top = math.floor(min(columns) + _ON_GRID_PX), math.floor(min(rows) + _ON_GRID_PX)
    right, bottom = math.ceil(max(columns) - _ON_GRID_PX), math.ceil(max(rows) - _ON_GRID_PX)
    return left, top, right, bottom


def _on_grid(file: Opened, grid: MapGrid) -> bool:
    """Return whether a file's pixels are pixels of the grid."""
    own = file.place.pixel_map
    if not isinstance(own, AffineMap) or file.place.crs != grid.crs:
        return False
    turn = _turn(own.forward(file.source.width / 2, file.source.height / 2)[0], grid)
    far_x, far_y = own.forward(file.source.width, file.source.height)
    near_x, near_y = own.forward(file.source.width, 0)
    column, row = _first_pixel(file, grid)
    far = grid.affine.backward(far_x + turn, far_y)
    near = grid.affine.backward(near_x + turn, near_y)
    drifts = (
        column - round(column),
        row - round(row),
        far[0] - column - file.source.width,
        far[1] - row - file.source.height,
        near[1] - row,
    )
    return all(abs(drift) < _ON_GRID_PX for drift in drifts)


def _first_pixel(file: Opened, grid: MapGrid) -> Point:
    middle_x, _ = file.place.pixel_to_map(file.source.width / 2, file.source.height / 2)
    x, y = file.place.pixel_to_map(0, 0)
    return grid.affine.backward(x + _turn(middle_x, grid), y)


def _turn(x: float, grid: MapGrid) -> float:
    """Return the whole turns that bring a longitude within half a turn of the grid's middle.

    180 is no edge, and a file is turned as a whole, or one around the world would be cut in two.
    """
    if not parse_crs(grid.crs).is_geographic:
        return 0.0
    middle, _ = grid.affine.forward(grid.width / 2, grid.height / 2)
    return 360.0 * round((middle - x) / 360)


def _unrolled(around: Sequence[Point], grid: MapGrid) -> list[Point]:
    """Return a border in longitudes that run on across 180.

    Raises:
        GeoreferenceError: It goes once around: the raster holds a pole, and no box of longitudes
            and latitudes around its border would.
    """
    xs = [around[0][0]]
    for x, _ in (*around[1:], around[0]):
        xs.append(x + 360.0 * round((xs[-1] - x) / 360))
    if abs(xs[-1] - xs[0]) > 180:
        raise _unreachable()
    turn = _turn((min(xs) + max(xs)) / 2, grid)
    return [(x + turn, y) for x, (_, y) in zip(xs[:-1], around, strict=True)]


def _unreachable() -> GeoreferenceError:
    return GeoreferenceError(
        "A raster of the mosaic reaches outside the first one's projection, or holds a pole.",
        remedy="Put a file first whose CRS covers them all, such as EPSG:4326 or a polar one.",
        code="raster.warp",
    )


def _border(width: int, height: int) -> list[Point]:
    """Return points around a raster's border in pixels, one after the other."""
    shares = [step / _EDGE_STEPS for step in range(_EDGE_STEPS)]
    top = [(share * width, 0.0) for share in shares]
    right = [(float(width), share * height) for share in shares]
    bottom = [((1 - share) * width, float(height)) for share in shares]
    left = [(0.0, (1 - share) * height) for share in shares]
    return top + right + bottom + left


def _require_compact(width: int, height: int, boxes: Sequence[tuple[int, int, int, int]]) -> None:
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if width * height > max(_SCATTERED * covered, _SCATTERED_PX):
        raise UnsupportedInputError(
            f"The files lie so far apart that their mosaic would be {width} x {height} pixels, "
            f"{covered / (width * height):.2%} of it covered.",
            remedy="Open groups of neighbouring files.",
            code="raster.mosaic_scattered",
            facts={"width": width, "height": height},
        )
