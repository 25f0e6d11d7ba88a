"""`load_model` and `LongLlava`: a network with its tokenizer, ready to be asked."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from longllava_domains.answer import Answer
from longllava_domains.errors import QuantizationError
from longllava_domains.model.adapter import adapter_sha256, merge_adapter
from longllava_domains.model.checkpoint import load_checkpoint, open_checkpoint
from longllava_domains.model.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.placement import resolve_device
from longllava_domains.model.processor import Inputs, Processor
from longllava_domains.model.source import Source, download, locate
from longllava_domains.prompt import PromptTokenizer, Protocol
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import VisualSequence

# Longest answer of the original implementation.
MAX_NEW_TOKENS = 768


class LongLlava:
    """A loaded model.

    Args:
        network: The torch module, on its device.
        processor: Prepares views and text for it.
        provenance: Which weights these are and how they were loaded.
    """

    def __init__(
        self,
        network: LongLlavaForConditionalGeneration,
        processor: Processor,
        provenance: Provenance,
    ) -> None:
        self.network = network
        self.processor = processor
        self.provenance = provenance

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.lm_head.weight.device

    def answer(
        self,
        sequence: VisualSequence | None,
        question: str,
        *,
        history: Sequence[tuple[str, str]] = (),
        protocol: Protocol = "reference",
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> Answer:
        """Answer one question about a sequence of views, greedily.

        Args:
            sequence: What the model looks at; None for a question about text alone.
            question: What is asked.
            history: Past (question, answer) rounds, oldest first.
            protocol: How views are spelled; see `prompt.compose`.
            max_new_tokens: Longest answer, tokens.

        Raises:
            PromptError: Views and text do not make a prompt.
        """
        began = time.perf_counter()
        inputs = self.processor(sequence, question, history, protocol=protocol)
        tokens, logprobs = self._greedy(inputs, max_new_tokens)
        eos = self.processor.tokenizer.eos_id
        stopped = "end" if tokens and tokens[-1] == eos else "length"
        if stopped == "end":
            tokens, logprobs = tokens[:-1], logprobs[:-1]
        made = self._answer_provenance(sequence, inputs, protocol).with_(
            max_new_tokens=max_new_tokens,
            stop=stopped,
            seconds=round(time.perf_counter() - began, 3),
        )
        text = self.processor.tokenizer.decode(tokens).strip()
        return Answer(text, tuple(tokens), stopped, tuple(logprobs), made)

    def _greedy(self, inputs: Inputs, max_new_tokens: int) -> tuple[list[int], list[float]]:
        pixels = inputs.pixel_values
        made = self.network.generate(
            input_ids=inputs.input_ids.to(self.device),
            pixel_values=None if pixels is None else pixels.to(self.device),
            eos_token_id=self.processor.tokenizer.eos_id,
            pad_token_id=self.processor.tokenizer.pad_id,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        tokens = made.sequences[0, inputs.input_ids.shape[1] :].tolist()
        steps = zip(made.logits, tokens, strict=True)
        logprobs = [float(step[0].float().log_softmax(-1)[token]) for step, token in steps]
        return tokens, logprobs

    def _answer_provenance(
        self, sequence: VisualSequence | None, inputs: Inputs, protocol: str
    ) -> Provenance:
        tokens = inputs.input_ids.shape[1]
        shown = Provenance() if sequence is None else sequence.provenance
        notices = {*shown.get("notices", ()), *self.provenance["notices"]}
        beyond = max(0, tokens - self.network.config.trained_length)
        if beyond:
            notices.add("Beyond the length the model was trained on.")
        return shown.with_(**self.provenance).with_(
            views=0 if sequence is None else len(sequence),
            protocol=protocol,
            prompt_sha256=inputs.prompt.sha256(),
            tokens=tokens,
            beyond_trained_length=beyond,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            notices=sorted(notices),
        )


def load_model(
    model: str | Path,
    *,
    adapter: str | Path | None = None,
    tokenizer: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "auto",
    quantization: str | None = None,
    allow_unexpected: str | None = None,
) -> LongLlava:
    """Load a model by name.

    Args:
        model: ``"demo"``, a folder, or a hub id; only a hub id reaches the network.
        adapter: Folder of a PEFT adapter, merged into the weights.
        tokenizer: Folder with tokenizer.json; by default the checkpoint's own.
        device: A torch device; by default CUDA where there is one, else the CPU.
        dtype: A torch dtype, its name, or ``"auto"`` for the checkpoint's own.
        quantization: None; weights stay in ``dtype``.
        allow_unexpected: Regular expression that excuses left-over tensors; recorded.

    Raises:
        CheckpointError: No model of that name, or weights that do not fill it exactly.
        TokenizerError: No usable tokenizer.
        NetworkError: A hub id that could not be fetched.
        DeviceError: The device is not there.
        QuantizationError: An unknown quantization.
    """
    if quantization is not None:
        raise QuantizationError(
            f"There is no quantization {quantization!r}.",
            remedy="Leave it out, or choose a smaller dtype such as bfloat16.",
            code="model.quantization",
        )
    source = locate(model)
    target = resolve_device(device)
    speller = PromptTokenizer.from_folder(source.folder if tokenizer is None else tokenizer)
    network = load_checkpoint(
        source.folder,
        dtype=dtype,
        device=target,
        allow_unexpected=allow_unexpected,
        tower=_fetched_tower(source),
    )
    if adapter is not None:
        network = merge_adapter(network, adapter)
    processor = Processor(speller, network.config)
    return LongLlava(network, processor, _model_provenance(source, network, adapter))


def _fetched_tower(source: Source) -> Path | None:
    """Fetch the tower that a hub checkpoint lacks; a local one never reaches the network."""
    if source.hub_id is None:
        return None
    checkpoint = open_checkpoint(source.folder)
    if checkpoint.tower_place != "absent" or checkpoint.tower_hint is None:
        return None
    return download(checkpoint.tower_hint)


def _model_provenance(
    source: Source, network: LongLlavaForConditionalGeneration, adapter: str | Path | None
) -> Provenance:
    """Record which weights these are; a folder's name is the user's, so only a hash stands for it.

    ``model_sha256`` is `WeightFiles.fingerprint`: headers and samples of the weights.
    """
    config = network.config
    fingerprint = open_checkpoint(source.folder).files.fingerprint()
    names = ("longllava-domains", "torch", "transformers")
    facts: dict[str, object] = {
        "model": source.hub_id or ("demo" if source.demo else f"local:{fingerprint[:8]}"),
        "model_sha256": fingerprint,
        "demo": config.demo,
        "trained": config.trained,
        "allowed_unexpected": network.allowed_unexpected,
        "dtype": str(config.dtype).removeprefix("torch."),
        "device": str(network.lm_head.weight.device),
        "tokens_per_image": config.tokens_per_image,
        "trained_length": config.trained_length,
        "versions": {name: version(name) for name in names},
        "notices": _notices(config.demo, config.trained),
    }
    if source.revision is not None:
        facts["model_revision"] = source.revision
    if adapter is not None:
        digest = adapter_sha256(adapter)
        facts |= {"adapter": f"local:{digest[:8]}", "adapter_sha256": digest}
    return Provenance(**facts)


def _notices(demo: bool, trained: bool) -> list[str]:
    if not demo:
        return [RESEARCH_NOTICE]
    kind = (
        "Demonstration model trained on synthetic phantoms only."
        if trained
        else "Untrained demonstration model: the text means nothing."
    )
    return [RESEARCH_NOTICE, kind]
