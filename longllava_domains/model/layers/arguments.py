"""The arguments of a forward: no unknown name passes, and every spelling of packing is one thing.

transformers' layers take ``**kwargs`` and ignore what they do not know. For Jamba that includes
the names by which its own collators describe packed rows, so a packed sample would read the one
before it, without a word. Here each of those names is understood, and any other is refused.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from longllava_domains.errors import PolicyError
from longllava_domains.model.kernels.packing import resets_from_ids, segment_ids_from_lengths

# One segment id for each token: our name, and that of transformers.
_IDS: Final = ("segment_ids", "seq_idx")
# Cumulative lengths of one row.
_LENGTHS: Final = ("cu_seqlens", "cu_seq_lens_q", "cu_seq_lens_k")
# What follows from the lengths.
_LONGEST: Final = ("max_length_q", "max_length_k")
PACKING: Final = (*_IDS, *_LENGTHS, *_LONGEST)

_KNOWN: Final = frozenset(
    (
        "input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds",
        "use_cache", "cache_position", "token_type_ids", "mm_token_type_ids",
        "output_hidden_states", "output_attentions", "output_router_logits", "return_dict",
        "num_items_in_batch", *PACKING,
    )
)  # fmt: skip


def require_known(kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that a language model would ignore.

    Raises:
        PolicyError: Names them.
    """
    unknown = sorted(
        name for name, value in kwargs.items() if name not in _KNOWN and value is not None
    )
    if unknown:
        raise PolicyError(
            f"The network takes no argument {', '.join(unknown)}.",
            remedy="Correct the name, or leave it out; nothing is ignored here.",
            code="network.argument",
            facts={"arguments": tuple(unknown)},
        )


def token_shape(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Return (rows, tokens) of the ids or embeddings that a forward was given.

    Raises:
        PolicyError: It was given neither.
    """
    given = (*args[:1], kwargs.get("input_ids"), kwargs.get("inputs_embeds"))
    found = next((value for value in given if value is not None), None)
    if found is None or found.ndim < 2:
        raise PolicyError(
            "A forward needs input_ids (rows, tokens) or inputs_embeds (rows, tokens, hidden).",
            remedy="Pass one of them, with a dimension for rows.",
            code="network.inputs",
        )
    return int(found.shape[0]), int(found.shape[1])


def padding_of(attention_mask: Any, tokens: int) -> Tensor | None:
    """Return the mask of the newest tokens, bool (rows, tokens), None where all of them are real."""
    if not isinstance(attention_mask, Tensor) or attention_mask.ndim != 2:
        return None
    real = attention_mask[:, -tokens:] != 0
    return None if bool(real.all()) else real


def segments_of(kwargs: Mapping[str, Any], rows: int, tokens: int) -> Tensor | None:
    """Return the segment id of every token, None where the rows are not packed.

    A row is packed where one of `PACKING` says so, or where ``position_ids`` restart at 0 among
    tokens that are not padding. Where several are given they must agree.

    Args:
        kwargs: The arguments of a forward.
        rows: Rows of the batch.
        tokens: Tokens of each row.

    Returns:
        int64 (rows, tokens).

    Raises:
        PolicyError: Ids or lengths that do not describe these rows, or that contradict each other;
            positions that neither go on nor restart.
    """
    found = {name: _ids(name, kwargs[name], rows, tokens) for name in _IDS if _given(kwargs, name)}
    for name in _LENGTHS:
        if _given(kwargs, name):
            found[name] = _from_lengths(name, kwargs[name], rows, tokens)
    positions = _from_positions(kwargs, rows, tokens)
    if positions is not None:
        found["position_ids"] = positions
    if not found:
        return None
    (first, ids), *others = found.items()
    begins = resets_from_ids(ids)
    for name, other in others:
        if not torch.equal(begins, resets_from_ids(other.to(ids.device))):
            raise _unusable(f"{first} and {name} begin samples at different tokens")
    return ids


def mask_first_labels(labels: Tensor, segment_ids: Tensor) -> Tensor:
    """Mask the label at the first token of every sample: the sample before cannot predict it."""
    return labels.masked_fill(resets_from_ids(segment_ids).to(labels.device), -100)


def _given(kwargs: Mapping[str, Any], name: str) -> bool:
    return kwargs.get(name) is not None


def _ids(name: str, ids: Any, rows: int, tokens: int) -> Tensor:
    if not _whole_numbers(ids) or tuple(ids.shape) != (rows, tokens):
        raise _unusable(f"{name} must be whole numbers ({rows}, {tokens})")
    return ids.long()  # type: ignore[no-any-return]


def _from_lengths(name: str, lengths: Any, rows: int, tokens: int) -> Tensor:
    if rows != 1:
        raise _unusable(f"{name} describes one row, and there are {rows}")
    if not _whole_numbers(lengths):
        raise _unusable(f"{name} must be whole numbers")
    return segment_ids_from_lengths(lengths, tokens)


def _from_positions(kwargs: Mapping[str, Any], rows: int, tokens: int) -> Tensor | None:
    """Read where positions restart; None where they do not, or say nothing about samples."""
    positions, mask = kwargs.get("position_ids"), kwargs.get("attention_mask")
    prepared = mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2)
    if positions is None or tokens == 1 or prepared:
        return None
    if not _whole_numbers(positions) or positions.shape not in ((1, tokens), (rows, tokens)):
        raise _unusable(f"position_ids must be whole numbers ({rows}, {tokens})")
    positions = positions.expand(rows, tokens)
    goes_on = positions.diff(dim=1) == 1
    real = padding_of(mask, tokens)
    if real is not None:
        # Positions of padding mean nothing.
        real = real.to(positions.device)
        goes_on |= ~(real[:, 1:] & real[:, :-1])
    if bool(goes_on.all()):
        return None
    if bool((~goes_on & (positions[:, 1:] != 0)).any()):
        raise _unusable("position_ids must go on by 1 or restart at 0")
    return torch.nn.functional.pad((~goes_on).long().cumsum(1), (1, 0))


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_floating_point() and value.dtype != torch.bool


def _unusable(found: str) -> PolicyError:
    return PolicyError(
        f"The packing of the rows cannot be followed: {found}.",
        remedy="Pass segment_ids, one id for each token, or cu_seqlens of one row.",
        code="packing.arguments",
    )
