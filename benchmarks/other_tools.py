"""lorakit under other people's tools, beside PEFT: `python benchmarks/other_tools.py` writes other_tools.json.

On a tiny Llama. Both begin with the same A and B; each tool is told to do the same with both, and the row says how far
the losses, or the logits, or the texts are apart. A tool that is not installed is a row that says so. docs/supported.md
shows the table.
"""

import math
import os
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import PeftModel  # noqa: E402

import lorakit as lk  # noqa: E402
from lorakit.lab import record  # noqa: E402
from lorakit.lab.places import DATA, RESULTS  # noqa: E402
from tests.support.llama import IDS, adapted, llama, logits  # noqa: E402

HERE = Path(tempfile.mkdtemp())
TEXTS = ["one two three", "four five six", "seven eight nine", "ten eleven twelve"]
TOKENIZER = transformers.AutoTokenizer.from_pretrained(DATA / "nano")


def base(**how):
    """The same tiny Llama each time; read from its folder where it is to be quantized."""
    if not (HERE / "base").is_dir():
        end = TOKENIZER.eos_token_id
        llama(vocab_size=len(TOKENIZER), pad_token_id=end, eos_token_id=end).save_pretrained(HERE / "base")
    return transformers.AutoModelForCausalLM.from_pretrained(HERE / "base", **how)


def pair(make: Callable = base):
    """The base with the same adapter by lorakit and by PEFT, both trainable; B is not zero, so that it matters."""
    ours = adapted(make(), alpha=8)
    lk.save_adapter(ours, HERE / "adapter")
    return ours, PeftModel.from_pretrained(make(), HERE / "adapter", is_trainable=True)


HOW = dict(max_steps=5, logging_steps=1, learning_rate=1e-2, report_to=[], use_cpu=True, disable_tqdm=True, seed=0)


def losses(trainer) -> torch.Tensor:
    trainer.train()
    return torch.tensor([row["loss"] for row in trainer.state.log_history if "loss" in row], dtype=torch.float64)


def trainer(model):
    rows = [{"input_ids": ids, "labels": ids} for ids in IDS] * 4
    args = transformers.TrainingArguments(str(HERE / "run"), **HOW)
    return losses(transformers.Trainer(model, args, train_dataset=rows))


def dataset(rows: list[dict]):
    from datasets import Dataset, fingerprint

    # Names for its cache, which it makes by pickling what it is given: that fails beside some versions of pyarrow.
    fingerprint.Hasher.hash = classmethod(lambda cls, value: uuid.uuid4().hex)
    return Dataset.from_list(rows)


def sft(model):
    import trl

    data = dataset([{"text": text} for text in TEXTS])
    args = trl.SFTConfig(str(HERE / "sft"), per_device_train_batch_size=2, bf16=False, **HOW)
    return losses(trl.SFTTrainer(model, args, train_dataset=data, processing_class=TOKENIZER))


def dpo(model):
    import trl

    data = dataset([{"prompt": t, "chosen": " yes", "rejected": " no"} for t in TEXTS])
    args = trl.DPOConfig(str(HERE / "dpo"), per_device_train_batch_size=2, bf16=False, **HOW)
    return losses(trl.DPOTrainer(model, base(), args=args, train_dataset=data, processing_class=TOKENIZER))


def accelerate(model):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model, optimizer = accelerator.prepare(model, optimizer)
    for _ in range(5):
        loss = model(input_ids=IDS, labels=IDS).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()


def computed(model):
    return logits(model.eval())


def compiled(model):
    return logits(torch.compile(model.eval(), fullgraph=True))


def pipeline(model):
    """The bytes of the text, since texts have no difference."""
    write = transformers.pipeline("text-generation", model=model.eval(), tokenizer=TOKENIZER)
    text = write("one", max_new_tokens=8, do_sample=False)[0]["generated_text"]
    return torch.tensor(list(text.encode()))


def beams(model):
    return model.eval().generate(input_ids=IDS[:1], max_new_tokens=8, num_beams=4)


def assisted(model):
    return model.eval().generate(input_ids=IDS[:1], max_new_tokens=8, assistant_model=base().eval())


def bitsandbytes(**how):
    return lambda: base(quantization_config=transformers.BitsAndBytesConfig(**how))


def torchao():
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = base()
    quantize_(model, Int8WeightOnlyConfig())
    return model


NF4 = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
# tool: its package, what is compared, how it is got from an adapted model, and what makes the base
ROWS: dict[str, tuple[str, str, Callable, Callable]] = {
    "transformers Trainer": ("transformers", "5 steps, losses", trainer, base),
    "TRL SFTTrainer": ("trl", "SFT, 5 steps, losses", sft, base),
    "TRL DPOTrainer": ("trl", "DPO with a reference model of its own, 5 steps, losses", dpo, base),
    "Accelerate": ("accelerate", "prepare, 5 steps, last loss", accelerate, base),
    "bitsandbytes 4 bit": ("bitsandbytes", "NF4, logits", computed, bitsandbytes(**NF4)),
    "bitsandbytes 8 bit": ("bitsandbytes", "logits", computed, bitsandbytes(load_in_8bit=True)),
    "torchao": ("torchao", "int8 weights, logits", computed, torchao),
    "torch.compile": ("torch", "fullgraph, logits", compiled, base),
    "pipeline": ("transformers", "text-generation, text", pipeline, base),
    "beam search": ("transformers", "4 beams, tokens", beams, base),
    "assisted decoding": ("transformers", "a draft model, tokens", assisted, base),
}


def main() -> None:
    found = []
    for tool, (package, what, run, make) in ROWS.items():
        row = {"tool": tool, "version": "", "what": what, "difference": None}
        try:
            ours, peft = (run(model) for model in pair(make))
            difference = float((ours - peft).abs().max()) if ours.shape == peft.shape else math.inf
            row |= {"version": version(package), "difference": difference}
        except ImportError as error:
            row["what"] = f"not installed here ({error.name})"
        found.append(row)
        print(row, flush=True)
    command = "python benchmarks/other_tools.py"
    record.write(RESULTS / "other_tools.json", {"peft": version("peft"), "tools": found}, command)


if __name__ == "__main__":
    main()
