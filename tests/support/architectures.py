"""Every architecture that the suite runs over: its tiny model, what is adapted there, what it can do."""

import copy
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

import lorakit as lk
from lorakit import LoRAConfig
from tests.support.tiny_models import build, fill, logits

MIXED = ("q", "v", "mlp")


@dataclass(frozen=True)
class Architecture:
    """kind: the tiny model's name in tiny_models. targets: square and rectangular projections.

    head: what modules_to_save names here. generates: has a decoder's generate().
    one: the suffix of a single projection, for an adapter on one layer. peft: the module names PEFT is given.
    mixed: the targets for a mixed batch, where that cannot serve all of `targets`.
    """

    kind: str
    title: str
    targets: tuple[str, ...]
    one: str
    peft: tuple[str, ...]
    head: tuple[str, ...] = ()
    generates: bool = False
    mixed: tuple[str, ...] = ()


DECODER_NAMES = ("q_proj", "v_proj", "down_proj")
ARCHITECTURES = {
    a.kind: a
    for a in (
        Architecture("gpt2", "GPT-2", MIXED, "h.0.attn.c_attn", ("c_attn", "c_fc"), generates=True),
        Architecture("llama", "Llama", MIXED, "layers.0.self_attn.q_proj", DECODER_NAMES, ("lm_head",), True),
        Architecture("mistral", "Mistral", MIXED, "layers.0.self_attn.q_proj", DECODER_NAMES, ("lm_head",), True),
        Architecture("qwen2", "Qwen2", MIXED, "layers.0.self_attn.q_proj", DECODER_NAMES, (), True),
        Architecture("phi", "Phi", ("q", "v", "o", "mlp"), "layers.0.self_attn.dense", ("dense", "fc1"), (), True),
        Architecture(
            *("opt", "OPT", ("v", "o", "mlp"), "layers.0.self_attn.out_proj", ("out_proj", "fc2")),
            generates=True,
            mixed=("q", "v", "o"),  # its fc1 and fc2 see rows and tokens as one
        ),
        Architecture(
            *("neox", "GPT-NeoX", ("query_key_value", "o", "mlp"), "layers.0.attention.query_key_value"),
            ("query_key_value", "dense"),
            generates=True,
        ),
        Architecture("bert", "BERT", MIXED, "layer.0.attention.self.query", ("query", "output.dense")),
        Architecture(
            "bert_classifier",
            "BERT, classifier",
            MIXED,
            "layer.0.output.dense",
            ("value", "output.dense"),
            ("classifier",),
        ),
        Architecture(
            *("roberta", "RoBERTa, classifier", ("q", "o", "mlp"), "layer.0.attention.self.query"),
            *(("query", "intermediate.dense"), ("classifier",)),
        ),
        Architecture(
            *("deberta", "DeBERTa-v2, classifier", MIXED, "layer.0.attention.self.query_proj"),
            *(("query_proj", "attention.output.dense"), ("pooler", "classifier")),
        ),
        Architecture(
            "gpt2_classifier",
            "GPT-2, classifier",
            ("k", "o", "mlp"),
            "h.0.mlp.c_fc",
            ("attn.c_proj", "c_fc"),
            ("score",),
        ),
        Architecture("vit", "ViT, classifier", MIXED, "layers.0.attention.q_proj", ("q_proj", "fc2"), ("classifier",)),
        Architecture("plain", "nn.Module: an MLP", ("q", "mlp"), "q_proj", ("q_proj", "fc1"), ("norm", "head")),
        Architecture("nested", "nn.Module: nested, shared", ("q", "to_out.0"), "in-0.q", ("q", "to_out.2"), ("score",)),
    )
}
KINDS = list(ARCHITECTURES)
WITH_HEAD = [kind for kind, a in ARCHITECTURES.items() if a.head]
DECODERS = [kind for kind, a in ARCHITECTURES.items() if a.generates]
HALVES = [torch.float16, torch.bfloat16]
DTYPES = [torch.float32, *HALVES]


@cache
def _prototype(kind: str, seed: int, dtype: torch.dtype) -> nn.Module:
    return build(kind, seed).to(dtype)


def base(kind: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """A fresh copy of the tiny model, in eval mode."""
    return copy.deepcopy(_prototype(kind, seed, dtype))


def untrained(kind: str, name: str = "sql", dtype: torch.dtype = torch.float32, **fields) -> nn.Module:
    """The model with a fresh adapter."""
    model = base(kind, dtype)
    targets = ARCHITECTURES[kind].targets
    return lk.inject(model, LoRAConfig(**{"r": 3, "alpha": 7, "targets": targets, **fields}), name=name, seed=1)


def adapted(kind: str, dtype: torch.dtype = torch.float32, **fields) -> nn.Module:
    """The model with an adapter whose A and B are random, as if trained."""
    model = untrained(kind, dtype=dtype, **fields)
    fill(model, "sql")
    return model


def two_adapters(kind: str, dtype: torch.dtype = torch.float32, mixed: bool = False) -> nn.Module:
    """Adapters "a" and "b", of different ranks and partly on different projections; "b" is active."""
    model, targets = base(kind, dtype), (mixed and ARCHITECTURES[kind].mixed) or ARCHITECTURES[kind].targets
    for number, (name, where) in enumerate((("a", targets), ("b", targets[:-1]))):
        lk.inject(model, LoRAConfig(r=2 + number, alpha=5, targets=where), name=name, seed=number)
        fill(model, name, seed=number)
    return model


def in_float64(model: nn.Module) -> nn.Module:
    """The model in float64 throughout: Llama's kind of norm computes in float32 whatever the dtype."""
    for path, module in list(model.named_modules()):
        if hasattr(module, "variance_epsilon"):
            norm = nn.RMSNorm(module.weight.shape[0], eps=module.variance_epsilon)
            norm.weight.data = module.weight.data
            model.set_submodule(path, norm.requires_grad_(module.weight.requires_grad))
    return model.double()


def with_buffers_of(model: nn.Module, kind: str) -> nn.Module:
    """The untouched base, with the running statistics that training mode gathers with or without an adapter.

    Nothing else of the model: a yardstick that takes its parameters from what it measures moves along with it.
    """
    plain = base(kind)
    plain.load_state_dict(
        {k: v for k, v in model.state_dict().items() if "running" in k or "batches" in k}, strict=False
    )
    return plain


def loss_of(model: nn.Module) -> torch.Tensor:
    """Cross-entropy against fixed random labels, at every position where the model has several."""
    scores = logits(model, grad=True).flatten(0, -2).float()
    labels = torch.randint(scores.shape[-1], (len(scores),), generator=torch.Generator().manual_seed(11))
    return F.cross_entropy(scores, labels)


def train(model: nn.Module, optimizer: type, lr: float, steps: int = 3) -> None:
    model.train()
    optimiser = optimizer([p for p in model.parameters() if p.requires_grad], lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        loss_of(model).backward()
        optimiser.step()
    model.eval()


def is_adapter(path: str) -> bool:
    return ".adapters." in path
