"""Remedies as they are typed: errors name Python's arguments, a shell has options.

An error is raised far below the command line and names what a program would write. `typed` turns that
into the options of the command that runs. A row of the table is used only where the command has the
options that it names, so that a remedy can be typed where it is printed.
"""

import re
from collections.abc import Collection
from typing import Final

_OPTION: Final = re.compile(r"--[a-z][a-z0-9-]*")

# Python's spelling -> how it is typed; the first wording whose options the command has. The last
# one names no option, or the row is left alone. COMMAND stands for the command that runs.
_TABLE: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (r"Choose another name, or pass overwrite=True", ("Choose another name, or remove that file",)),
    # how a CT is opened
    (r"Leave series=None", ("Leave --series out",)),
    (r"series=NUMBER of ct\.list_series\(path\)", ("--series ROW, by its row in longllava series",)),
    (r"series=NUMBER", ("--series NUMBER",)),
    (r"with series=(?=[ .])", ("with --series",)),
    (r"a row number or key of ct\.list_series\(path\)",
     ("a row number or key of longllava series as --series",)),
    (r"ct\.list_series\(path\)", ("longllava series",)),
    (r'[Ll]eave hu="prove"', ("Leave --hu out",)),
    (r"hu=\(slope, intercept\)", ("--hu SLOPE,INTERCEPT",)),
    (r'Pass "prove", "trust", a CT-RATE scan, or \(slope, intercept\) with a slope',
     ("Use --hu prove, --hu trust or --hu SLOPE,INTERCEPT : finite numbers, and no slope of 0",)),
    (r'hu="(\w+)"', (r"--hu \1",)),
    (r'repair=\("([^"]+)",\)', (r"--repair \1",)),
    (r'purpose="(\w+)" or "(\w+)"', (r"--purpose \1 or \2",)),
    (r'purpose="(\w+)"', (r"--purpose \1",)),
    (r', or show the slices as they are: SlicePolicy\(at="acquired"\)', ("",)),
    (r"Pass it to ct\.open_volume", ("Give it to longllava views",)),
    (r'windows="(\w+)"', (r"--window \1",)),
    (r"Add calibration=FILE", ("Add --calibration FILE",)),
    # what is shown
    (r"\((?:Slice|Grid|Tile)Policy\([^)]*\), (?=--)", ("(",)),
    (r"Correct the policy; every field's range is in the help of SlicePolicy",
     ("Correct the option: longllava COMMAND --help says what each takes",)),
    (r"See (?:Tile|Zoom)Policy for what each setting takes",
     ("Correct the option: longllava COMMAND --help says what each takes",)),
    (r"Raise max_tokens to (\d+) at least, or lower reserved_tokens or tokens_per_view",
     (r"Raise --max-tokens to \1 at least",)),
    (r"Raise max_views, or ask about fewer regions", ("Raise --most",)),
    (r'Draw the tissue \(tissue=[^,]*\), lower tissue_min, or use protocol="([^"]+)"',
     (r"Use --protocol \1",)),
    (r", or raise memory_limit_bytes", ("",)),
    (r"Lower max_new_tokens", ("Lower --max-new-tokens",)),
    (r"Leave max_new_tokens out", ("Leave --max-new-tokens out",)),
    (r"\bspacing_mm\b", ("--every-mm",)),
    (r"\bmax_views\b", ("--most",)),
    # how a slide or a raster is opened
    (r"Pass mpp= with the microns", ("Give --mpp with the microns",)),
    (r"mpp= must", ("--mpp must",)),
    (r'[Pp]ass crs="EPSG:\.\.\." to open_raster', ("Give --crs EPSG:CODE",)),
    (r'crs="EPSG:\.\.\."', ("--crs EPSG:CODE",)),
    (r"with crs=(?=[ ,.])", ("with --crs",)),
    (r", or a Stretch\b", ("",)),
    (r'stretch="percentile", a preset or a Stretch', ("--stretch percentile, or another name",)),
    (r'bands=\("?(\w+)"?, "?(\w+)"?, "?(\w+)"?\)', (r"--bands \1,\2,\3",)),
    (r'bands="([^"]+)"', (r"--bands \1",)),
    (r"; scenes beside each other are one open_raster\(\[\.\.\.\]\)",
     ("; join scenes beside each other with gdalbuildvrt",)),
    # how findings and answers are named
    (r"Name columns of the table with labels=", ("Name columns of the table with --finding",)),
    (r"are given as references", ("are given with --references", "are given with --data")),
    (r'Use a number pair "width/level"', ('Repeat --window for several. Use a number pair "width/level"',)),
    # how a model is loaded
    (r"Name the model that it was trained on, and give the folder as the adapter",
     ("Name the model that it was trained on, and give the folder with --adapter",
      "Name the model that it was trained on")),
    (r"(?<!\w)dtype='(\w+)'(?: or '(\w+)')?", (r"--dtype \1", r"--precision \1", r"\1")),
    (r"""quantization=['"](\w+)['"]""", (r"--quantization \1", r"--precision \1", r"\1")),
    (r"kv_cache_dtype='int8', or 'auto'", ("--kv-cache-dtype int8, or auto",)),
    (r"Pass tower=FOLDER with the weights of (\S+?)\.?$",
     (r"Put the weights and the config.json of \1 into a folder vision_tower beside config.json.",)),
    (r", or excuse tensors you know with allow_unexpected=REGEX", ("",)),
    # what is written and sent
    (r"or name them with ZoomPolicy\(at=\.\.\.\)", ("or name them with --zoom-at",)),
    (r", and most=1 or more", ("",)),
    (r"Use to_json or GeoJSON", ("Use a .json or .geojson output",)),
    (r"Use to_json(, which| for what)", (r"Use a .json output\1",)),
    (r"or use to_json", ("or leave --sr and --fhir out",)),
    (r"to_json works for (\w+)(?: one)?", (r"--out works for \1",)),
    (r"Save (?:the )?pixel coordinates with to_json\(\)",
     ("Leave --out out: pixel coordinates are printed",)),
    (r"Send files that save_dicom_sr wrote", ("Send files that longllava report --sr wrote",)),
    (r"with save_dicom_sr", ("with longllava report --sr",)),
    (r"pass calling_title=", ("give --calling-title",)),
    # training and scores
    (r"given as data\b", ("given as --data", "given as FOLDER")),
    (r"data=FOLDER#NAME", ("--data FOLDER#NAME", "FOLDER#NAME")),
    (r"with decode=True \(([^)]+)\)", (r"with \1",)),
    (r"(?:Set|set) lora\.dropout to 0", ("Give --set lora.dropout=0",)),
    (r"Change one of", ("With --set change one of",)),
    (r"tokens_per_row=(\d+)", (r"--set tokens_per_row=\1",)),
    (r'missing="(\w+)" or missing="(\w+)"', (r"--missing \1 or --missing \2",)),
    (r"Give fit_predictions and fit_references",
     ("Give --set fit_predictions=FILE and --set fit_references=FILE",)),
    (r"Pass labeller=, a function from", ("Score it from Python: labeller= is a function from",)),
    (r"\bCheck (\w+_field)\b", (r"Check --set \1=NAME",)),
    (r"\b([a-z_]+)=(?=[,.])", (r"--set \1=VALUE",)),
    (r'\b([a-z_]+)="([^"]+)"', (r"--set \1=\2",)),
)  # fmt: skip

# "chunk_tokens cannot be 0", "...: rounds must be ...": a setting, where a message speaks of it.
_SETTING: Final = re.compile(
    r"(?:^|(?<=: ))([a-z][a-z0-9_.]*)(?= (?:cannot be|has no effect|must be) )"
)
# Settings whose option has another name; every other has an option of its own name, or is one that
# --set takes.
_OTHER_NAMES: Final = {
    "at": "--zoom-at",
    "by": "--zoom-by",
    "fields": "--zoom",
    "max_views": "--most",
    "mpp": "--view-mpp",
    "regions": "--region",
    "rounds": "--zoom-rounds",
    "tokens_per_view": "--tokens-per-image",
    "views": "--images",
}
_COMPILED: Final = tuple((re.compile(python), shell) for python, shell in _TABLE)


def typed(text: str, command: str, options: Collection[str]) -> str:
    """Return a remedy, or a message, in the spelling of the command that runs.

    Args:
        text: As the error has it.
        command: Name of the command, such as ``"archive scan"``.
        options: Its options, with their dashes.
    """
    for python, wordings in _COMPILED:
        for wording in wordings:
            if set(_options_of_this(wording)) <= set(options):
                text = python.sub(wording, text)
                break
    text = _SETTING.sub(lambda named: _option_of(named[1], options), text)
    return text.replace("longllava COMMAND", f"longllava {command}".rstrip())


def _option_of(setting: str, options: Collection[str]) -> str:
    """Return how a setting is given to a command; the setting itself where it cannot be given."""
    own = f"--{setting.replace('_', '-')}"
    for option in (_OTHER_NAMES.get(setting, own), own):
        if option in options:
            return option
    return f"--set {setting}" if "--set" in options else setting


def _options_of_this(wording: str) -> list[str]:
    """Return the options that a wording names of the command that runs; other commands are named."""
    if "longllava report" in wording or "longllava COMMAND" in wording:
        return []
    return _OPTION.findall(wording)
