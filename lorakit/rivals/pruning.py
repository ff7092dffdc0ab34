"""Dynamic token pruning: drop the tokens of a prompt that get little attention, block by block, at inference.

As in LazyLLM (Fu et al. 2024, arXiv 2407.14057), after SpAtten (Wang et al. 2021, arXiv 2012.09852). It makes reading a
long prompt cheaper. It adapts nothing: there is nothing to train and nothing that knows a task.
"""

import inspect
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.rivals.parts import blocks, sublayer

NAME = "_pruning"  # on every block: (what all blocks share, the block's number)


@dataclass
class Pruning:
    """What the blocks share: the schedule, what the model was before, and the state of the forward pass under way.

    kept     (rows, still there): positions of the tokens that the next block sees, in order
             (a row that is shorter than others keeps fewer; what it has beyond them is masked)
    states   (rows, tokens, width): the hidden state of every token when it was last computed
    weight   (rows, still there): attention that the last token paid to each, mean over heads, in the last block
    """

    keep: tuple[float, ...]
    caching: tuple[bool, bool]
    hooks: list
    real: Tensor | None = None
    kept: Tensor | None = None
    states: Tensor | None = None
    weight: Tensor | None = None


def attach(model: nn.Module, keep: tuple[float, ...]) -> None:
    """Let only a part of the tokens into each block: `keep[i]` is the share of the row's tokens that block i computes.

    keep  one share in (0, 1] for each block, never rising, the first one 1: before it nothing is known. What a block
          drops are the tokens that the last token paid least attention to in the block before; the last token itself
          always stays. A dropped token keeps its hidden state as it was, and nobody attends to it any more.

    Meant for the logits of the *last* position, so for generation; padding must be on the left. It needs
    attn_implementation="eager", which returns the attention weights, and no cache: `generate` recomputes the text for
    every token while this is attached. Raises LoRAError, with the model as it was.
    """
    _, every = blocks(model)
    if _shared(model) is not None:
        raise LoRAError("token pruning is attached already: detach it first")
    keep = tuple(keep)
    falling = list(keep) == sorted(keep, reverse=True)
    if len(keep) != len(every) or keep[0] != 1 or not keep[-1] > 0 or not falling:
        raise LoRAError(f"keep must be {len(every)} shares, one for each block, from 1 down, never rising; got {keep}")
    if model.config._attn_implementation != "eager":
        raise LoRAError(
            f'attention is computed by "{model.config._attn_implementation}", which gives no weights to prune by: '
            'call model.set_attn_implementation("eager") first'
        )
    attentions = [sublayer(block, "attention") for block in every]
    shared = Pruning(keep, (model.config.use_cache, model.generation_config.use_cache), hooks=[])
    model.config.use_cache = model.generation_config.use_cache = False
    for number, (block, attention) in enumerate(zip(every, attentions, strict=True)):
        block.__dict__[NAME] = attention.__dict__[NAME] = (shared, number)
        shared.hooks += [
            block.register_forward_pre_hook(_select, with_kwargs=True),
            attention.register_forward_hook(_watch),
            block.register_forward_hook(_collect),
        ]


def detach(model: nn.Module) -> None:
    """Every token into every block again, as if nothing had happened."""
    shared = _shared(model)
    if shared is None:
        raise LoRAError("no token pruning is attached to the model")
    model.config.use_cache, model.generation_config.use_cache = shared.caching
    for hook in shared.hooks:
        hook.remove()
    for block in blocks(model)[1]:
        for module in (block, sublayer(block, "attention")):
            del module.__dict__[NAME]


def _shared(model: nn.Module) -> Pruning | None:
    return getattr(blocks(model)[1][0], NAME, (None,))[0]


def _select(block: nn.Module, args, kwargs):
    """Before a block: choose the tokens it computes, and cut all that goes along with them."""
    shared, number = getattr(block, NAME)
    names = inspect.signature(block.forward).parameters
    kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
    hidden, mask = kwargs["hidden_states"], kwargs.get("attention_mask")  # (rows, there, width), (rows, 1, all, all)
    if torch.is_grad_enabled() and block.training:
        raise LoRAError("token pruning is for inference: detach it before training")
    if kwargs.get("past_key_values") is not None:
        raise LoRAError("token pruning works without a cache: call with use_cache=False")
    if number == 0:
        rows, tokens = hidden.shape[:2]
        # A left-padded token is one that the last token may not attend to.
        real = hidden.new_ones(rows, tokens, dtype=torch.bool) if mask is None else mask[:, 0, -1] == 0
        shared.real = real.expand(rows, tokens)
        shared.kept = torch.arange(tokens, device=hidden.device).expand(rows, tokens)
        shared.states = hidden.clone()
    if shared.keep[number] < 1:
        lengths = shared.real.sum(1).tolist()  # of each row
        counts = torch.tensor([max(1, math.ceil(shared.keep[number] * n)) for n in lengths], device=hidden.device)
        length = int(counts.max())
        score = shared.weight.masked_fill(~shared.real.gather(1, shared.kept), -1)  # padding goes first
        score[:, -1] = math.inf  # the last token stays
        best = score.topk(length, dim=1).indices  # (rows, length), best first
        places, order = best.sort(dim=1)  # in the order of the text
        here = order < counts[:, None]  # what the row itself keeps; the rest is there for the longest row
        hidden, shared.kept = _take(hidden, places), shared.kept.gather(1, places)
        kwargs |= _cut(kwargs, shared.kept)
        blocked = torch.finfo(hidden.dtype).min
        causal = shared.kept[:, None, :] > shared.kept[:, :, None]  # (rows, query, key)
        hide = (causal | ~here[:, None, :])[:, None]  # (rows, 1, length, length)
        kwargs["attention_mask"] = torch.zeros_like(hide, dtype=hidden.dtype).masked_fill(hide, blocked)
    return (), {**kwargs, "hidden_states": hidden}


def _watch(attention: nn.Module, args, output) -> None:
    """After attention: how much the last token looked at each."""
    getattr(attention, NAME)[0].weight = output[1][:, :, -1].mean(1)  # (rows, still there)


def _collect(block: nn.Module, args, output):
    """After a block: keep the new states; after the last one, give the whole text back."""
    shared, number = getattr(block, NAME)
    hidden = output[0] if isinstance(output, tuple) else output
    index = shared.kept[..., None].expand_as(hidden)
    shared.states.scatter_(1, index, hidden)
    if number + 1 < len(shared.keep):
        return None
    whole, shared.states = shared.states, None
    return (whole, *output[1:]) if isinstance(output, tuple) else whole


def _take(states: Tensor, places: Tensor) -> Tensor:
    """states (rows, tokens, width) at places (rows, kept)."""
    return states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))


def _cut(kwargs: dict, places: Tensor) -> dict:
    """Positions, and rotary embeddings where there are some, of the tokens that stay."""
    cut = {}
    if kwargs.get("position_ids") is not None:
        cut["position_ids"] = kwargs["position_ids"].expand(len(places), -1).gather(1, places)
    if kwargs.get("position_embeddings") is not None:
        both = (each.expand(len(places), -1, -1) for each in kwargs["position_embeddings"])
        cut["position_embeddings"] = tuple(_take(each, places) for each in both)
    return cut
