"""The adapters that are damaged: several architectures, written by lorakit, by PEFT and by loralib's rules."""

import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import peft

import lorakit as lk
from tests.support.saving import WEIGHTS, adapted, contents, randomise, torch_bytes
from tests.support.tiny_models import build

TORCH = "lora.pt"


@dataclass
class Original:
    """One adapter's files, whole, and how to load them."""

    kind: str  # of tiny model
    writer: str  # lorakit, peft or loralib
    files: dict[str, bytes]
    options: dict = field(default_factory=dict)  # of load_adapter
    canary: str = ""  # the file that a pickle among the damage would make
    others: list["Original"] = field(default_factory=list, repr=False)

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


def originals(canary: Path) -> dict[str, Original]:
    made = {}
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (kind, settings) in OURS.items():
            lk.save_adapter(adapted(kind, seed=7, **settings), folder := Path(place) / f"lorakit {name}")
            made[f"lorakit: {name}"] = Original(kind, "lorakit", _files(folder))
        for name, (kind, settings) in THEIRS.items():
            model = peft.get_peft_model(build(kind), peft.LoraConfig(r=2, lora_alpha=6, **settings))
            randomise(model)
            model.save_pretrained(folder := Path(place) / f"peft {name}")
            made[f"peft: {name}"] = Original(kind, "peft", _files(folder))
    config = lk.LoRAConfig(r=2, alpha=6, targets=("q", "v"))
    layers = adapted("gpt2", alpha=6, targets=("q", "v"))._lorakit.layers
    tensors = {
        f"{path}.{ab}": getattr(a.active, ab).detach() for path, a in layers.items() for ab in ("lora_A", "lora_B")
    }
    made["loralib: gpt2"] = Original("gpt2", "loralib", {TORCH: torch_bytes(tensors)}, dict(config=config))
    for each in made.values():
        each.canary, each.others = str(canary), [other for other in made.values() if other is not each]
    return made


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: data for path, data in contents(folder).items() if path.suffix != ".md"}
