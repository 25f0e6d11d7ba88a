"""`LoadedModel`: a network with its tokenizer, what a session needs of a model."""

from pathlib import Path

import torch

from longllava_domains.errors import SessionError
from longllava_domains.model.layers.kv_storage import KvCacheDtype
from longllava_domains.model.network.auto_processor import LongLlavaProcessor
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.processor import Processor
from longllava_domains.provenance import Provenance
from longllava_domains.vision_language import ViewFormat


class LoadedModel:
    """A loaded model.

    Args:
        network: The torch module, on its device.
        processor: Prepares views and text for it.
        provenance: Which weights these are and how they were loaded.
        kv_cache_dtype: How its sessions keep keys and values, see `load_model`.
    """

    def __init__(
        self,
        network: LongLlavaForConditionalGeneration,
        processor: Processor,
        provenance: Provenance,
        *,
        kv_cache_dtype: KvCacheDtype = "auto",
    ) -> None:
        self._network: LongLlavaForConditionalGeneration | None = network
        self.processor = processor
        self.provenance = provenance
        self.kv_cache_dtype: KvCacheDtype = kv_cache_dtype

    def __repr__(self) -> str:
        name, precision = self.provenance.get("model"), self.provenance.get("precision")
        return f"{type(self).__name__}({name!r}, {precision})"

    @property
    def network(self) -> LongLlavaForConditionalGeneration:
        """The torch module.

        Raises:
            SessionError: It was unloaded.
        """
        if self._network is None:
            raise SessionError(
                "The model was unloaded.",
                remedy="Load it again with load_model, and open new sessions.",
                code="session.unloaded",
            )
        return self._network

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.network.input_device

    @property
    def view_format(self) -> ViewFormat:
        """The size of one view for this network, and its cost in tokens."""
        config = self.network.config
        return ViewFormat(
            config.view_px,
            config.tokens_per_image,
            config.trained_length,
            None if config.chips_px is None else (config.chips_px[0], config.chips_px[1]),
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the network and its processor, for `load_model` and for the Auto classes.

        Raises:
            OutputError: A network in 8 bits cannot be written there.
        """
        self.network.save_pretrained(folder)
        LongLlavaProcessor.build(self.processor.tokenizer, self.network.config).save_pretrained(
            folder
        )

    def unload(self) -> None:
        """Let go of the network; its sessions can then only be closed."""
        self._network = None
