"""The options that several commands share: which model, how it is loaded, and what is printed."""

from typing import Annotated

import typer

Model = Annotated[str | None, typer.Option(help='"demo", a folder or a hub id')]
Adapter = Annotated[str | None, typer.Option(help="A PEFT adapter folder or hub id")]
Tokenizer = Annotated[str | None, typer.Option(help="A folder with tokenizer.json")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; the best present by default")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16")]
Quantization = Annotated[str | None, typer.Option(help="int8, or nothing")]
KvCacheDtype = Annotated[str, typer.Option(help="Keys and values: int8, or auto for the model's")]

# A command about one model takes it as its argument.
Checkpoint = Annotated[str, typer.Argument(help='"demo", a folder or a hub id')]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
