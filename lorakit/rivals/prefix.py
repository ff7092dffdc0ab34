"""Prefix tuning: trained keys and values that every token attends to, in every layer, in front of the text.

Li & Liang 2021, arXiv 2101.00190. The base stays as it is; what is trained lies in the cache of keys and values, where
`length` words of a text would lie. That is its price: a prefix takes `length` positions of the model's context.
"""

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.rivals.parts import refuse_adapted

NAME = "prefix"  # the submodule of the model that holds the prefix while it is attached
STD = 0.02  # of random keys and values


class Prefix(nn.Module):
    """`length` keys and values per layer: `numbers` themselves (hidden=None), or what an MLP makes of an embedding.

    numbers  (length, layers · 2 · heads · head size): for each position, layer by layer, the key, then the value
    """

    def __init__(self, length: int, shape: tuple[int, int, int], hidden: int | None, width: int) -> None:
        super().__init__()
        layers, heads, size = shape
        self.length, self.shape = length, shape
        if hidden is None:
            self.numbers = nn.Parameter(torch.randn(length, layers * 2 * heads * size) * STD)
            self.embedding = self.mlp = None
        else:
            self.numbers = None
            self.embedding = nn.Parameter(torch.randn(length, width))
            self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, layers * 2 * heads * size))

    def forward(self) -> Tensor:
        """Keys and values (layers, 2, heads, length, head size)."""
        numbers = self.numbers if self.mlp is None else self.mlp(self.embedding)  # (length, layers*2*heads*size)
        layers, heads, size = self.shape
        return numbers.view(self.length, layers, 2, heads, size).permute(1, 2, 3, 0, 4)


def attach(model: nn.Module, length: int, hidden: int | None = None, seed: int = 0) -> None:
    """Freeze a causal language model and put a trained prefix of `length` positions in front of all it reads.

    hidden  None: the keys and values are the parameters. A number: while training they are what an MLP of this width
            (tanh) makes of `length` embeddings, which the paper found to be more stable; `fold` ends that.

    The prefix begins as small random numbers. It works through transformers' cache of keys and values, in training and
    in `generate`. Raises LoRAError, with the model as it was, for a prefix that leaves no room in the context, and
    where there are adapters already.
    """
    refuse_adapted(model, Prefix)
    config = model.config
    context = config.max_position_embeddings
    if not 1 <= length < context:
        raise LoRAError(f"length must be from 1 to below the context of {context} tokens, got {length}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prefix = Prefix(length, kv_shape(config), hidden, config.hidden_size)
    like = next(model.parameters())
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32  # as LoRA's matrices
    model.requires_grad_(False)
    model.add_module(NAME, prefix.to(like.device, dtype).train(model.training))
    model.register_forward_pre_hook(_in_front, with_kwargs=True)


def fold(model: nn.Module) -> None:
    """Compute the MLP's prefix once and throw the MLP away: the same outputs, the parameters of a plain prefix."""
    prefix = getattr(model, NAME)
    with torch.no_grad():
        numbers = prefix.mlp(prefix.embedding)
    prefix.embedding = prefix.mlp = None
    prefix.numbers = nn.Parameter(numbers)


def usable_context(model: nn.Module) -> int:
    """How many tokens of prompt and answer together the model can take: its context less the prefix, if it has one."""
    prefix = getattr(model, NAME, None)
    return model.config.max_position_embeddings - (prefix.length if isinstance(prefix, Prefix) else 0)


def kv_shape(config) -> tuple[int, int, int]:
    """(layers, heads of the keys, head size) of a decoder."""
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, getattr(config, "num_key_value_heads", None) or heads, size


def _in_front(model: nn.Module, args, kwargs):
    """Fill an empty cache with the prefix; let every token see it; count positions from behind it."""
    from transformers import DynamicCache

    prefix, cache = getattr(model, NAME), kwargs.get("past_key_values")
    ids = args[0] if args else kwargs["input_ids"]  # (rows, tokens)
    if model.training and any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        raise LoRAError("gradient checkpointing switches the cache off, and the prefix with it: train without")
    if cache is None or cache.get_seq_length() == 0:
        cache = DynamicCache() if cache is None else cache
        dtype = model.dtype
        if torch.is_autocast_enabled(ids.device.type):
            dtype = torch.get_autocast_dtype(ids.device.type)
        for layer, (key, value) in enumerate(prefix().to(dtype)):  # each (heads, length, head size)
            cache.update(key.expand(len(ids), -1, -1, -1), value.expand(len(ids), -1, -1, -1), layer)
    mask = kwargs.get("attention_mask")
    if mask is not None:  # (rows, tokens)
        kwargs["attention_mask"] = torch.cat([mask.new_ones(len(mask), prefix.length), mask], dim=1)
    if kwargs.get("position_ids") is not None:
        kwargs["position_ids"] = kwargs["position_ids"] + prefix.length
    return args, {**kwargs, "past_key_values": cache}
