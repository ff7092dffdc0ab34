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


@dataclass(frozen=True)
class Architecture:
    """kind: the tiny model's name in tiny_models. targets: square and rectangular projections.

    head: what modules_to_save names here. generates: has a decoder's generate().
    one: the suffix of a single projection, for an adapter on one layer. peft: the module names PEFT is given.
    mixed: the targets for a mixed batch, where that cannot serve all of `targets`.
    """

    kind: str
    title: str
    targets: tuple[str, ...] = ("q", "v", "mlp")
    one: str = ""
    peft: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    generates: bool = False
    mixed: tuple[str, ...] = ()


DECODER = dict(one="layers.0.self_attn.q_proj", peft=("q_proj", "v_proj", "down_proj"), generates=True)
# fmt: off
ARCHITECTURES = {
    a.kind: a
    for a in (
        Architecture("gpt2", "GPT-2", one="h.0.attn.c_attn", peft=("c_attn", "c_fc"), generates=True),
        Architecture("llama", "Llama", **DECODER, head=("lm_head",)),
        Architecture("mistral", "Mistral", **DECODER, head=("lm_head",)),
        Architecture("qwen2", "Qwen2", **DECODER),
        Architecture("phi", "Phi", ("q", "v", "o", "mlp"), one="layers.0.self_attn.dense", peft=("dense", "fc1"),
                     generates=True),
        # Its fc1 and fc2 see rows and tokens as one.
        Architecture("opt", "OPT", ("v", "o", "mlp"), one="layers.0.self_attn.out_proj", peft=("out_proj", "fc2"),
                     generates=True, mixed=("q", "v", "o")),
        Architecture("neox", "GPT-NeoX", ("query_key_value", "o", "mlp"), one="layers.0.attention.query_key_value",
                     peft=("query_key_value", "dense"), generates=True),
        Architecture("bert", "BERT", one="layer.0.attention.self.query", peft=("query", "output.dense")),
        Architecture("bert_classifier", "BERT, classifier", one="layer.0.output.dense",
                     peft=("value", "output.dense"), head=("classifier",)),
        Architecture("roberta", "RoBERTa, classifier", ("q", "o", "mlp"), one="layer.0.attention.self.query",
                     peft=("query", "intermediate.dense"), head=("classifier",)),
        Architecture("deberta", "DeBERTa-v2, classifier", one="layer.0.attention.self.query_proj",
                     peft=("query_proj", "attention.output.dense"), head=("pooler", "classifier")),
        Architecture("gpt2_classifier", "GPT-2, classifier", ("k", "o", "mlp"), one="h.0.mlp.c_fc",
                     peft=("attn.c_proj", "c_fc"), head=("score",)),
        Architecture("vit", "ViT, classifier", one="layers.0.attention.q_proj", peft=("q_proj", "fc2"),
                     head=("classifier",)),
        Architecture("plain", "nn.Module: an MLP", ("q", "mlp"), one="q_proj", peft=("q_proj", "fc1"),
                     head=("norm", "head")),
        Architecture("nested", "nn.Module: nested, shared", ("q", "to_out.0"), one="in-0.q", peft=("q", "to_out.2"),
                     head=("score",)),
    )
}
# fmt: on
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
