"""Sweeps: a list of fine-tunings written as data, run one by one or side by side, a line of JSON for each.

    runs = [Run(method="lora", r=r, alpha=16, targets=("q", "v"), lr=1e-2, seed=s) for r in (1, 8) for s in (0, 1, 2)]
    rows = sweep(runs, "runs/ranks.jsonl", processes=2)

A run that is in the file already is not run again, so an interrupted sweep goes on where it stopped.
"""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from tqdm.auto import tqdm

from lorakit.core.errors import LoRAError
from lorakit.files.save_load import save_adapter
from lorakit.lab.bases.load import load_base
from lorakit.lab.evaluate import evaluate, evaluating
from lorakit.lab.json_lines import append, read
from lorakit.lab.loop import fit
from lorakit.lab.many.ray_runs import ray_results
from lorakit.lab.measures import MEASURES, old_text
from lorakit.lab.methods import METHODS, prepare
from lorakit.lab.record import about
from lorakit.lab.settings import Settings
from lorakit.lab.step import NonFiniteLoss, autocast, quick_precision
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.classification import Classification
from lorakit.study.head import head_parameters

RIGHT_OR_WRONG = ("execution", "all", "accuracy")  # metrics that are a mean over answers


@dataclass(frozen=True)
class Run:
    """One fine-tuning of a fresh base, as data.

    method     "lora" (r, alpha, targets, use_rslora) and its variants (r, alpha, targets) "pissa", "dora", "lora_fa",
               "vera" and "lora_plus" (`size`: B's rate over A's); "full" (every parameter), "bitfit", "last_block",
               "head" (of a classifier alone; the methods named before it train it too); with a `size`:
               "houlsby" and "pfeiffer" (the bottleneck's width), "prefix" (its length; `hidden`: the width of the
               reparametrization MLP, 0: none), "distill" (the student's blocks); "subspace" (a random subspace of
               dimension d, see study.random_subspace)
    precision  "bf16" halves the time where there are bf16 instructions; on a CPU without them products stay in fp32,
               which is what the record's "precision" then says. Weights are in fp32
    scored     how many examples of validation, of test and of nano's old text the trained model is scored on; None: all
    measure    names in `lab.measures`, done on the trained model and recorded beside the metrics

    Raises LoRAError for a task, method or measure that does not exist.
    """

    task: str = "text_to_sql"
    base: str = "nano"
    method: str = "lora"
    r: int = 0
    alpha: float = 0.0
    targets: tuple[str, ...] = ()
    use_rslora: bool = False
    d: int = 0
    size: int = 0
    hidden: int = 0
    lr: float = 0.0
    steps: int = 100
    batch_size: int = 32
    seed: int = 0
    precision: str = "bf16"
    scored: int | None = None
    measure: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("targets", "measure"):  # a record has lists
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        for name, known in (("task", TASKS), ("method", METHODS), ("measure", MEASURES)):
            value = getattr(self, name)
            if unknown := ({value} if isinstance(value, str) else set(value)) - set(known):
                raise LoRAError(f"{name} must be among {', '.join(known)}, got {', '.join(sorted(unknown))}")

    @classmethod
    def of(cls, row: dict) -> "Run":
        """The run that a record was made by; fields that are younger than the record have their defaults."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in row["run"].items() if name in known})

    def __str__(self) -> str:
        how = f"{self.method} {self.size}" if self.size else self.method
        if self.targets:
            how = f"{how} r={self.r} alpha={self.alpha:g} {'+'.join(self.targets)}".removeprefix("lora ")
        elif self.method == "subspace":
            how = f"d={self.d}"
        more = " rslora" if self.use_rslora else f" hidden={self.hidden}" if self.hidden else ""
        return f"{self.base} {self.task} {how}{more} lr={self.lr:g} {self.steps} steps seed={self.seed}"


def run_one(run: Run, *, keep: str | Path | None = None, device=None, progress: bool = True) -> dict:
    """Fine-tune a fresh base as `run` says and score it on validation and test; returns the record.

    The record is plain data: "run" (its fields), "trainable" (parameters), "metrics" (by split, and the training loss
    over the last ten steps), "seconds" (of training, wall) and "scoring_seconds", "precision", and what `lab.record`
    says of device and versions; "right", a 0 or 1 for every test answer of a task where one is right or wrong; nano's
    "old_text" (see `lab.measures`); and what `measure` adds. A classifier has "head": how many of "trainable" are the
    head's, which is drawn with the run's seed. A run that diverged has "diverged" (the reason) and no metrics. `keep`
    is a folder for the trained adapter. Raises KeyboardInterrupt on Ctrl-C, so that no half run is ever recorded.
    """
    task = TASKS[run.task]()
    model, tokenizer = _load(run, task, device)
    before = {name: p.detach().clone() for name, p in model.named_parameters()} if run.measure else None
    prepared = prepare(model, run)
    model = prepared.model
    precision = quick_precision(model.device) if run.precision == "bf16" else run.precision
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    record = {"run": asdict(run), "trainable": trainable, **about(model.device), "precision": precision}
    if head := head_parameters(model):
        record["head"] = head
    settings = Settings(run.steps, run.batch_size, run.lr, seed=run.seed, precision=precision)
    how = {"objective": prepared.objective, "groups": prepared.groups, "progress": progress}
    try:
        history = fit(model, tokenizer, task, settings, **how)
    except NonFiniteLoss as error:
        return record | {"diverged": str(error)}
    if history.interrupted:
        raise KeyboardInterrupt
    prepared.finish()
    if keep is not None:
        save_adapter(model, keep, name=run.task)
    started, metrics = time.perf_counter(), {}
    # Likelihood in the training's precision, as fit validates; generation in fp32, so that a tie is not rounded.
    with autocast(model.device, precision if task.scorer is None else "no"):
        for split in ("validation", "test"):
            found = evaluate(model, tokenizer, task, split, limit=run.scored, loss=True)
            answers = found.pop("answers", [])
            metrics[split] = found
    metrics["last_loss"] = sum(history.losses[-10:]) / len(history.losses[-10:])
    record |= {"metrics": metrics, "seconds": round(history.seconds, 2)}
    record["scoring_seconds"] = round(time.perf_counter() - started, 2)
    if answers and task.metric in RIGHT_OR_WRONG:
        right = (task.score([answer], [asked])[task.metric] for answer, asked in zip(answers, task.test, strict=False))
        record["right"] = "".join(str(int(one)) for one in right)
    if run.base == "nano":
        with evaluating(model):
            record["old_text"] = old_text(model, tokenizer, limit=run.scored)
    return record | {name: MEASURES[name](model, before, tokenizer, task) for name in run.measure}


def sweep(
    runs: Sequence[Run],
    file: str | Path,
    *,
    processes: int = 1,
    keep=None,
    device=None,
    progress: bool = True,
    cluster: str | None = None,
) -> list[dict]:
    """Do the runs that are not in `file` (JSON lines) yet, appending a record for each; returns all of them in order.

    processes  runs at a time. With more than one, each has one thread: on a CPU two runs side by side use two cores
               better than one run on both.
    keep       `keep(run)` gives the folder for a run's adapter, or None.
    cluster    the address of a Ray cluster that does the runs, one for each core or GPU there, in the place of
               `processes` (see lab.many.ray_runs). The file is written here all the same.
    Stopped at any time, every finished run is in the file, and the next call goes on. Raises LoRAError, before the
    first run where it can, if the file cannot be written.
    """
    file = Path(file)
    done = {Run.of(row): row for row in read(file)}
    missing = [run for run in dict.fromkeys(runs) if run not in done]
    if missing:
        append(file)  # better told now than after the first run
        with tqdm(total=len(missing), desc=file.stem, disable=not progress) as bar:
            for run, row in _results(missing, processes, keep or (lambda run: None), device, cluster):
                done[run] = row
                append(file, row)
                bar.update()
                bar.set_postfix_str(str(run))
    return [done[run] for run in runs]


def _results(runs: list[Run], processes: int, keep, device, cluster: str | None):
    """(run, record) as they finish."""
    if cluster is not None:
        yield from ray_results(runs, run_one, cluster=cluster, keep=keep, device=device)
    elif processes <= 1:
        for run in runs:
            yield run, run_one(run, keep=keep(run), device=device, progress=False)
    else:
        alone = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(processes, len(runs)), alone, torch.set_num_threads, (1,))
        try:
            waiting = {pool.submit(run_one, run, keep=keep(run), device=device, progress=False): run for run in runs}
            for finished in as_completed(waiting):
                yield waiting[finished], finished.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _load(run: Run, task, device):
    """The run's base for its task: (model, tokenizer)."""
    kind = {}
    if isinstance(task, Classification):
        kind = {"kind": "classifier", "labels": len(task.labels), "seed": run.seed}
    model, tokenizer = load_base(run.base, device=device, **kind)
    if model.device.type == "cpu" and hasattr(model, "set_attn_implementation"):
        # For rows of a few dozen tokens torch's fused CPU attention is slower: 0.37 s a step against 0.26 s.
        model.set_attn_implementation("eager")
    return model, tokenizer
