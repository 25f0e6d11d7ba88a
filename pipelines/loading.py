"""Load a model for a pipeline, with one object for how."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from longllava_domains.arguments import checked
from longllava_domains.vision_language import LoadOptions, VisionLanguageModel

OnProgress = Callable[[str, int, int], None]


def for_domain(model: str | Path, options: LoadOptions, domain: str | None) -> LoadOptions:
    """Return the options with the adapter that the demonstration model has for a domain.

    An adapter that was asked for stays, and ``"none"`` asks for none.
    """
    from longllava_domains.model.checkpoint.adapter.packaged import domain_adapter

    if domain is None:
        return options
    return replace(options, adapter=domain_adapter(model, options.adapter, domain))


def require_adapter(model: str | Path | None, options: LoadOptions, domain: str | None) -> None:
    """Refuse an adapter that is not here, before an input is read or anything is written.

    The hub is not asked: an adapter of that spelling is fetched with the model.

    Args:
        model: What it will be put on; None where no model is loaded.
        options: How that is loaded.
        domain: What the model will look at, see `for_domain`.

    Raises:
        CheckpointError: No adapter of that name, or a folder that holds none.
        PolicyError: A packaged adapter of another domain.
    """
    if model is None or options.adapter is None:
        return
    from longllava_domains.model.checkpoint.adapter.merge import adapter_here
    from longllava_domains.model.checkpoint.adapter.packaged import NO_ADAPTER

    adapter = for_domain(model, options, domain).adapter
    if adapter is not None and adapter != NO_ADAPTER:
        adapter_here(adapter)


def load(
    model: str | Path,
    options: LoadOptions,
    on_progress: OnProgress | None = None,
    *,
    domain: str | None = None,
) -> VisionLanguageModel:
    """Load a model; torch is imported here, not before.

    Args:
        model: ``"demo"``, a folder or a hub id.
        options: How it is loaded, see `load_model`.
        on_progress: Called with (stage, tensors read, tensors in all).
        domain: What it will look at, see `for_domain`.

    Raises:
        ModelError: The model cannot be loaded.
    """
    from longllava_domains.model import load_model

    options = for_domain(model, options, domain)
    return load_model(
        model,
        adapter=options.adapter,
        tokenizer=options.tokenizer,
        device=options.device,
        dtype=options.dtype,
        quantization=options.quantization,
        kv_cache_dtype=options.kv_cache_dtype,
        on_progress=None if on_progress is None else partial(on_progress, "loading the model"),
    )


class AsksAModel:
    """Base of the pipelines that are made of a model and nothing else that must be given.

    Args:
        model: A loaded model.

    Attributes:
        domain: What it looks at, for `for_domain`; None for anything.
    """

    domain: ClassVar[str | None] = None

    def __init__(self, model: Any) -> None:
        self.model = model

    @classmethod
    @checked
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        tokenizer: str | Path | None = None,
        device: Any = None,
        dtype: Any = "auto",
        quantization: str | None = None,
        kv_cache_dtype: str = "auto",
    ) -> Self:
        """Load a model and make the pipeline.

        Args:
            model: ``"demo"``, a folder or a hub id.
            adapter: As for `load_model`; by default, the demonstration model's own of the domain.
            tokenizer: As for `load_model`.
            device: As for `load_model`.
            dtype: As for `load_model`.
            quantization: As for `load_model`.
            kv_cache_dtype: As for `load_model`.

        Raises:
            ModelError: The model cannot be loaded.
        """
        options = LoadOptions(adapter, tokenizer, device, dtype, quantization, kv_cache_dtype)
        return cls(load(model, options, domain=cls.domain))
