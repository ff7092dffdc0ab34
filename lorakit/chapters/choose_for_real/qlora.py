"""QLoRA on nano: the same adapter trained on the base in float32, in NF4, and in even 4-bit steps.

    python -m lorakit.chapters.choose_for_real.qlora             writes data/results/qlora.json
    python -m lorakit.chapters.choose_for_real.qlora smollm2     writes data/results/qlora_smollm2.json

LoRA r = 8 on all projections, on Python source, 60 steps of 8, three seeds. All bases share a rate: it is the same
method at the same place. About five minutes on one core.

The second is the real thing: SmolLM2 (make models) on bitsandbytes' layers, on text-to-SQL, 30 steps of 8, one seed.
About twenty minutes on one core.
"""

import sys

import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import lorakit as lk
from lorakit import by_hand
from lorakit.lab import record
from lorakit.lab.bases.load import find_base
from lorakit.lab.evaluate import answer_loss, evaluate, mean_loss
from lorakit.lab.loop import fit
from lorakit.lab.places import RESULTS
from lorakit.lab.tasks import TASKS
from lorakit.study.memory_measured import count_bytes, measure_step
from lorakit.study.nf4 import PackedConv1D
from lorakit.study.packing import packed

RECORD = RESULTS / "qlora.json"
PROJECTIONS = ("c_attn", "c_proj", "c_fc")
BASES = ("float32", "NF4", "even 4 bits")
SETTING = {"lr": 1e-2, "steps": 60, "batch_size": 8}
SMOLLM2 = RESULTS / "qlora_smollm2.json"
LLM = {"steps": 30, "lr": 1e-3, "batch_size": 8}


def quantize(model: nn.Module, base: str) -> nn.Module:
    """Keep the weights of all projections as `base` says; the embeddings stay as they are."""
    for path, module in list(model.named_modules()):
        if path.endswith(PROJECTIONS) and base == "NF4":
            by_hand.put(model, path, PackedConv1D(module))
        elif path.endswith(PROJECTIONS) and base == "even 4 bits":
            module.weight.data = packed(module.weight.data, 4)
    return model


def run(base: str, seed: int) -> dict:
    """One training; "before" and "after" are bits per byte on the test."""
    task = TASKS["python"]()
    model, tokenizer = lk.load_base("nano", device="cpu")
    before = evaluate(quantize(model, base), tokenizer, task)["bits_per_byte"]
    torch.manual_seed(seed)
    by_hand.inject(model, PROJECTIONS, r=8, alpha=16)
    fit(model, tokenizer, task, seed=seed, precision="no", progress=False, **SETTING)
    after = evaluate(model, tokenizer, task)["bits_per_byte"]
    return {"base": base, "seed": seed, "before": before, "after": after}


def recorded() -> pd.DataFrame:
    """A row a base: bits per byte before, and after training (mean, lowest, highest of the seeds)."""
    rows = pd.DataFrame(record.read(RECORD)["rows"])
    found = rows.groupby("base", sort=False)
    return found["after"].agg(["mean", "min", "max"]).assign(before=found["before"].first())


def run_smollm2(base: str) -> dict:
    """One training of SmolLM2; losses in nats per token of the answer, on 64 questions of the test, a step in bytes."""
    model, tokenizer = lk.load_base("smollm2", device="cpu")
    if base == "NF4":
        how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
        folder, more = find_base("smollm2")[0], {"dtype": torch.float32, "device_map": "cpu"}
        model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=how, **more).eval()
    layers = [module for path, module in model.named_modules() if path.endswith("_proj")]
    numbers = sum(layer.in_features * layer.out_features for layer in layers)
    scales = [layer.weight.quant_state.absmax for layer in layers if base == "NF4"]
    kept = count_bytes([*(layer.weight for layer in layers), *scales])
    task = TASKS["text_to_sql"]()
    asked = task.test[:64]
    before = mean_loss(model, tokenizer, asked, batch_size=16)
    lk.inject(model, lk.LoRAConfig(r=8, alpha=16, targets=("all-linear",)), seed=0)
    batch = task.collate(task.encode(task.train[: LLM["batch_size"]], tokenizer), tokenizer.pad_token_id)
    peak = measure_step(model.train(), lambda: answer_loss(model, batch)[0]).peak
    fit(model, tokenizer, task, seed=0, precision="no", progress=False, **LLM)
    after = mean_loss(model, tokenizer, asked, batch_size=16)
    return {
        "base": base, "before": before, "after": after, "numbers": numbers, "kept_bytes": kept, "peak_bytes": peak,
    }  # fmt: skip


def smollm2() -> pd.DataFrame:
    """A row a base: loss before and after, bits a number of the projections at rest, a step's peak in MB."""
    rows = pd.DataFrame(record.read(SMOLLM2)["rows"]).set_index("base")
    bits, peak = 8 * rows["kept_bytes"] / rows["numbers"], rows["peak_bytes"] / 1e6
    return rows[["before", "after"]].assign(bits=bits, peak=peak)


def main() -> None:
    command = "python -m lorakit.chapters.choose_for_real.qlora"
    if "smollm2" in sys.argv:
        rows = [run_smollm2(base) for base in tqdm(("float32", "NF4"), desc="qlora")]
        about = {"versions": record.versions("bitsandbytes"), "setting": LLM}
        record.write(SMOLLM2, about | {"rows": rows}, f"{command} smollm2")
        return
    todo = [(base, seed) for seed in range(3) for base in BASES]
    rows = [run(base, seed) for base, seed in tqdm(todo, desc="qlora")]
    record.write(RECORD, {"setting": {"r": 8, **SETTING, "targets": PROJECTIONS}, "rows": rows}, command)


if __name__ == "__main__":
    main()
