"""``citadel::varlen_attention``: the operator through which a packed graph knows where a text ends.

The library's backends bring the real implementation. The one here serves tracing and the comparison.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import _disable_current_modes
from transformers import AttentionInterface, AttentionMaskInterface, masking_utils

from . import ExportError

NAME = "citadel_varlen"
SCHEMA = (
    "varlen_attention(Tensor q, Tensor k, Tensor v, Tensor cu_seqlens, float scale, "
    "int window_left, int window_right) -> Tensor"
)

# What attention functions are handed that does not change their result. Anything else is refused: it may.
HARMLESS = {
    "cache_position",
    "deterministic",
    "dropout",
    "output_attentions",
    "output_hidden_states",
    "position_embeddings",
    "position_ids",
    "return_dict",
    "sliding_window",  # the mask says so too, and is what counts for every other attention function
    "use_cache",
}

_registrations: list[torch.library.Library] = []


@dataclass(frozen=True)
class Window:
    """Which keys a query sees: from ``left`` before it to ``right`` behind it, negative without bound."""

    left: int
    right: int

    def mask(self, length: int) -> torch.Tensor | None:
        """The same as a boolean matrix; None: all."""
        if self.left < 0 and self.right < 0:
            return None
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        seen = torch.ones(length, length, dtype=torch.bool)
        if self.left >= 0:
            seen &= distance >= -self.left
        if self.right >= 0:
            seen &= distance <= self.right
        return seen


def _reference(q, k, v, cu_seqlens, scale, window_left, window_right):
    out = torch.empty(1, q.shape[2], q.shape[1], q.shape[3], dtype=q.dtype)
    window = Window(window_left, window_right)
    ends = cu_seqlens.tolist()
    for begin, end in itertools.pairwise(ends):
        one = slice(begin, end)
        attended = F.scaled_dot_product_attention(
            q[:, :, one],
            k[:, :, one],
            v[:, :, one],
            attn_mask=window.mask(end - begin),
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        out[:, one] = attended.transpose(1, 2)
    return out


def _shape(q, k, v, cu_seqlens, scale, window_left, window_right):
    """What a compiler needs to know of the result."""
    return q.new_empty(1, q.shape[2], q.shape[1], q.shape[3])


# ---- The model's own mask function says what a query sees ------------------------------------

# Longer than any text, and the queries whose row is looked at: odd numbers, lest a mask that repeats
# itself every so many tokens look like a window.
SPAN = 300_007
QUERIES = (0, 7, 150_001, 151_573, SPAN - 1)


@contextlib.contextmanager
def _untraced():
    """Within a trace or an export, what happens here is not part of the graph."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)
    try:
        with _disable_current_modes():
            yield
    finally:
        torch._C._set_tracing_state(state)


def _window(mask_function) -> Window:
    """The window that ``mask_function`` describes; refused if it describes none."""
    zero = torch.zeros(1, dtype=torch.long)
    keys = torch.arange(SPAN)
    rows = {}
    for query in QUERIES:
        seen = mask_function(zero, zero, torch.tensor([query]), keys)
        rows[query] = torch.as_tensor(seen).expand(SPAN)
    middle = QUERIES[2]
    visible = rows[middle].nonzero().squeeze(1)
    if visible.numel() == 0:
        raise ExportError("attention with a mask that hides everything is not supported")
    first, last = int(visible[0]), int(visible[-1])
    window = Window(-1 if first == 0 else middle - first, -1 if last == SPAN - 1 else last - middle)
    for query, seen in rows.items():
        low = 0 if window.left < 0 else query - window.left
        high = SPAN - 1 if window.right < 0 else query + window.right
        if not torch.equal(seen, (keys >= low) & (keys <= high)):
            raise ExportError("attention with a mask that is no window is not supported")
    return window


def _mask(*_, mask_function=masking_utils.causal_mask_function, **__) -> Window:
    """The mask function that transformers calls: layers hand its result on to the attention function."""
    with _untraced():
        return _window(mask_function)


@contextlib.contextmanager
def packed():
    """Within, transformers does not look for texts laid end to end: the operator does that."""
    with mock.patch.object(masking_utils, "find_packed_sequence_indices", lambda _: None):
        yield


def _forward(
    module, query, key, value, attention_mask, scaling=None, is_causal=None, cu_seqlens=None, **more
):
    """The attention function that transformers calls for ``attn_implementation="citadel_varlen"``."""
    kind = type(module).__name__
    for name, argument in more.items():
        if argument is not None and name not in HARMLESS:
            raise ExportError(f"attention of {kind} uses '{name}', which is not supported")
    if cu_seqlens is None:
        raise ExportError(f"{kind} does not pass cu_seqlens on to its attention")
    if key.shape[2] != query.shape[2]:
        raise ExportError(f"attention of {kind} has other keys than queries, which is not supported")
    if value.shape[3] != query.shape[3]:
        raise ExportError(f"attention of {kind} has values of another size than keys, which is not supported")
    if attention_mask is None:
        # Without a mask only this counts, as for any other attention function of transformers.
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        attention_mask = Window(-1, 0 if causal else -1)
    if not isinstance(attention_mask, Window):
        raise ExportError(f"attention of {kind} has a mask of its own, which is not supported")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = torch.ops.citadel.varlen_attention(
        query, key, value, cu_seqlens, float(scale), attention_mask.left, attention_mask.right
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
    torch.library.register_fake("citadel::varlen_attention", _shape, lib=library)
    _registrations.append(library)
    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, _mask)
