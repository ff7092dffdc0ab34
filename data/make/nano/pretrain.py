"""`make nano`: corpus, tokenizer, pretraining (goes on where it stopped), the saved models; working files in runs/nano.

    python -m data.make.nano.pretrain

A warm-up / stable / decay schedule: the stable phase has no fixed length, so a run can be extended by decaying later
(Hu et al. 2024, "MiniCPM").
"""

import copy
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from data.make.nano.corpus import Corpus, train_tokenizer, write_held_out
from lorakit.files.folder import replace_files
from lorakit.lab import record
from lorakit.lab.json_lines import append, read
from lorakit.lab.places import DATA, RESULTS
from lorakit.lab.step import autocast, quick_precision


@dataclass(frozen=True)
class Plan:
    """How long and how fast. A step is 4,096 tokens: 32 rows of 128, in every fourth shard 16 rows of 256."""

    early_shards: int = 4  # stage 1, whose end is nano-early
    shards: int = 14  # both stages
    decay_shards: int = 3  # the last ones, with the rate falling to zero
    steps_per_shard: int = 256
    tokens_per_step: int = 4096
    peak: float = 2.5e-3
    warmup: int = 150
    weight_decay: float = 0.1

    @property
    def steps(self) -> int:
        return self.shards * self.steps_per_shard

    def stage(self, shard: int) -> str:
        return "early" if shard < self.early_shards else "paired"

    def rate(self, step: int) -> float:
        """The learning rate at a step, counted from 0."""
        decay = self.decay_shards * self.steps_per_shard
        return self.peak * min(1.0, (step + 1) / self.warmup, max(0.01, (self.steps - step) / decay))


def new_model(vocab_size: int, end: int, seed=0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=256,
        n_embd=256,
        n_layer=4,
        n_head=4,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own GELU, in one kernel
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return GPT2LMHeadModel(config)


def adamw(model, plan: Plan) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.peak, betas=(0.9, 0.95), fused=True)


def loss_of(model, rows) -> torch.Tensor:
    ids = torch.from_numpy(rows.astype("int64"))  # (rows, length)
    with autocast(ids.device, quick_precision(ids.device)):
        logits = model(input_ids=ids).logits  # (rows, length, vocab)
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


@torch.no_grad()
def validate(model, held) -> dict[str, float]:
    model.eval()
    losses = {group: round(float(loss_of(model, rows)), 4) for group, rows in held.items()}
    model.train()
    return losses


def train_step(model, optimizer, rows, rate: float) -> float:
    """One step at a learning rate; the loss before it, nats per token."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = loss_of(model, rows)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def pretrain(model, corpus, tokenizer, plan: Plan, folder: Path, save) -> None:
    """Train to the end of the plan, from the last whole shard on if there is a checkpoint in `folder`.

    `save(model, name)` is called with "nano-early" at the end of stage 1 and with "nano" at the end. Twice a shard,
    loss, rate, held-out losses and seconds go to folder/log.jsonl.
    """
    optimizer, checkpoint = adamw(model, plan), folder / "checkpoint.pt"
    first, before = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, before = state["shards"], state["seconds"]
    held, half = corpus.validation(tokenizer), plan.steps_per_shard // 2
    started = time.monotonic()
    model.train()
    for shard in range(first, plan.shards):
        length = 256 if shard % 4 == 3 else 128
        rows = corpus.shard(plan.stage(shard), shard, tokenizer, length)
        batches = rows.reshape(-1, plan.tokens_per_step // length, length)
        losses = []
        for within, batch in enumerate(tqdm(batches, desc=f"shard {shard + 1} of {plan.shards}", mininterval=10)):
            step = shard * plan.steps_per_shard + within
            losses.append(train_step(model, optimizer, batch, plan.rate(step)))
            if (within + 1) % half == 0:
                row = {"step": step + 1, "tokens": (step + 1) * plan.tokens_per_step, "rate": plan.rate(step)}
                row |= {"loss": round(sum(losses[-half:]) / half, 4), "validation": validate(model, held)}
                append(folder / "log.jsonl", row | {"seconds": round(before + time.monotonic() - started, 1)})
        if shard + 1 == plan.early_shards:
            save(model, "nano-early")
        if shard + 1 == plan.shards:
            save(model, "nano")
        state = {"shards": shard + 1, "seconds": before + time.monotonic() - started}
        state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, written := io.BytesIO())
        replace_files(folder, {"checkpoint.pt": written.getvalue()})


def get_tokenizer(corpus: Corpus, folder: Path):
    """The tokenizer in `folder`, trained there first if there is none."""
    if not (folder / "tokenizer.json").exists():
        mixed = corpus.documents("early", -1, 15_000) + corpus.documents("paired", -1, 30_000)
        train_tokenizer([text for _, text in mixed]).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def save_model(model, tokenizer, folder: Path) -> None:
    """Weights as fp16 safetensors with config and tokenizer, loadable by AutoModelForCausalLM / AutoTokenizer."""
    copy.deepcopy(model).half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"  # what from_pretrained gives where no dtype is asked for
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(folder)


def main() -> None:
    work = Path("runs/nano")
    plan, corpus = Plan(), Corpus(work / "cache")
    tokenizer = get_tokenizer(corpus, work / "tokenizer")
    torch.set_float32_matmul_precision("high")
    model = new_model(len(tokenizer), tokenizer.eos_token_id)
    pretrain(
        model, corpus, tokenizer, plan, work / "run", lambda model, name: save_model(model, tokenizer, DATA / name)
    )
    write_held_out(corpus, tokenizer, DATA / "nano" / "held_out.json")
    record.write(RESULTS / "nano_pretraining.json", {"log": read(work / "run" / "log.jsonl")}, "make nano")


if __name__ == "__main__":
    main()
