"""``citadel::varlen_attention``: the operator through which a packed graph knows where a text ends.

The library's backends bring the real implementation. The one here serves tracing and the comparison.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface

from . import ExportError

NAME = "citadel_varlen"
SCHEMA = (
    "varlen_attention(Tensor q, Tensor k, Tensor v, Tensor cu_seqlens, float scale, "
    "int window_left, int window_right) -> Tensor"
)

# Arguments by which transformers asks for attention that the operator does not have.
UNSUPPORTED = ("softcap", "s_aux", "sinks", "position_bias", "head_mask")

_registrations: list[torch.library.Library] = []


def _window(length: int, left: int, right: int) -> torch.Tensor | None:
    """Which keys a query sees, as a boolean matrix; None: all."""
    if left < 0 and right < 0:
        return None
    distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    seen = torch.ones(length, length, dtype=torch.bool)
    if left >= 0:
        seen &= distance >= -left
    if right >= 0:
        seen &= distance <= right
    return seen


def _reference(q, k, v, cu_seqlens, scale, window_left, window_right):
    out = torch.empty(1, q.shape[2], q.shape[1], q.shape[3], dtype=q.dtype)
    ends = cu_seqlens.tolist()
    for begin, end in itertools.pairwise(ends):
        one = slice(begin, end)
        attended = F.scaled_dot_product_attention(
            q[:, :, one],
            k[:, :, one],
            v[:, :, one],
            attn_mask=_window(end - begin, window_left, window_right),
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        out[:, one] = attended.transpose(1, 2)
    return out


def _forward(
    module,
    query,
    key,
    value,
    attention_mask,
    scaling=None,
    dropout=0.0,
    is_causal=None,
    sliding_window=None,
    cu_seqlens=None,
    **kwargs,
):
    """The attention function that transformers calls for ``attn_implementation="citadel_varlen"``."""
    for name in UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise ExportError(f"attention of {type(module).__name__} uses '{name}', which is not supported")
    if cu_seqlens is None:
        raise ExportError(f"{type(module).__name__} does not pass cu_seqlens on to its attention")
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    if sliding_window is None:
        left = -1
    elif causal:
        left = sliding_window - 1  # the query itself counts
    else:
        left = sliding_window
    right = 0 if causal else left
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = torch.ops.citadel.varlen_attention(
        query, key, value, cu_seqlens, float(scale), int(left), int(right)
    )
    return out, None


def register() -> None:
    """Make the operator and the attention implementation known; harmless when they are already."""
    if _registrations:
        return
    library = torch.library.Library("citadel", "FRAGMENT")
    # The library's own backend may have registered the operator in this process.
    if not hasattr(torch.ops.citadel, "varlen_attention"):
        library.define(SCHEMA)
        library.impl("varlen_attention", _reference, "CPU")
    _registrations.append(library)
    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
