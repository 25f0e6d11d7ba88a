"""The options that several commands share, each spelled once and gathered into one object.

typer reads a command's options from its signature. `sharing` puts the options of a group into
the signature in place of the one parameter that takes them all.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Final, get_type_hints

import typer

from longllava_domains.pipelines.cli.options.numbers import above_zero, at_least
from longllava_domains.vision_language import LoadOptions

Model = Annotated[str | None, typer.Option(help='"demo", a folder or a hub id')]

# A command about one model takes it as its argument.
Checkpoint = Annotated[str, typer.Argument(help='"demo", a folder or a hub id')]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
ShowPaths = Annotated[
    bool, typer.Option("--show-paths", help="Name files on this terminal in refusals")
]
EveryMm = Annotated[
    float | None, typer.Option(help="CT: millimetres between slices", callback=above_zero)
]
MaxTokens = Annotated[
    int | None, typer.Option(help="Raster: tokens of the prompt", callback=at_least(1))
]
DomainName = Annotated[str | None, typer.Option(help="ct, pathology, remote_sensing or image")]


@dataclass(frozen=True)
class OptionGroup:
    """Options that become one object.

    Attributes:
        make: Makes the object from the options' values, by keyword.
        options: Name -> (annotation, default), in the order of the help.
    """

    make: Callable[..., Any]
    options: Mapping[str, tuple[Any, Any]]


def _text(help_text: str, default: str | None = None) -> tuple[Any, str | None]:
    kind: Any = str if default is not None else str | None
    return Annotated[kind, typer.Option(help=help_text)], default


LOADING: Final = OptionGroup(
    LoadOptions,
    {
        "adapter": _text(
            "A PEFT adapter: a folder, a hub id, or demo-ct and the like; none for none"
        ),
        "tokenizer": _text("A folder with tokenizer.json"),
        "device": _text("cpu, cuda, cuda:1; the best present by default"),
        "dtype": _text("auto, float32, bfloat16 or float16", "auto"),
        "quantization": _text("int8, or nothing"),
        "kv_cache_dtype": _text("Keys and values: int8, or auto for the model's", "auto"),
    },
)


def sharing(command: Callable[..., None], **groups: OptionGroup) -> Callable[..., None]:
    """Return a command that takes the options of groups in place of some parameters.

    Args:
        command: A command; each name in `groups` is one of its parameters.
        groups: Parameter -> the options that make its value.
    """
    hints = get_type_hints(command, include_extras=True)

    @wraps(command)
    def expanded(**values: Any) -> None:
        made = {
            parameter: group.make(**{name: values.pop(name) for name in group.options})
            for parameter, group in groups.items()
        }
        command(**values, **made)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
        else:
            parameters += [
                inspect.Parameter(name, parameter.KEYWORD_ONLY, default=default, annotation=kind)
                for name, (kind, default) in group.options.items()
            ]
    keywords = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    expanded.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in keywords}
    return expanded
