"""All of LoRA in one file, as students write it in chapters 03 to 10: the layer, injection, training, files, merging.

No refusals and no tricks, and everything on the CPU; `lorakit` is the same thing for real use. A projection has k
inputs and d outputs, a batch n rows of t tokens. The letters are Hu et al.'s (2021): y = W0 x + alpha / r * B A x.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

# The layer (chapters 03 and 04)


class LoRALayer(nn.Module):
    """A frozen nn.Linear or GPT-2 Conv1D, and beside it the two small matrices that train."""

    def __init__(self, base: nn.Module, r: int = 8, alpha: float = 16):
        super().__init__()
        d, k = weight_of(base).shape
        self.base, self.r, self.alpha, self.scaling = base, r, alpha, alpha / r
        self.lora_A = nn.Parameter(torch.randn(r, k) / k**0.5)  # (r, k), Gaussian
        self.lora_B = nn.Parameter(torch.zeros(d, r))  # (d, r), zero: the first output is the base's own

    def forward(self, x: Tensor) -> Tensor:
        down = F.linear(x, self.lora_A)  # (n, t, k) -> (n, t, r)
        up = F.linear(down, self.lora_B)  # (n, t, r) -> (n, t, d)
        return self.base(x) + self.scaling * up

    def delta_weight(self) -> Tensor:
        return self.scaling * self.lora_B @ self.lora_A  # (d, k)


def weight_of(layer: nn.Module) -> Tensor:
    """The layer's own weight, seen as (d, k): GPT-2's Conv1D stores it the other way round."""
    return layer.weight if isinstance(layer, nn.Linear) else layer.weight.T


# Into a model (chapter 04)


def inject(model: nn.Module, targets: tuple[str, ...], r: int = 8, alpha: float = 16) -> nn.Module:
    """Freeze the model, and put a LoRALayer around every module whose name ends in one of `targets`."""
    model.requires_grad_(False)
    for path, module in list(model.named_modules()):
        if any(path == name or path.endswith("." + name) for name in targets):
            put(model, path, LoRALayer(module, r, alpha))
    return model


def put(model: nn.Module, path: str, module: nn.Module) -> None:
    """Set the module at "transformer.h.0.attn.c_attn" to another one."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def lora_layers(model: nn.Module) -> dict[str, LoRALayer]:
    return {path: module for path, module in model.named_modules() if hasattr(module, "lora_A")}  # by any copy


# Training and answering (chapter 05)


def collate(pairs: list[tuple[str, str]], tokenizer) -> dict[str, Tensor]:
    """(prompt, answer) texts as a batch: the loss counts the answer and its end, not the prompt, not the padding."""
    rows = []
    for prompt, wanted in pairs:
        prompt_ids = tokenizer(prompt)["input_ids"]
        answer_ids = tokenizer(wanted, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        rows.append((prompt_ids + answer_ids, [-100] * len(prompt_ids) + answer_ids))
    longest, pad = max(len(ids) for ids, _ in rows), tokenizer.eos_token_id
    return {
        "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows]),  # (n, t)
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows]),
        "labels": torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in rows]),
    }


def train(model: nn.Module, tokenizer, pairs: list[tuple[str, str]], steps=100, batch=32, lr=1e-2, seed=0):
    """Learn from (prompt, answer) texts; returns the loss of every step. The rate warms up, then falls to zero."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 10, (1 + math.cos(math.pi * step / steps)) / 2)
    )
    generator, order, losses = torch.Generator().manual_seed(seed), [], []
    model.train()
    for _ in range(steps):
        while len(order) < batch:  # another pass over the examples, in another order
            order += torch.randperm(len(pairs), generator=generator).tolist()
        chosen, order = order[:batch], order[batch:]
        loss = model(**collate([pairs[i] for i in chosen], tokenizer)).loss  # shifts the labels by one itself
        optimizer.zero_grad()  # before, not after: an interrupted step leaves gradients behind
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def answer(model: nn.Module, tokenizer, prompt: str, max_new_tokens: int = 48) -> str:
    """The likeliest continuation, token by token, up to the end-of-text token."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])  # (1, t)
    start = ids.shape[1]
    for _ in range(max_new_tokens):
        token = model(ids).logits[:, -1].argmax(-1)  # (1,)
        if token == tokenizer.eos_token_id:
            break
        ids = torch.cat([ids, token[:, None]], dim=1)
    return tokenizer.decode(ids[0, start:])


# Files, as PEFT writes them (chapter 05)


def save(model: nn.Module, folder: str | Path) -> None:
    layers, tensors = lora_layers(model), {}
    for path, layer in layers.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = layer.lora_A.data  # (r, k)
        tensors[f"base_model.model.{path}.lora_B.weight"] = layer.lora_B.data  # (d, r)
    first = next(iter(layers.values()))
    config = dict(peft_type="LORA", task_type="CAUSAL_LM", r=first.r, lora_alpha=first.alpha)
    config |= dict(target_modules=sorted(layers), fan_in_fan_out=not isinstance(first.base, nn.Linear))  # a Conv1D
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(tensors, Path(folder) / "adapter_model.safetensors", metadata={"format": "pt"})
    (Path(folder) / "adapter_config.json").write_text(json.dumps(config, indent=2))


def load(model: nn.Module, folder: str | Path) -> nn.Module:
    """Put the layers of a saved adapter into a model that has none."""
    config = json.loads((Path(folder) / "adapter_config.json").read_text())
    model.requires_grad_(False)
    for key, tensor in load_file(Path(folder) / "adapter_model.safetensors").items():
        path, matrix = key.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        if not isinstance(model.get_submodule(path), LoRALayer):
            put(model, path, LoRALayer(model.get_submodule(path), config["r"], config["lora_alpha"]))
        getattr(model.get_submodule(path), matrix).data = tensor
    return model


# Merged: no detour, no added latency (chapter 09)


@torch.no_grad()
def merge(model: nn.Module) -> dict[str, tuple[LoRALayer, Tensor]]:
    """Add each update to its weight and put the plain layer back; what is returned undoes it."""
    kept = {}
    for path, layer in lora_layers(model).items():
        W = weight_of(layer.base)  # (d, k)
        kept[path] = layer, W.clone()
        W += layer.delta_weight()
        put(model, path, layer.base)
    return kept


@torch.no_grad()
def unmerge(model: nn.Module, kept: dict[str, tuple[LoRALayer, Tensor]]) -> None:
    """Copy the kept weights back, bit for bit: subtracting the update would leave the rounding of the sum behind."""
    for path, (layer, W0) in kept.items():
        weight_of(layer.base).copy_(W0)
        put(model, path, layer)


# One batch, many adapters (chapter 10)


class ManyLoRA(nn.Module):
    """Row i of a batch through adapter which[i]; all adapters of a projection have the same r."""

    def __init__(self, layers: list[LoRALayer]):
        super().__init__()
        self.base, self.which = layers[0].base, None
        self.A = torch.stack([layer.lora_A.detach() for layer in layers])  # (adapters, r, k)
        self.B = torch.stack([layer.scaling * layer.lora_B.detach() for layer in layers])  # (adapters, d, r)

    def forward(self, x: Tensor) -> Tensor:
        A, B = self.A[self.which], self.B[self.which]  # (n, r, k), (n, d, r)
        down = torch.bmm(x, A.mT)  # (n, t, k) -> (n, t, r)
        return self.base(x) + torch.bmm(down, B.mT)  # (n, t, d)


def together(model: nn.Module, adapters: list[dict[str, LoRALayer]]) -> None:
    """Put several adapters, each as `lora_layers` gave it, on the same projections of the model."""
    for path in adapters[0]:
        put(model, path, ManyLoRA([adapter[path] for adapter in adapters]))


def choose(model: nn.Module, which: list[int]) -> None:
    """The adapter of every row of the batches to come."""
    for module in model.modules():
        if isinstance(module, ManyLoRA):
            module.which = torch.tensor(which)  # (n,)
