"""`LoadedModel`: a network with its tokenizer, what a session needs of a model."""

import time
from datetime import UTC, datetime

import torch

from longllava_domains.answer import Answer
from longllava_domains.errors import SessionError
from longllava_domains.model.kernels.selection import kernel_report
from longllava_domains.model.layers.kv_storage import KvCacheDtype
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.processor import Processor
from longllava_domains.model.session.decoding import Decoded
from longllava_domains.model.session.prefill import Pace
from longllava_domains.prompt import Prompt, Protocol
from longllava_domains.provenance import Provenance
from longllava_domains.visual import VisualSequence


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
        """Where the network is."""
        device: torch.device = self.network.get_input_embeddings().weight.device
        return device

    def unload(self) -> None:
        """Let go of the network; its sessions can then only be closed."""
        self._network = None

    def build_answer(
        self,
        sequence: VisualSequence | None,
        prompt: Prompt,
        decoded: Decoded,
        *,
        protocol: Protocol,
        pace: Pace,
        max_new_tokens: int,
        began: float,
    ) -> Answer:
        """Put what was generated into an `Answer` that says how it came about.

        Args:
            sequence: What was shown.
            prompt: The whole prompt.
            decoded: What was generated.
            protocol: How views were spelled.
            pace: Tokens and views of one step.
            max_new_tokens: Longest answer allowed.
            began: `time.perf_counter` when the question was asked.
        """
        tokens = len(self.processor.encode(prompt))
        made = self._prompt_provenance(sequence, prompt, tokens).with_(
            protocol=protocol,
            max_new_tokens=max_new_tokens,
            stop=decoded.stopped,
            kv_cache_dtype=self.kv_cache_dtype,
            chunk_tokens=pace.chunk_tokens,
            view_batch=pace.view_batch,
            out_of_memory_retries=pace.retries,
            kernels=kernel_report(self.device),
            seconds=round(time.perf_counter() - began, 3),
        )
        text = self.processor.tokenizer.decode(decoded.tokens).strip()
        return Answer(text, tuple(decoded.tokens), decoded.stopped, tuple(decoded.logprobs), made)

    def _prompt_provenance(
        self, sequence: VisualSequence | None, prompt: Prompt, tokens: int
    ) -> Provenance:
        shown = Provenance() if sequence is None else sequence.provenance
        notices = {*shown.get("notices", ()), *self.provenance["notices"]}
        config = self.network.config
        beyond = max(0, tokens - config.trained_length) if config.trained else 0
        if beyond:
            notices.add("Beyond the length the model was trained on.")
        return shown.with_(**self.provenance).with_(
            views=0 if sequence is None else len(sequence),
            prompt_sha256=prompt.sha256(),
            tokens=tokens,
            beyond_trained_length=beyond,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            notices=sorted(notices),
        )
