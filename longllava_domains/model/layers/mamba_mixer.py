"""The Mamba mixer of Jamba with a state that is carried, never restarted.

transformers 5.x starts its scan at zero on every forward of more than one token, also when a
cache holds a state: chunked prefill, a second turn and prefix reuse are then wrong by several
per cent, without a word. This mixer continues from the cached state, for any number of tokens,
and starts afresh where packed samples meet. Parameters, names and cache layout are those of
transformers, so checkpoints, adapters and caches fit both.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.cache_utils import Cache
from transformers.integrations.accelerate import force_accelerate_hooks
from transformers.models.jamba.modeling_jamba import JambaMambaMixer

from longllava_domains.model.kernels.conv.causal_conv1d import causal_convolution, convolution_step
from longllava_domains.model.kernels.scan.selective_scan import selective_scan, selective_step


class MixerState(NamedTuple):
    """The memory of a mixer: what came before the next token.

    Attributes:
        inputs: The last d_conv - 1 inputs of the convolution (rows, d_conv - 1, channels).
        ssm: The state of the scan (rows, channels, states), float32.
    """

    inputs: Tensor
    ssm: Tensor


class ExactMambaMixer(JambaMambaMixer):
    """`JambaMambaMixer` for prefill, decoding, continuation of any length and packed rows."""

    @force_accelerate_hooks(["conv1d", "dt_proj"])  # type: ignore[untyped-decorator]
    def forward(
        self,
        hidden_states: Tensor,
        cache_params: Cache | None = None,
        attention_mask: Tensor | None = None,
        resets: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """Mix tokens along time.

        Args:
            hidden_states: (rows, tokens, hidden).
            cache_params: Where the state is read and left; None starts at zero and leaves none.
            attention_mask: (rows, tokens), zero where a token is padding, anywhere in the row; None
                for none. Padding leaves the state as it is.
            resets: bool (rows, tokens), true at the first token of every packed sample.

        Returns:
            (rows, tokens, hidden).
        """
        state = read_state(cache_params, self.layer_idx)
        order = None
        if attention_mask is not None and resets is None:
            # Padding behind the real tokens is out of their reach, whatever side it came from.
            order = torch.argsort(attention_mask == 0, dim=1, stable=True)
            attention_mask = attention_mask.gather(1, order)
            hidden_states = _reordered(hidden_states, order)
        inner, gate = self.in_proj(_without_padding(hidden_states, attention_mask)).chunk(2, dim=-1)
        one_step = inner.shape[1] == 1 and resets is None and not torch.is_grad_enabled()
        if state is not None and one_step and order is None:
            y, state = self._step(inner[:, 0], gate[:, 0], state)
            y = y.unsqueeze(1)
        else:
            y, state = self._scan(inner, gate, state, attention_mask, resets)
        if cache_params is not None:
            write_state(cache_params, self.layer_idx, state)
        mixed: Tensor = self.out_proj(y)
        return mixed if order is None else _reordered(mixed, order.argsort(dim=1))

    def _scan(
        self,
        inner: Tensor,
        gate: Tensor,
        state: MixerState | None,
        attention_mask: Tensor | None,
        resets: Tensor | None,
    ) -> tuple[Tensor, MixerState]:
        before = inner
        inner, inputs = causal_convolution(
            before,
            self.conv1d.weight.squeeze(1),
            self.conv1d.bias,
            initial_state=None if state is None else state.inputs,
            resets=resets,
        )
        inner = _without_padding(self.act(inner), attention_mask)
        dt, B, C = self._select(inner)
        if attention_mask is not None and resets is None:
            dt = _without_padding(dt, attention_mask)  # a step of length 0 leaves the state alone
            inputs = _last_real(
                before, None if state is None else state.inputs, attention_mask, inputs
            )
        y, ssm = selective_scan(
            inner,
            dt,
            self._A(dt.dtype),
            B,
            C,
            self.D,
            z=gate,
            initial_state=None if state is None else state.ssm,
            resets=resets,
        )
        return y, MixerState(inputs, ssm)

    def _step(self, inner: Tensor, gate: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        inner, inputs = convolution_step(
            inner, self.conv1d.weight.squeeze(1), self.conv1d.bias, state.inputs
        )
        inner = self.act(inner)
        dt, B, C = self._select(inner)
        y, ssm = selective_step(inner, dt, self._A(dt.dtype), B, C, self.D, state.ssm)
        return y.to(gate.dtype) * functional.silu(gate), MixerState(inputs, ssm)

    def _A(self, dtype: torch.dtype) -> Tensor:  # noqa: N802 - the paper's letter
        return -torch.exp(self.A_log.to(dtype))

    def _select(self, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the time steps after softplus (float32 at least), B and C of each token."""
        sizes = [self.time_step_rank, self.ssm_state_size, self.ssm_state_size]
        rank, B, C = self.x_proj(inner).split(sizes, dim=-1)
        rank = self.dt_layernorm(rank)
        precise = torch.promote_types(inner.dtype, torch.float32)
        if type(self.dt_proj) is nn.Linear:
            # The bias is small against its rounding in bfloat16: add it in float32.
            dt = functional.linear(rank, self.dt_proj.weight).to(precise)
            dt = dt + self.dt_proj.bias.to(precise)
        else:
            # Adapters and quantised layers act only when they are called as a module.
            dt = self.dt_proj(rank).to(precise)
        return functional.softplus(dt), self.b_layernorm(B), self.c_layernorm(C)


def read_state(cache: Cache | None, layer_idx: int) -> MixerState | None:
    """Return the state that a transformers cache holds for a layer, None before the first token."""
    if cache is None:
        return None
    inputs = cache.get_conv_state(layer_idx)
    ssm = cache.get_recurrent_state(layer_idx)
    if inputs is None or ssm is None:
        return None
    if torch.is_grad_enabled():
        ssm = ssm.clone()  # transformers' cache writes over what a gradient would need
    return MixerState(inputs[:, :, 1:].transpose(1, 2), ssm)


def write_state(cache: Cache, layer_idx: int, state: MixerState) -> None:
    """Leave the state in the layout of transformers: d_conv inputs, channels first.

    The oldest of the d_conv inputs is out of the filter's reach and left at zero.
    """
    inputs = functional.pad(state.inputs.transpose(1, 2), (1, 0))
    cache.update_conv_state(inputs, layer_idx, conv_kernel_size=inputs.shape[2])
    cache.update_recurrent_state(state.ssm, layer_idx)


def _reordered(values: Tensor, order: Tensor) -> Tensor:
    """Take the tokens of (rows, tokens, features) in another order (rows, tokens)."""
    return values.gather(1, order.unsqueeze(2).expand(-1, -1, values.shape[2]))


def _last_real(
    inner: Tensor, before: Tensor | None, attention_mask: Tensor, inputs: Tensor
) -> Tensor:
    """Return the convolution's last inputs of each row, of which padding is none.

    Args:
        inner: (rows, tokens, channels), real tokens first.
        before: The inputs that came before the row, shaped like `inputs`; None for nothing.
        attention_mask: (rows, tokens), zero for padding.
        inputs: What would be kept without padding (rows, d_conv - 1, channels).
    """
    reach = inputs.shape[1]
    earlier = torch.zeros_like(inputs) if before is None else before
    lengths = (attention_mask != 0).sum(1, keepdim=True)
    kept = lengths + torch.arange(reach, device=inner.device)
    return _reordered(torch.cat([earlier.to(inner.dtype), inner], dim=1), kept)


def _without_padding(hidden_states: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Silence padding tokens (rows, tokens, features), as transformers does."""
    if attention_mask is None:
        return hidden_states
    return hidden_states * attention_mask.unsqueeze(2).to(hidden_states.dtype)
