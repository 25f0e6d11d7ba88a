"""Load a model for a pipeline, with one object for how."""

from pathlib import Path

from longllava_domains.vision_language import LoadOptions, VisionLanguageModel


def load(model: str | Path, options: LoadOptions) -> VisionLanguageModel:
    """Load a model; torch is imported here, not before.

    Args:
        model: ``"demo"``, a folder or a hub id.
        options: How it is loaded, see `load_model`.

    Raises:
        ModelError: The model cannot be loaded.
    """
    from longllava_domains.model import load_model

    return load_model(
        model,
        adapter=options.adapter,
        tokenizer=options.tokenizer,
        device=options.device,
        dtype=options.dtype,
        quantization=options.quantization,
        kv_cache_dtype=options.kv_cache_dtype,
    )
