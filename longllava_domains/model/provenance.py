"""`model_provenance`: which weights these are and how they were loaded."""

from importlib.metadata import version
from pathlib import Path

from longllava_domains.model.checkpoint.adapter.merge import adapter_sha256
from longllava_domains.model.checkpoint.card import card_domains
from longllava_domains.model.checkpoint.load import open_checkpoint
from longllava_domains.model.checkpoint.source import Source
from longllava_domains.model.int8.quantize import coverage
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.provenance import (
    DRAWINGS_NOTICE,
    RESEARCH_NOTICE,
    UNTRAINED_NOTICE,
    Provenance,
)


def model_provenance(
    source: Source,
    network: LongLlavaForConditionalGeneration,
    adapter: Path | None,
    adapter_name: str | None = None,
) -> Provenance:
    """Record which weights these are; a folder's name is the user's, so only a hash stands for it.

    ``model_sha256`` is `WeightFiles.fingerprint`: headers and samples of the weights.

    Args:
        source: Where the checkpoint was found.
        network: As it was loaded.
        adapter: The folder of the adapter that was merged, if one was.
        adapter_name: Its repository or its name in the package, None for the user's own folder.
    """
    config = network.config
    fingerprint = open_checkpoint(source.folder).files.fingerprint()
    names = ("longllava-domains", "torch", "transformers")
    facts: dict[str, object] = {
        "model": source.hub_id or ("demo" if source.demo else f"local:{fingerprint[:8]}"),
        "model_sha256": fingerprint,
        "demo": config.demo,
        "trained": config.trained,
        "trained_domains": card_domains(source.folder, adapter),
        "allowed_unexpected": network.allowed_unexpected,
        "dtype": str(config.dtype).removeprefix("torch."),
        "quantization": _quantization(network),
        "device": str(network.input_device),
        "tokens_per_image": config.tokens_per_image,
        "trained_length": config.trained_length,
        "versions": {name: version(name) for name in names},
        "notices": _notices(config.demo, config.trained),
    }
    if source.revision is not None:
        facts["model_revision"] = source.revision
    if adapter is not None:
        digest = adapter_sha256(adapter)
        facts |= {"adapter": adapter_name or f"local:{digest[:8]}", "adapter_sha256": digest}
    return Provenance(**facts)


def _quantization(network: LongLlavaForConditionalGeneration) -> dict[str, object] | None:
    """Say what is in 8 bits, by part, as fractions."""
    if network.config.quantization is None:
        return None
    parts = {
        each.part.replace(" ", "_"): each.int8 / (each.int8 + each.kept)
        for each in coverage(network)
    }
    return {"precision": network.config.quantization, "fraction_int8": parts}


def _notices(demo: bool, trained: bool) -> list[str]:
    if not demo:
        return [RESEARCH_NOTICE]
    return [RESEARCH_NOTICE, DRAWINGS_NOTICE if trained else UNTRAINED_NOTICE]
