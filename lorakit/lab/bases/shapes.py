"""The GPT-2 family by shape: the same architecture with random weights, for time, memory and counts.

None of these depends on the values of the weights, so they can be measured where the real ones cannot be reached. What
does depend on them, such as a loss or an answer, needs `load_base`.
"""

import os
from pathlib import Path

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.study.parameters import SHAPES, Decoder

FAMILY = {name: shape for name, shape in SHAPES.items() if name.startswith("gpt2")}


def random_base(
    shape: str | Decoder,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    dropout: float = 0.1,
):
    """A GPT-2 with random weights in eval mode, and GPT-2's tokenizer, or None where it is not at hand.

    shape    "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", or a Decoder
    device   where the model is made: nothing goes through the CPU's memory. "meta" makes shapes without numbers
    dropout  0.1 is what GPT-2's own config has

    The tokenizer is read from LORAKIT_DATA/gpt2-tokenizer. Raises LoRAError for a name that the family has not.
    """
    return random_gpt2(shape, device=device, dtype=dtype, seed=seed, dropout=dropout), gpt2_tokenizer()


def random_gpt2(
    shape: str | Decoder,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    dropout: float = 0.1,
) -> nn.Module:
    """The model of `random_base` alone. The caller's random state is left as it was."""
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


def gpt2_tokenizer():
    """GPT-2's tokenizer from LORAKIT_DATA/gpt2-tokenizer, set up as `load_base` does it; None where it is not there."""
    data = os.environ.get("LORAKIT_DATA")
    folder = Path(data).expanduser() / "gpt2-tokenizer" if data else None
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    from transformers import GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast.from_pretrained(folder, padding_side="left", local_files_only=True)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
