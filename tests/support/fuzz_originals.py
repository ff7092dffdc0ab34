"""The adapters that are damaged: several architectures, written by lorakit, by PEFT and by loralib's rules."""

import io
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import peft
import torch

import lorakit as lk
from tests.support.tiny_models import build, fill

CONFIG, WEIGHTS, TORCH = "adapter_config.json", "adapter_model.safetensors", "lora.pt"


@dataclass
class Original:
    """One adapter's files, whole, and how to load them."""

    kind: str  # of tiny model
    writer: str  # lorakit, peft or loralib
    files: dict[str, bytes]
    options: dict = field(default_factory=dict)  # of load_adapter
    canary: str = ""  # the file that a pickle among the damage would make

    @property
    def weights(self) -> str:
        return TORCH if self.writer == "loralib" else WEIGHTS


OURS = {
    "gpt2, whole": ("gpt2", dict(targets=("c_attn", "mlp"), rank_pattern={"mlp.c_fc": 3}, alpha_pattern={"c_attn": 5})),
    "gpt2, slices": ("gpt2", dict(targets=("q", "v"))),
    "llama": ("llama", dict(targets=("q", "v", "o"), use_rslora=True)),
    "bert, with its head": ("bert_classifier", dict(targets=("q", "k"), modules_to_save=("classifier",))),
}
THEIRS = {
    "gpt2": ("gpt2", dict(target_modules=["c_attn"], fan_in_fan_out=True)),
    "llama": ("llama", dict(target_modules=r".*\.(q_proj|down_proj)", rank_pattern={"q_proj": 3}, use_rslora=True)),
    "bert, with its head": ("bert_classifier", dict(target_modules=["query", "value"], task_type="SEQ_CLS")),
}


def originals() -> dict[str, Original]:
    made = {}
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (kind, settings) in OURS.items():
            made[f"lorakit: {name}"] = Original(kind, "lorakit", _by_lorakit(kind, settings, Path(place) / name))
        for name, (kind, settings) in THEIRS.items():
            made[f"peft: {name}"] = Original(kind, "peft", _by_peft(kind, settings, Path(place) / f"peft {name}"))
    config = lk.LoRAConfig(r=2, alpha=6, targets=("q", "v"))
    made["loralib: gpt2"] = Original("gpt2", "loralib", _by_loralib("gpt2", config), dict(config=config))
    return made


def _by_lorakit(kind: str, settings: dict, folder: Path) -> dict[str, bytes]:
    model = lk.inject(build(kind), lk.LoRAConfig(r=2, **settings), "made")
    fill(model, "made", seed=7)
    lk.save_adapter(model, folder)
    return read(folder)


def _by_peft(kind: str, settings: dict, folder: Path) -> dict[str, bytes]:
    wrapped = peft.get_peft_model(build(kind), peft.LoraConfig(r=2, lora_alpha=6, **settings))
    generator = torch.Generator().manual_seed(8)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    wrapped.save_pretrained(folder)
    return read(folder)


def _by_loralib(kind: str, config: lk.LoRAConfig) -> dict[str, bytes]:
    model = lk.inject(build(kind), config, "made")
    fill(model, "made", seed=9)
    tensors = {}
    for path, layer in model._lorakit.layers.items():
        for ab in ("lora_A", "lora_B"):
            tensors[f"{path}.{ab}"] = getattr(layer.adapters["made"], ab).detach().clone()
    return {TORCH: torch_bytes(tensors)}


def torch_bytes(what, **options) -> bytes:
    out = io.BytesIO()
    torch.save(what, out, **options)
    return out.getvalue()


def read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
