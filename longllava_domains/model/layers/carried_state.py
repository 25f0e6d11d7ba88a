"""`use_exact_state`: give a Jamba or LongLLaVA network mixers, attention and layers that carry state.

Only classes of modules change; parameters, their names and the configuration stay. Without
gradients a layer runs in chunks of tokens, so that activations do not grow with the sequence;
this changes no result, because everything outside attention is token-wise or carries its state.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_utils import PreTrainedModel
from transformers.models.jamba.modeling_jamba import (
    JambaAttention,
    JambaAttentionDecoderLayer,
    JambaExperts,
    JambaForCausalLM,
    JambaMambaDecoderLayer,
    JambaMambaMixer,
    JambaModel,
)

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.model.kernels.packing import resets_from_ids, segment_bounds
from longllava_domains.model.layers.arguments import (
    PACKING,
    mask_first_labels,
    padding_of,
    require_known,
    segments_of,
    token_shape,
)
from longllava_domains.model.layers.attention import AttendingLayer, ExactAttention, RowBounds
from longllava_domains.model.layers.experts import ExactExperts
from longllava_domains.model.layers.mamba_mixer import ExactMambaMixer
from longllava_domains.model.layers.recompute import CarriedOn, recomputes, spans_of

# Tokens of all rows that a layer works on at once without gradients: enough for the products of
# 16 experts to be fast on a CPU, and to fill a GPU.
TOKENS_PER_CHUNK = {"cpu": 2048, "cuda": 8192}


class ExactMambaLayer(JambaMambaDecoderLayer):
    """`JambaMambaDecoderLayer` in chunks of tokens, with resets for packed rows.

    Attributes:
        recompute_tokens: Tokens whose activations exist together in training, see
            `recompute_in_chunks`; 0 for all.
    """

    recompute_tokens = 0

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        resets: Tensor | None = None,
        padding: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """Mix, then feed forward; (rows, tokens, hidden) to the same shape.

        `padding` is bool (rows, tokens), true where a token is real; unlike transformers' own mask it
        is there for single tokens, too.
        """
        attention_mask = attention_mask if padding is None else padding
        if recomputes(self, hidden_states) and past_key_values is None:
            masks = (attention_mask, resets)
            return torch.cat(list(self._recomputed(hidden_states, masks)), dim=1)
        spans = _chunks(hidden_states)
        if len(spans) == 1:
            return self._run(hidden_states, attention_mask, past_key_values, resets)
        cache = (
            DynamicCache(config=self.mamba.config) if past_key_values is None else past_key_values
        )
        output = torch.empty_like(hidden_states)
        for span in spans:
            output[:, span] = self._run(
                hidden_states[:, span],
                None if attention_mask is None else attention_mask[:, span],
                cache,
                None if resets is None else resets[:, span],
            )
        return output

    def _recomputed(
        self, hidden_states: Tensor, masks: tuple[Tensor | None, Tensor | None]
    ) -> Iterator[Tensor]:
        """Yield the output chunk by chunk; on the way back each is formed again from its state."""

        def run(some: Tensor, span: slice, *state: Tensor) -> tuple[Tensor, ...]:
            carried = CarriedOn(*state)
            mask, resets = (None if one is None else one[:, span] for one in masks)
            return self._run(some, mask, carried, resets), *carried.tensors

        state: tuple[Tensor, ...] = ()
        for span in spans_of(hidden_states.shape[1], self.recompute_tokens):
            output, *kept = checkpoint(
                run, hidden_states[:, span], span, *state, use_reentrant=False
            )
            state = tuple(kept)
            yield output

    def _run(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        cache: Cache | CarriedOn | None,
        resets: Tensor | None,
    ) -> Tensor:
        mixed = self.mamba(
            self.input_layernorm(hidden_states),
            cache_params=cache,
            attention_mask=attention_mask,
            resets=resets,
        )
        hidden_states = hidden_states + mixed
        fed: Tensor = self.feed_forward(self.pre_ff_layernorm(hidden_states))
        return hidden_states + fed


class ExactAttentionLayer(JambaAttentionDecoderLayer):
    """`JambaAttentionDecoderLayer` whose feed-forward runs in chunks of tokens.

    Attributes:
        recompute_tokens: As in `ExactMambaLayer`, for the feed-forward.
    """

    recompute_tokens = 0

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = False,
        segment_bounds: Sequence[RowBounds] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Attend, then feed forward; (rows, tokens, hidden) to the same shape."""
        kwargs.pop("resets", None)
        kwargs.pop("padding", None)
        attended, _ = self.self_attn(
            hidden_states=self.input_layernorm(hidden_states),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            segment_bounds=segment_bounds,
            **kwargs,
        )
        hidden_states = hidden_states + attended
        if recomputes(self, hidden_states):
            fed = [
                checkpoint(self._feed, hidden_states[:, span], use_reentrant=False)
                for span in spans_of(hidden_states.shape[1], self.recompute_tokens)
            ]
            return torch.cat(fed, dim=1)
        spans = _chunks(hidden_states)
        if len(spans) == 1:
            return self._feed(hidden_states)
        for span in spans:
            hidden_states[:, span] = self._feed(hidden_states[:, span])
        return hidden_states

    def _feed(self, hidden_states: Tensor) -> Tensor:
        fed: Tensor = self.feed_forward(self.pre_ff_layernorm(hidden_states))
        return hidden_states + fed


def _chunks(hidden_states: Tensor) -> list[slice]:
    """Cut the tokens; in one piece where gradients are recorded, which need all of it anyway."""
    rows, tokens, _ = hidden_states.shape
    limit = max(TOKENS_PER_CHUNK.get(hidden_states.device.type, 8192) // rows, 64)
    if torch.is_grad_enabled() or tokens <= limit:
        return [slice(0, tokens)]
    return spans_of(tokens, limit)


class ExactCausalLM(JambaForCausalLM):
    """`JambaForCausalLM` that masks the labels at the first token of packed samples."""

    # Not a hook: peft calls `forward` itself.
    @functools.wraps(JambaForCausalLM.forward)
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run as `JambaForCausalLM.forward`."""
        return super().forward(*args, **with_masked_labels(args, kwargs))


ExactCausalLM.__name__ = JambaForCausalLM.__name__  # what saved configurations call it

_EXACT: dict[type[nn.Module], type[nn.Module]] = {
    JambaForCausalLM: ExactCausalLM,
    JambaMambaMixer: ExactMambaMixer,
    JambaAttention: ExactAttention,
    JambaMambaDecoderLayer: ExactMambaLayer,
    JambaAttentionDecoderLayer: ExactAttentionLayer,
    JambaExperts: ExactExperts,
}


@checked
def use_exact_state(network: nn.Module) -> nn.Module:
    """Make a network carry its state exactly, in place; calling it twice changes nothing more.

    Afterwards `generate` with ``prefill_chunk_size``, a second turn on kept `past_key_values`
    and forwards of any length on a non-empty cache give the result of one forward, padded on either
    side. Forwards take ``segment_ids`` (rows, tokens) or ``cu_seqlens`` (of one row) for packed
    samples, which then neither see nor disturb each other; ``seq_idx``, ``cu_seq_lens_q``,
    ``cu_seq_lens_k`` and ``position_ids`` that restart, as transformers' collators write them, mean
    the same. An argument that would be ignored is refused.

    Args:
        network: A transformers Jamba model, or one that contains it.

    Returns:
        The same network.
    """
    for module in list(network.modules()):
        exact = _EXACT.get(type(module))
        if exact is not None:
            module.__class__ = exact
        if isinstance(module, JambaModel) and not getattr(module, "_carries_state", False):
            module._carries_state = True
            module.register_forward_pre_hook(_prepare, with_kwargs=True)
        if isinstance(module, PreTrainedModel):
            kept_whole = {ExactMambaLayer.__name__, ExactAttentionLayer.__name__}
            module._no_split_modules = set(module._no_split_modules or ()) | kept_whole
    return network


def with_masked_labels(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model with a loss, its labels masked where packed samples begin."""
    if kwargs.get("labels") is None:
        return kwargs
    segment_ids = segments_of(kwargs, *token_shape(args, kwargs))
    if segment_ids is None:
        return kwargs
    return {**kwargs, "labels": mask_first_labels(kwargs["labels"], segment_ids)}


def _prepare(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn packing into resets and bounds; ask for no mask where none is needed."""
    require_known(kwargs)
    rows, tokens = token_shape(args, kwargs)
    segment_ids = segments_of(kwargs, rows, tokens)
    kwargs = {name: value for name, value in kwargs.items() if name not in PACKING}
    cache, mask = kwargs.get("past_key_values"), kwargs.get("attention_mask")
    padding = padding_of(mask, tokens)
    if segment_ids is None:
        if cache is None and isinstance(mask, Tensor) and mask.ndim != 2:
            raise _unfollowed(mask.ndim)
        if cache is not None and any(isinstance(layer, AttendingLayer) for layer in cache.layers):
            kwargs["attention_mask"] = {"full_attention": None, "linear_attention": None}
        elif padding is not None:
            kwargs["padding"] = padding
        return args, kwargs
    if cache is not None and cache.get_seq_length() > 0:
        raise PolicyError(
            "A packed row cannot continue a cache.",
            remedy="Forward packed samples without past_key_values.",
            code="packing.cache",
        )
    if padding is not None:
        segment_ids = segment_ids.masked_fill(~padding, -1)
    resets = resets_from_ids(segment_ids)
    kwargs.update(
        attention_mask={"full_attention": None, "linear_attention": padding},
        past_key_values=None,
        use_cache=False,
        resets=resets,
        segment_bounds=segment_bounds(resets),
    )
    return args, kwargs


def _unfollowed(dimensions: int) -> PolicyError:
    return PolicyError(
        f"Mamba layers cannot follow an attention mask of {dimensions} dimensions.",
        remedy="Pass a mask (rows, tokens) for padding, and segment_ids for packed samples.",
        code="network.mask",
    )
