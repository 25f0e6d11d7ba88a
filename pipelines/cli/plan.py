"""Commands that reckon before they run: `plan`, `plan train`; and `verify`, `convert`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from longllava_domains.errors import MemoryBudgetError, PolicyError
from longllava_domains.files import write_text
from longllava_domains.pipelines.cli.console import refuse_together, stdout, written
from longllava_domains.pipelines.cli.options.numbers import above_zero
from longllava_domains.pipelines.cli.options.shared import AsJson, Checkpoint
from longllava_domains.pipelines.cli.outputs import (
    about,
    require_json,
    require_model_folder,
    require_replaceable,
)
from longllava_domains.units import decimal_bytes
from longllava_domains.vision_language import TRAINED_TOKENS

planning = typer.Typer(help="What fits in a memory, before anything runs.")


_Model = Annotated[str, typer.Option(help='"9b", "53b", "demo", a folder or a hub id')]
_Gigabytes = Annotated[
    float,
    typer.Option("--gpu-memory", help="Memory of one device, GB (1e9)", callback=above_zero),
]
_ExtentMm = Annotated[
    float | None, typer.Option(help="Length of a volume, for spacing", callback=above_zero)
]
_Tflops = Annotated[
    float | None, typer.Option(help="What the device achieves, TFLOP/s", callback=above_zero)
]
_Bandwidth = Annotated[
    float | None, typer.Option(help="Its memory's speed, GB/s", callback=above_zero)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(planning, name="plan", invoke_without_command=True)
    app.command()(convert)
    app.command()(verify)


@planning.callback(invoke_without_command=True)
def plan(
    context: typer.Context,
    model: _Model = "9b",
    precision: Annotated[str, typer.Option(help="bfloat16, float32, int8, int8+lm_head")] = "int8",
    images: Annotated[int, typer.Option(help="Views of one request; 0 for text alone")] = 100,
    gpu_memory: _Gigabytes = 80,
    tokens_per_image: Annotated[int | None, typer.Option(help="576, 144 or 36")] = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="Tokens per forward")] = None,
    batch: Annotated[int, typer.Option(help="Requests held at once")] = 1,
    kv_cache_dtype: Annotated[str, typer.Option(help="Keys and values: auto or int8")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cuda",
    extent_mm: _ExtentMm = None,
    tflops: _Tflops = None,
    bandwidth: _Bandwidth = None,
    as_json: AsJson = False,
) -> None:
    """Parameters, memory, operations and time of a request; the most images; what to choose."""
    if context.invoked_subcommand is not None:
        _require_nothing_before(context)
        return
    from longllava_domains.model.budget.plan import Request
    from longllava_domains.model.devices.throughput import Rate
    from longllava_domains.model.layers.kv_storage import resolve_kv_cache_dtype
    from longllava_domains.pipelines.planning import make_plan

    kept = resolve_kv_cache_dtype(kv_cache_dtype)
    request = Request(images, batch=batch, tokens_per_view=tokens_per_image, kv_cache_dtype=kept)
    if chunk_tokens is not None:
        request = Request(**{**vars(request), "chunk_tokens": chunk_tokens})
    if (tflops is None) != (bandwidth is None):
        raise PolicyError(
            "A time needs both speeds of the device, and one is given.",
            remedy="Give --tflops and --bandwidth, or neither.",
            code="cli.rate",
        )
    rate = None
    if tflops is not None and bandwidth is not None:
        rate = Rate(tflops * 1e12, bandwidth * 1e9, "given")
    found = make_plan(
        model, precision, request, gpu_memory * 1e9, device=device, extent_mm=extent_mm, rate=rate
    )
    if as_json:
        stdout.print_object(found.to_json())
        return
    table = Table("term", "size", "share of the memory")
    for term, size in found.terms:
        table.add_row(term, decimal_bytes(size), f"{size / found.memory_bytes:.1%}")
    stdout.print(table)
    for line in found.lines():
        stdout.print(line, markup=False)


def _require_nothing_before(context: typer.Context) -> None:
    """Refuse options between `plan` and the command below it, which would not see them.

    Raises:
        PolicyError: One was given.
    """
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if getattr(context.get_parameter_source(parameter.name or ""), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise PolicyError(
            f"{' and '.join(given)} before {context.invoked_subcommand} would count for nothing.",
            remedy="Write the options of plan train after the word train; longllava plan train "
            "--help lists them.",
            code="cli.before",
        )


@planning.command()
def train(
    rows: Annotated[int, typer.Option(help="Packed rows in the data")],
    tokens_per_row: Annotated[int, typer.Option(help="Length of a row")] = TRAINED_TOKENS,
    model: _Model = "9b",
    gpus: Annotated[int, typer.Option(help="GPUs that share the model")] = 8,
    gpu_memory: _Gigabytes = 80,
    lora: Annotated[bool, typer.Option("--lora", help="Train an adapter only")] = False,
    lora_rank: Annotated[int, typer.Option(help="Rank of the adapter, with --lora")] = 64,
    epochs: Annotated[int, typer.Option(help="Passes over the data")] = 1,
    views_per_row: Annotated[int, typer.Option(help="Views in a row")] = 0,
    recompute_tokens: Annotated[
        int, typer.Option(help="Tokens of a layer recomputed together; 0 for the whole row")
    ] = 8192,
    offload: Annotated[
        bool, typer.Option("--offload", help="Boundaries wait in the processor's memory")
    ] = False,
    tflops: Annotated[
        float, typer.Option(help="What one GPU achieves, TFLOP/s", callback=above_zero)
    ] = 120,
    as_json: AsJson = False,
) -> None:
    """Memory of each GPU by term under ZeRO-3 or FSDP2, operations and hours. Planned only."""
    from longllava_domains.model.budget.known_models import network_of
    from longllava_domains.model.budget.training import TrainingRun, plan_training

    rank = lora_rank if lora else None
    run = TrainingRun(
        rows, tokens_per_row, gpus, rank, epochs, views_per_row, recompute_tokens, offload
    )
    budget = plan_training(network_of(model, "bfloat16"), run)
    hours = budget.hours(tflops * 1e12)
    if as_json:
        stdout.print_object({**budget.to_json(), "hours": hours})
        return
    table = Table("on each GPU", "size")
    for term, size in budget.terms.items():
        table.add_row(term, decimal_bytes(size))
    table.add_row("peak", decimal_bytes(budget.peak))
    stdout.print(table)
    fits = "yes" if budget.peak <= gpu_memory * 1e9 else "no"
    stdout.print(f"trained parameters: {budget.trained_parameters:,}")
    stdout.print(
        f"fits: {fits} ({decimal_bytes(budget.peak)} of {decimal_bytes(gpu_memory * 1e9)})"
    )
    try:
        budget.require_fit(gpu_memory * 1e9)
    except MemoryBudgetError as refusal:
        stdout.print(f"what may fit: {refusal.remedy}", markup=False)
    stdout.print(f"operations: {budget.flops / 1e15:,.1f} PFLOP")
    stdout.print(f"time: {hours:,.1f} h at {tflops:g} TFLOP/s on each of {gpus} GPUs (given)")


def convert(
    model: Checkpoint,
    output: Annotated[Path, typer.Argument(help="New folder")],
    experts: Annotated[
        str | None, typer.Option(help="Make it dense: expert-0, mean or spherical")
    ] = None,
    down_scale: Annotated[
        float,
        typer.Option(
            help="Factor on the dense down_proj; the original used 0.045", callback=above_zero
        ),
    ] = 1.0,
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter to merge")] = None,
    quantization: Annotated[str | None, typer.Option(help="int8, int8+lm_head")] = None,
    text_model: Annotated[
        bool, typer.Option("--text-model", help="The language model alone, as vLLM reads it")
    ] = False,
) -> None:
    """Write a checkpoint anew: released layout, dense, with an adapter, or in 8 bits."""
    from longllava_domains.model.checkpoint.adapter.merge import adapter_folder
    from longllava_domains.model.checkpoint.convert import convert_checkpoint
    from longllava_domains.model.checkpoint.source import locate

    source = locate(model).folder
    merged = None if adapter is None else adapter_folder(adapter)
    require_model_folder(output, source, merged)
    convert_checkpoint(
        source, output, experts=experts, down_scale=down_scale, adapter=merged,
        quantization=quantization, text_model=text_model,
    )  # fmt: skip
    written(output)


def _require_out(out: Path) -> None:
    with about("--out"):
        require_json(out)
        require_replaceable(out)


def verify(
    model: Checkpoint,
    out: Annotated[Path, typer.Option(help="Where the JSON goes")],
    device: Annotated[str | None, typer.Option(help="cuda or cpu")] = None,
    precision: Annotated[str, typer.Option(help="bfloat16, float32 or int8")] = "bfloat16",
) -> None:
    """Prove a model on a device: kernels, chunks, batches, 8 bits, needle, speed and memory."""
    from longllava_domains.model.budget.known_models import network_of
    from longllava_domains.model.checkpoint.source import locate
    from longllava_domains.model.devices.placement import resolve_device
    from longllava_domains.model.verify.verify import verify_model

    refuse_together(
        lambda: network_of(locate(model).folder, precision),
        lambda: resolve_device(device),
        lambda: _require_out(out),
    )
    found = verify_model(model, resolve_device(device), precision=precision)
    write_text(out, json.dumps(found.to_json(), indent=2) + "\n", overwrite=True)
    table = Table("check", "result", "numbers")
    for check in found.checks:
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in check.numbers.items())
        colour = {"pass": "green", "fail": "red"}.get(check.status, "yellow")
        told = "; ".join(part for part in (numbers, check.reason) if part)
        table.add_row(check.name, f"[{colour}]{check.status}[/]", told)
    stdout.print(table)
    if not found.passed:
        raise typer.Exit(2)
