"""Pretraining itself: one loop, a warm-up / stable / decay schedule, checkpoints that resume exactly.

The stable phase has no fixed length, so a run can be extended by decaying later (Hu et al. 2024, "MiniCPM").
"""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

from lorakit.lab.step import autocast, quick_precision

STEPS_PER_SHARD, TOKENS_PER_STEP = 256, 4096


@dataclass
class Plan:
    """How long and how fast. A step is 4,096 tokens: 32 rows of 128, in every fourth shard 16 rows of 256."""

    early_shards: int = 4  # stage 1, whose end is nano-early
    shards: int = 14  # both stages
    decay_shards: int = 3  # the last ones, with the rate falling to zero
    peak: float = 2.5e-3
    warmup: int = 150
    weight_decay: float = 0.1
    optimizer: str = "adamw"

    @property
    def steps(self) -> int:
        return self.shards * STEPS_PER_SHARD

    def stage(self, shard: int) -> str:
        return "early" if shard < self.early_shards else "paired"

    def rate(self, step: int) -> float:
        """Share of the peak rate at a step."""
        decay = self.decay_shards * STEPS_PER_SHARD
        return min(1.0, (step + 1) / self.warmup, max(0.01, (self.steps - step) / decay))


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


def optimizers(model, plan: Plan) -> list[torch.optim.Optimizer]:
    """AdamW; or Muon for the blocks' matrices with AdamW for the rest."""
    matrices = [p for n, p in model.transformer.h.named_parameters() if p.dim() == 2]
    seen = {id(p) for p in matrices}
    tables = [p for p in model.parameters() if p.dim() == 2 and id(p) not in seen]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    decay, muon = plan.weight_decay, plan.optimizer == "muon"
    adam = [
        {"params": tables if muon else tables + matrices, "weight_decay": decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    made = [torch.optim.AdamW(adam, lr=plan.peak, betas=(0.9, 0.95), fused=True)]
    if muon:
        made.append(
            torch.optim.Muon(matrices, lr=plan.peak, weight_decay=decay, adjust_lr_fn="match_rms_adamw", nesterov=True)
        )
    return made


def loss_of(model, rows) -> torch.Tensor:
    ids = torch.from_numpy(rows.astype("int64"))  # (rows, length)
    with autocast(ids.device, quick_precision(ids.device)):
        logits = model(input_ids=ids).logits  # (rows, length, vocab)
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


@torch.no_grad()
def validate(model, held) -> dict[str, float]:
    model.eval()
    losses = {group: float(loss_of(model, rows)) for group, rows in held.items()}
    model.train()
    return losses


def pretrain(corpus, tokenizer, plan: Plan, folder: Path, save, until=None, checkpoint_seconds=120):
    """Train to the end of the plan (or to step `until`), resuming from `folder` if a checkpoint lies there.

    `save(model, name)` is called with "nano-early" at the end of stage 1 and "nano" at the end. Loss, rate and
    tokens a second go to folder/log.jsonl.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = new_model(len(tokenizer), tokenizer.eos_token_id)
    optims, step, seconds = optimizers(model, plan), 0, 0.0
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optim, saved in zip(optims, state["optims"], strict=True):
            optim.load_state_dict(saved)
        step, seconds = state["step"], state["seconds"]
    held = corpus.validation(tokenizer)
    model.train()
    started = saved_at = time.monotonic()
    rows, running, bar = None, None, tqdm(total=plan.steps, initial=step, unit="step", mininterval=10)
    before = seconds

    def keep():
        state = {
            "model": model.state_dict(),
            "optims": [o.state_dict() for o in optims],
            "step": step,
            "seconds": seconds,
        }
        torch.save(state, folder / "checkpoint.tmp")
        (folder / "checkpoint.tmp").replace(checkpoint)

    while step < min(plan.steps, until or plan.steps):
        shard, within = divmod(step, STEPS_PER_SHARD)
        length = 256 if shard % 4 == 3 else 128
        batch = TOKENS_PER_STEP // length
        if rows is None or within == 0:
            rows = corpus.shard(plan.stage(shard), shard, tokenizer, length)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = plan.peak * plan.rate(step)
        loss = loss_of(model, rows[within * batch : (within + 1) * batch])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        step += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        bar.update()
        bar.set_postfix(loss=f"{running:.3f}", refresh=False)
        seconds = before + time.monotonic() - started
        if step % 64 == 0:
            report = {"step": step, "tokens": step * TOKENS_PER_STEP, "seconds": round(seconds, 1),
                      "loss": round(running, 4),
                      "rate": plan.peak * plan.rate(step)}  # fmt: skip
            if step % 128 == 0:
                report["validation"] = {g: round(v, 4) for g, v in validate(model, held).items()}
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(report) + "\n")
        if time.monotonic() - saved_at > checkpoint_seconds:
            keep()
            saved_at = time.monotonic()
        if step == plan.early_shards * STEPS_PER_SHARD:
            save(model, "nano-early")
    keep()
    bar.close()
    if step == plan.steps:
        save(model, "nano")
    with suppress(OSError):
        (folder / "plan.json").write_text(json.dumps(asdict(plan), indent=2) + "\n")
    return model
