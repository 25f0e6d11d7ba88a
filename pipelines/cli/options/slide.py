"""The options that commands share which open a slide: resolution, fields, regions, closer looks."""

from typing import Annotated, Any, Final

import typer

from longllava_domains.pipelines.cli.options.shared import OptionGroup


def _said(**values: Any) -> dict[str, Any]:
    """Return what was given, as settings of a slide; what was not given is left out."""
    several = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return {name: value for name, value in {**values, **several}.items() if value not in (None, ())}


def _option(kind: Any, text: str, name: str | None = None) -> tuple[Any, None]:
    names = () if name is None else (name,)
    return Annotated[kind | None, typer.Option(*names, help=f"Slide: {text}")], None


_WHERE: Final = {
    "mpp": _option(float, "microns per pixel of level 0, in place of the file's"),
    "view_mpp": _option(float, "finest microns per pixel of the views"),
    "regions": _option(
        list[str],
        "part to look at: X,Y,WIDTH,HEIGHT in level-0 pixels, or a GeoJSON file; two are compared",
        "--region",
    ),
    "tissue": _option(str, "GeoJSON file that draws the tissue, in place of the detector"),
    "origin": _option(str, "where GeoJSON files count from: slide, or bounds as QuPath does"),
}

SEARCHING_SLIDE: Final = OptionGroup(_said, _WHERE)
OPENING_SLIDE: Final = OptionGroup(
    _said,
    {**_WHERE, "protocol": _option(str, "joint-lowmag@1, native-tiles@1, ...")},
)
ASKING_SLIDE: Final = OptionGroup(
    _said,
    {
        **OPENING_SLIDE.options,
        "zoom": _option(
            int, "number of fields to see closer after a first answer, before asking again"
        ),
        "zoom_at": _option(
            list[str],
            "a field to see closer: X,Y,WIDTH,HEIGHT, or a GeoJSON file; repeat for several",
        ),
        "zoom_rounds": _option(int, "how often, 1 by default"),
        "zoom_by": _option(str, "who chooses: attention (the default) or named (the model)"),
    },
)
