"""`load_model` and `LongLlava`: a network with its tokenizer, ready to be asked."""

from collections.abc import Sequence
from pathlib import Path

import torch

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked, require_questions
from longllava_domains.model.budget.fit import fitting_steps
from longllava_domains.model.budget.plan import TEXT_TOKENS_PER_VIEW, Request
from longllava_domains.model.checkpoint.adapter.merge import (
    adapter_folder,
    changes_experts,
    merge_adapter,
)
from longllava_domains.model.checkpoint.adapter.packaged import NO_ADAPTER
from longllava_domains.model.checkpoint.load import load_checkpoint, open_checkpoint
from longllava_domains.model.checkpoint.source import Source, download, locate
from longllava_domains.model.devices.device_map import AUTO
from longllava_domains.model.devices.placement import resolve_device
from longllava_domains.model.int8.quantize import quantize_network, resolve_quantization
from longllava_domains.model.layers.kv_storage import resolve_kv_cache_dtype
from longllava_domains.model.loaded import LoadedModel
from longllava_domains.model.network.processor import Processor
from longllava_domains.model.provenance import model_provenance
from longllava_domains.model.session.admission import Work
from longllava_domains.model.session.decoding import MAX_NEW_TOKENS, require_length
from longllava_domains.model.session.prefill import StepSizes
from longllava_domains.model.session.prefix_state import PrefixState
from longllava_domains.model.session.session import Session
from longllava_domains.model.session.shown import require_sequence
from longllava_domains.prompt import PromptProtocol, PromptTokenizer, compose
from longllava_domains.prompt.layouts import Arrangement
from longllava_domains.prompt.protocol import check_text
from longllava_domains.vision_language import Monitor, Progress, Sampling
from longllava_domains.visual import VisualSequence


class LongLlava(LoadedModel):
    """A loaded model that opens sessions and answers questions; made by `load_model`."""

    @checked
    def open(
        self,
        sequence: VisualSequence | None,
        *,
        preamble: str = "",
        protocol: PromptProtocol = "reference",
        chunk_tokens: int | None = None,
        view_batch: int | None = None,
        memory_limit_bytes: int | None = None,
        watch: Monitor | None = None,
    ) -> Session:
        """Look at a sequence of views once, to ask about it many times.

        Memory beyond the weights is the keys and values (they grow with the sequence) and what
        `chunk_tokens` and `view_batch` need. Results do not depend on either; both are halved
        where what is free now is too little, and what then does not fit is refused.

        Args:
            sequence: What the model looks at; None for a conversation about text alone.
            preamble: Text in front of the views, in the first question's turn.
            protocol: How views are spelled; see `prompt.compose`.
            chunk_tokens: Most tokens per forward, 1 or more; by default what suits the device.
            view_batch: Most views per forward of the tower, 1 or more; likewise.
            memory_limit_bytes: Most that keys and values may take; None for no limit.
            watch: Told between chunks, and asked whether to go on.

        Raises:
            PolicyError: `chunk_tokens` or `view_batch` below 1.
            PromptError: Views and text do not make a prompt.
            MemoryBudgetError: The sequence exceeds the limit or the memory that is free, with
                the bytes it needs; nothing was run.
            SessionError: Cancelled, or the model was unloaded.
        """
        require_sequence(sequence)
        check_text([preamble])
        memory = self._memory(chunk_tokens, view_batch, memory_limit_bytes)
        lead = "" if sequence is None else Arrangement.of(sequence, protocol).lead()
        prefix, _ = compose(sequence, preamble + lead, protocol=protocol).split()
        return Session(self, sequence, preamble, prefix, memory, protocol=protocol, watch=watch)

    @checked
    def answer(
        self,
        sequence: VisualSequence | None,
        question: str,
        *,
        history: Sequence[tuple[str, str]] = (),
        protocol: PromptProtocol = "reference",
        max_new_tokens: int = MAX_NEW_TOKENS,
        sampling: Sampling | None = None,
        watch: Monitor | None = None,
    ) -> Answer:
        """Answer one question about a sequence of views.

        Args:
            sequence: What the model looks at; None for a question about text alone.
            question: What is asked; ``<image>`` markers place the views, see `prompt.compose`.
            history: Past (question, answer) rounds, oldest first.
            protocol: How views are spelled; see `prompt.compose`.
            max_new_tokens: Longest answer, tokens.
            sampling: How tokens are drawn; None takes the most likely one each time.
            watch: Told between chunks while views are read, and asked whether to go on.

        Raises:
            PromptError: Views and text do not make a prompt.
            PolicyError: A length that is none.
            MemoryBudgetError: The sequence exceeds the memory that is free; nothing was run.
            SessionError: Cancelled, or the model was unloaded.
            ModelError: The network gave something that is no number.
        """
        require_sequence(sequence)
        require_length(max_new_tokens)
        prompt = compose(sequence, question, history, protocol=protocol)
        require_questions([question])
        prefix, _ = prompt.split()
        memory = self._memory(answer_tokens=max_new_tokens)
        with Session(self, sequence, "", prefix, memory, protocol=protocol, watch=watch) as session:
            return session.answer_prompt(prompt, max_new_tokens=max_new_tokens, sampling=sampling)

    def _memory(
        self,
        chunk_tokens: int | None = None,
        view_batch: int | None = None,
        limit_bytes: int | None = None,
        answer_tokens: int = MAX_NEW_TOKENS,
    ) -> PrefixState:
        kind = "cpu" if self.device.type == "cpu" else "cuda"
        steps = StepSizes.for_device(kind, chunk_tokens, view_batch)
        return PrefixState(
            self.network, steps, limit_bytes, self.kv_cache_dtype, self._admit, answer_tokens
        )

    def _admit(self, work: Work) -> StepSizes:
        """Ask the budget before anything runs."""
        each = self.network.config.tokens_per_image + TEXT_TOKENS_PER_VIEW
        request = Request(
            work.views,
            text_tokens=max(work.tokens - work.views * each, 1),
            held_tokens=work.held,
            answer_tokens=work.answer_tokens,
            chunk_tokens=work.steps.chunk_tokens,
            view_batch=work.steps.view_batch,
            kv_cache_dtype=self.kv_cache_dtype,
        )
        return fitting_steps(self.network, request)


@checked
def load_model(
    model: str | Path,
    *,
    adapter: str | Path | None = None,
    tokenizer: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "auto",
    quantization: str | None = None,
    kv_cache_dtype: str = "auto",
    allow_unexpected: str | None = None,
    on_progress: Progress | None = None,
) -> LongLlava:
    """Load a model by name.

    Args:
        model: ``"demo"``, a folder, or a hub id; only a hub id reaches the network.
        adapter: Folder or hub id of a PEFT adapter, or a packaged one such as ``"demo-ct"``. It is
            merged, before experts are put into 8 bits; beside other weights in 8 bits it stays apart.
        tokenizer: Folder with tokenizer.json; by default the checkpoint's own.
        device: A torch device; ``"auto"`` for all GPUs and, for what does not fit, the processor;
            by default CUDA where there is one, else the CPU.
        dtype: A torch dtype, its name, or ``"auto"`` for the checkpoint's own.
        quantization: ``"int8"``, optionally with ``+lm_head`` and ``+projector``; ``"none"``; by
            default as the checkpoint is stored.
        kv_cache_dtype: ``"int8"`` keeps keys and values in 8 bits, which halves what grows with
            a sequence in bfloat16; ``"auto"`` in the network's own precision.
        allow_unexpected: Regular expression that excuses left-over tensors; recorded.
        on_progress: Called with the number of tensors read and of all.

    Raises:
        CheckpointError: No model of that name, or weights that do not fill it exactly.
        TokenizerError: No usable tokenizer.
        NetworkError: A hub id that could not be fetched.
        DeviceError: The device is not there.
        QuantizationError: An unknown quantization, one that the checkpoint is not stored in, or
            an adapter of experts in 8 bits; or keys and values cannot be kept so.
        MemoryBudgetError: The weights do not fit in the memory that is free; none was read.
    """
    kept = resolve_kv_cache_dtype(kv_cache_dtype)
    source = locate(model)
    added, adapter_name = _found(adapter)
    target = device if device == AUTO else resolve_device(device)
    speller = PromptTokenizer.from_folder(source.folder if tokenizer is None else tokenizer)
    first, last = _roundings(source, quantization, added)
    network = load_checkpoint(
        source.folder,
        dtype=dtype,
        device=target,
        quantization=first,
        allow_unexpected=allow_unexpected,
        tower=_fetched_tower(source),
        on_progress=on_progress,
    )
    network = network if added is None else merge_adapter(network, added)
    if last is not None:
        quantize_network(network, last)
    processor = Processor(speller, network.config)
    provenance = model_provenance(source, network, added, adapter_name)
    return LongLlava(network, processor, provenance, kv_cache_dtype=kept)


def _found(adapter: str | Path | None) -> tuple[Path | None, str | None]:
    """Return the folder of an adapter, and its name where it is not the user's own folder."""
    if adapter is None or adapter == NO_ADAPTER:
        return None, None
    folder = adapter_folder(adapter)
    return folder, None if folder == Path(adapter).expanduser() else str(adapter)


def _roundings(
    source: Source, quantization: str | None, adapter: Path | None
) -> tuple[str | None, str | None]:
    """Return the quantization to load with, and the one to end with.

    An adapter of experts is merged while they are plain: beside 8 bits only linear layers can have one.
    """
    stored = open_checkpoint(source.folder).config.quantization
    wanted = resolve_quantization(quantization, stored)
    if adapter is None or stored is not None or wanted is None or not changes_experts(adapter):
        return quantization, None
    return "none", wanted


def _fetched_tower(source: Source) -> Path | None:
    """Fetch the tower that a hub checkpoint lacks; a local one never reaches the network."""
    if source.hub_id is None:
        return None
    checkpoint = open_checkpoint(source.folder)
    if checkpoint.tower_place != "absent" or checkpoint.tower_hint is None:
        return None
    return download(checkpoint.tower_hint)
