"""Fine-tune from a shell: `python -m lorakit.lab.train --model nano --task text_to_sql --r 8 --out runs/sql`."""

import argparse
import json
import shlex
import sys
import warnings
from dataclasses import asdict, fields
from pathlib import Path

import lorakit as lk
from lorakit import lab
from lorakit.files.folder import replace_files
from lorakit.lab import record
from lorakit.lab.many.processes import this_process
from lorakit.lab.settings import Settings
from lorakit.lab.tasks import TASKS
from lorakit.study.head import head_modules

EPILOG = """examples:
  python -m lorakit.lab.train --task text_to_sql --out runs/sql
  torchrun --nproc-per-node 2 -m lorakit.lab.train --out runs/sql           a batch shared out among two GPUs
  accelerate launch --num_processes 2 -m lorakit.lab.train --out runs/sql   the same
  torchrun --nproc-per-node 4 -m lorakit.lab.train --shard --dtype bfloat16 --model FOLDER --out runs/big
                                                                            a base that no single GPU holds

Exit codes: 0 done, 1 cannot be done, or not all of it (the reason is on the last line), 2 wrong arguments, 130 stopped
with Ctrl-C (what was learnt is saved).
"""
ABOUT = {
    "batch_size": "examples per step, over all processes", "accumulate": "cut each batch into so many parts",
    "lr": "peak learning rate", "warmup": "steps of rising learning rate", "schedule": "cosine or constant",
    "precision": "mixed precision: no, bf16 or auto", "max_grad_norm": "the gradient is scaled down to it",
    "eval_every": "steps between validations", "eval_limit": "examples per evaluation",
}  # fmt: skip


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
    made.add_argument("--shard", action="store_true", help="cut the frozen base up over the processes (see below)")
    made.add_argument("--quiet", action="store_true", help="no progress bars")
    lora = made.add_argument_group("LoRA")
    lora.add_argument("--r", type=int, default=8, help="rank")
    lora.add_argument("--alpha", type=float, default=16, help="the update is scaled by alpha / r")
    lora.add_argument("--dropout", type=float, default=0.0, help="on the adapter's input")
    lora.add_argument("--targets", nargs="+", default=["q", "v"], help="q k v o mlp all-linear, or module names")
    lora.add_argument("--rslora", dest="use_rslora", action="store_true", help="scale by alpha / sqrt(r)")
    lora.add_argument("--full", action="store_true", help="train every weight instead (then use --lr 2e-3 or so)")
    run = made.add_argument_group("training")
    for field in fields(Settings):
        kind = next(kind for kind in (int, float, str) if field.type in (kind, kind | None))
        option = f"--{field.name.replace('_', '-')}"
        run.add_argument(option, type=kind, default=field.default, help=ABOUT.get(field.name, " "))
    run.add_argument("--checkpoint-every", type=int, help="steps between checkpoints (default: only at the end)")
    run.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    return made


def run(options: argparse.Namespace) -> int:
    """Load, adapt, score, train, save, score again; returns the exit code.

    Raises CheckpointNotSaved at the end where the last checkpoint found no room: what was learnt is saved by then.
    """
    main = this_process(cpu=options.device == "cpu").is_main_process
    settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    task = TASKS[options.task]()
    model, tokenizer = adapted(task, options)
    say(task, task.note)
    before = scores("test before", model, tokenizer, task, options)  # a new adapter changes nothing yet
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    say(f"training {trained:,} of {total:,} parameters ({trained / total:.2%})")
    how = {"checkpoint_every": options.checkpoint_every, "resume": options.resume, "progress": not options.quiet}
    unsaved = None
    try:
        history = lab.fit(model, tokenizer, task, settings, checkpoint=options.out / "checkpoint", **how)
    except lab.CheckpointNotSaved as error:
        if error.history is None:  # before training
            raise
        history, unsaved = error.history, error
        warnings.warn(f"{error}. What was learnt is saved all the same", stacklevel=2)
    say(history)
    if main:  # before it is scored: scoring may take long, and may be stopped
        save(model, tokenizer, history, options)
    if history.interrupted:
        if unsaved:
            raise unsaved
        say("--resume goes on from here")
        return 130
    after = scores("test after", model, tokenizer, task, options)
    found = {"task": task.name, "model": options.model, "note": task.note, "before": before, "after": after}
    if main:
        record.write(options.out / "scores.json", found, options.command, next(model.parameters()).device)
    if unsaved:
        raise unsaved
    return 0


def adapted(task: lab.Task, options: argparse.Namespace):
    """The base with what is to be trained in it, and its tokenizer."""
    kind = {}
    if isinstance(task, lab.Classification):
        kind = {"kind": "classifier", "labels": len(task.labels), "seed": options.seed}
    device = "cpu" if options.shard else options.device
    model, tokenizer = lk.load_base(options.model, device=device, dtype=options.dtype, **kind)
    if options.full:
        model.requires_grad_(True)
    else:
        how = {name: getattr(options, name) for name in ("r", "alpha", "dropout", "targets", "use_rslora")}
        config = lk.LoRAConfig(**how, modules_to_save=head_modules(model))  # a classifier's, which is new
        lk.inject(model, config, name=options.task, seed=options.seed)
    if options.shard:
        lab.shard(model)
    return model, tokenizer


def scores(title: str, model, tokenizer, task: lab.Task, options: argparse.Namespace) -> dict:
    """The test's metrics, said and returned, with ten answers to look at. Of a sharded model every process helps."""
    main = this_process().is_main_process
    if not (main or options.shard):
        return {}
    progress = main and not options.quiet
    found = lab.evaluate(model, tokenizer, task, "test", limit=options.eval_limit, progress=progress, loss=True)
    found["answers"] = found.get("answers", [])[:10]  # likelihood has none
    say(f"{title}: " + "  ".join(f"{name} {value:.4g}" for name, value in found.items() if name != "answers"))
    return found


def save(model, tokenizer, history: lab.History, options: argparse.Namespace) -> None:
    replace_files(options.out, {"history.json": (json.dumps(asdict(history), indent=1) + "\n").encode()})
    if options.full:
        model.save_pretrained(options.out / "model")
        tokenizer.save_pretrained(options.out / "model")
    else:
        lk.save_adapter(model, options.out / "adapter", name=options.task)
    say(f"saved in {options.out}")


def say(*lines) -> None:
    """From the main process alone."""
    if this_process().is_main_process:
        print(*(line for line in lines if line), sep="\n", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    options.command = shlex.join(["python", "-m", "lorakit.lab.train", *given])
    try:
        return run(options)
    except (lk.LoRAError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
