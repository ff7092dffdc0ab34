"""Fine-tune from a shell: `python -m lorakit.lab.train --model nano --task text_to_sql --r 8 --out runs/sql`."""

import argparse
import json
import sys
from pathlib import Path

import lorakit as lk
from lorakit import lab
from lorakit.lab.many.processes import this_process
from lorakit.lab.tasks import TASKS
from lorakit.study.head import head_modules

EPILOG = """examples:
  python -m lorakit.lab.train --task text_to_sql --out runs/sql
  torchrun --nproc-per-node 2 -m lorakit.lab.train --out runs/sql           a batch shared out among two GPUs
  accelerate launch --num_processes 2 -m lorakit.lab.train --out runs/sql   the same
  torchrun --nproc-per-node 4 -m lorakit.lab.train --shard --dtype bfloat16 --model FOLDER --out runs/big
                                                                            a base that no single GPU holds

Exit codes: 0 done, 1 cannot be done (the reason is on the last line), 2 wrong arguments, 130 stopped with Ctrl-C
(what was learnt is saved).
"""


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, and the examples line by line."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m lorakit.lab.train",
        description="Fine-tune a base model on a task with LoRA (or whole, with --full); score it before and after.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    made.add_argument("--model", default="nano", help="nano, smollm2, minilm (for sst2), gpt2, any Hub id or folder")
    made.add_argument("--task", default="text_to_sql", choices=sorted(TASKS))
    made.add_argument("--out", type=Path, required=True, help="folder for the result")
    made.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    made.add_argument("--dtype", help="float32, bfloat16 or float16 for the base's weights (default: float32)")
    made.add_argument(
        "--shard",
        action="store_true",
        help="cut the frozen base up over the processes of torchrun or accelerate launch, each holding its share",
    )
    lora = made.add_argument_group("LoRA")
    lora.add_argument("--r", type=int, default=8, help="rank")
    lora.add_argument("--alpha", type=float, default=16, help="the update is scaled by alpha / r")
    lora.add_argument("--dropout", type=float, default=0.0, help="on the adapter's input")
    lora.add_argument("--targets", nargs="+", default=["q", "v"], help="q k v o mlp all-linear, or module names")
    lora.add_argument("--rslora", action="store_true", help="scale by alpha / sqrt(r)")
    lora.add_argument("--full", action="store_true", help="train every weight instead (then use --lr 2e-3 or so)")
    run = made.add_argument_group("training")
    run.add_argument("--steps", type=int, default=200)
    run.add_argument("--batch-size", type=int, default=32, help="examples per step, over all processes")
    run.add_argument("--accumulate", type=int, default=1, help="cut each batch into so many parts, to save memory")
    run.add_argument("--lr", type=float, default=1e-2, help="peak learning rate")
    run.add_argument("--warmup", type=int, default=10, help="steps of rising learning rate")
    run.add_argument("--schedule", default="cosine", choices=["cosine", "linear", "constant"])
    run.add_argument("--weight-decay", type=float, default=0.0)
    run.add_argument("--precision", default="no", choices=["no", "bf16", "fp16", "auto"], help="mixed precision")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--eval-every", type=int, help="steps between validations (default: none)")
    run.add_argument("--eval-limit", type=int, help="examples per evaluation (default: the whole split)")
    run.add_argument("--checkpoint-every", type=int, help="steps between checkpoints (default: only at the end)")
    run.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    run.add_argument("--quiet", action="store_true", help="no progress bars")
    return made


def run(options: argparse.Namespace) -> int:
    main = this_process(cpu=options.device == "cpu").is_main_process
    say = print if main else lambda *words, **options: None
    task = TASKS[options.task]()
    kind = {}
    if isinstance(task, lab.Classification):
        kind = {"kind": "classifier", "labels": len(task.labels), "seed": options.seed}
    model, tokenizer = lk.load_base(
        options.model, device="cpu" if options.shard else options.device, dtype=options.dtype, **kind
    )
    say(task)
    if task.note:
        say(task.note)

    def scores(title: str) -> dict:
        if not main and not options.shard:  # with its share of the base, every process has to help
            return {}
        limit, progress = options.eval_limit, main and not options.quiet
        found = lab.evaluate(model, tokenizer, task, "test", limit=limit, progress=progress, loss=True)
        found["answers"] = found.get("answers", [])[:10]  # enough to look at; likelihood has none
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in found.items() if name != "answers")
        say(f"{title}: {numbers}", flush=True)
        return found

    if options.full:
        model.requires_grad_(True)
    else:
        config = lk.LoRAConfig(
            r=options.r,
            alpha=options.alpha,
            dropout=options.dropout,
            targets=tuple(options.targets),
            use_rslora=options.rslora,
            modules_to_save=head_modules(model),  # a classifier's, which is new
        )
        lk.inject(model, config, name=options.task, seed=options.seed)
    if options.shard:
        lab.shard(model)
    before = scores("test before")  # a new adapter changes nothing yet
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    say(f"training {trained:,} of {total:,} parameters ({trained / total:.2%})", flush=True)
    try:
        history = lab.fit(
            model,
            tokenizer,
            task,
            steps=options.steps,
            batch_size=options.batch_size,
            accumulate=options.accumulate,
            lr=options.lr,
            warmup=options.warmup,
            schedule=options.schedule,
            weight_decay=options.weight_decay,
            precision=options.precision,
            seed=options.seed,
            eval_every=options.eval_every,
            eval_limit=options.eval_limit,
            checkpoint=options.out / "checkpoint",
            checkpoint_every=options.checkpoint_every,
            resume=options.resume,
            progress=not options.quiet,
        )
    except lab.CheckpointNotSaved as error:
        if error.history is None:  # it was found before anything was trained
            raise
        history = error.history  # the adapter is far smaller than its checkpoint: there may be room for it
        print(f"warning: {error}", file=sys.stderr)
    say(history)
    # What was learnt is saved before it is scored: scoring may take long, and may be stopped.
    if main:
        history.to_json(options.out / "history.json")
    if main and options.full:
        model.save_pretrained(options.out / "model")
        tokenizer.save_pretrained(options.out / "model")
    elif main:
        lk.save_adapter(model, options.out / "adapter", name=options.task)
    say(f"saved in {options.out}")
    if history.interrupted:
        say("stopped before the end: --resume goes on from here")
        return 130
    after = scores("test after")
    results = {"task": task.name, "model": options.model, "note": task.note, "before": before, "after": after}
    if main:
        (options.out / "scores.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except lk.LoRAError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
