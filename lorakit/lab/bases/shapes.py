"""The GPT-2 family by shape: the same architecture with random weights, for time, memory and counts.

None of these depends on the values of the weights, so they can be measured where the real ones cannot be reached. What
does depend on them, such as a loss or an answer, needs `load_base`.
"""

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.study.parameters import SHAPES, Decoder

FAMILY = {name: shape for name, shape in SHAPES.items() if name.startswith("gpt2")}


def random_gpt2(
    shape: str | Decoder,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    dropout: float = 0.1,
) -> nn.Module:
    """A GPT-2 with random weights in eval mode; the caller's random state is left as it was.

    shape    "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", or a Decoder
    device   where the model is made: nothing goes through the CPU's memory. "meta" makes shapes without numbers
    dropout  0.1 is what GPT-2's own config has

    Raises LoRAError for a name that the family has not.
    """
    from transformers import AutoModelForCausalLM

    if isinstance(shape, str):
        if shape not in FAMILY:
            raise LoRAError(f"shape must be one of {', '.join(FAMILY)}, got {shape!r}")
        shape = FAMILY[shape]
    device = torch.device(device)
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), device:
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config_of(shape, dropout), dtype=dtype)
    model.loss_type = "ForCausalLM"  # or transformers warns with the first loss, which breaks a compiled graph
    return model.eval()


def config_of(shape: Decoder, dropout: float = 0.1):
    """The GPT2Config of a shape."""
    from transformers import GPT2Config

    last = shape.vocabulary - 1  # GPT-2's end of text is the last of its tokens
    return GPT2Config(
        n_layer=shape.layers, n_embd=shape.width, n_head=shape.heads, vocab_size=shape.vocabulary,
        n_positions=shape.context, resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
        bos_token_id=last, eos_token_id=last,
    )  # fmt: skip
