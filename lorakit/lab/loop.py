"""The one training loop: for adapters, for full fine-tuning, on one CPU or many GPUs."""

import math
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.lab.checkpoint import (
    CheckpointNotSaved,
    base_fingerprint,
    is_finished,
    load_checkpoint,
    reserved,
    save_checkpoint,
)
from lorakit.lab.evaluate import context_length, evaluate, loss_of
from lorakit.lab.fit_check import what_to_train
from lorakit.lab.history import History
from lorakit.lab.interrupt import PatientInterrupt, remember
from lorakit.lab.many.processes import this_process
from lorakit.lab.many.shard import is_sharded
from lorakit.lab.record import versions
from lorakit.lab.step import NonFiniteLoss, Objective, autocast, quick_precision, train_step
from lorakit.lab.tasks.task import Task, batch_indices


def fit(
    model: nn.Module,
    tokenizer,
    task: Task,
    *,
    steps: int = 150,
    batch_size: int = 32,
    lr: float = 1e-2,
    warmup: int = 10,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    max_grad_norm: float | None = 1.0,
    seed: int = 0,
    accumulate: int = 1,
    precision: str = "no",
    max_length: int | None = None,
    eval_every: int | None = None,
    eval_limit: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    progress: bool = True,
    objective: Objective | None = None,
) -> History:
    """Train the parameters that require gradients, in place, on a task's training examples; AdamW.

    batch_size     examples per step in all, shared out among the processes of `accelerate launch` and, in each, cut
                   into `accumulate` parts: neither changes what is learnt, beyond rounding
    lr, warmup     the peak, reached after `warmup` steps, then "cosine" or "linear" to zero, or "constant"
    weight_decay   on matrices only, not on biases and norms
    precision      "no", "bf16", "fp16" (CUDA only) or "auto" (bf16 where the device has instructions for it): the
                   dtype that products are computed in; weights keep theirs
    max_length     tokens an example may have; None: the model's context. A longer one is an error, not cut
    eval_every     steps between validations (the last step is always one): loss and the task's metrics over the
                   first `eval_limit` validation examples; None: never
    checkpoint     a folder for the run's state, written every `checkpoint_every` steps (None: at the end and on
                   Ctrl-C). With `resume`, a run continues from what lies there, to the same numbers as an
                   uninterrupted one; where nothing lies there it starts. Without `resume` it is replaced.

    objective      another loss than the cross-entropy of the answers (of the classes), such as a teacher's (see
                   rivals.distillation); a `resume` must be given the same one

    The loss is the mean over the answer tokens (a classifier: the texts) of the whole batch, in nats. All randomness
    comes from `seed`: the step's data and its dropout depend on (seed, step) alone, and the caller's random state is
    put back afterwards, as is every module's train / eval mode. The model trains on the device it is on; under several
    processes, each moves it to its own, unless it is cut up over them (lab.shard).

    Ctrl-C ends after the current step: fit returns the history so far with `interrupted=True`, and the model is
    usable as it stands. A second Ctrl-C ends at once, in the midst of a step, without a checkpoint. A checkpoint that
    cannot be written (a full disk) is a warning, and training goes on; if it is the last one, fit raises
    CheckpointNotSaved, whose `history` is the run. Else raises LoRAError before anything has changed, or NonFiniteLoss.
    """
    settings = dict(
        task=task.name, examples=len(task.train), steps=steps, batch_size=batch_size, lr=lr, warmup=warmup,
        schedule=schedule, weight_decay=weight_decay, max_grad_norm=max_grad_norm, seed=seed, accumulate=accumulate,
        precision=precision, max_length=max_length,
    )  # fmt: skip
    parameters = what_to_train(model, task, settings, eval_every, checkpoint_every)

    from accelerate.utils import broadcast
    from tqdm.auto import tqdm

    processes = this_process()
    sharded = is_sharded(model)
    if sharded and batch_size < processes.num_processes * accumulate:
        raise LoRAError(
            f"the model is sharded, so every process has to run every part of a batch: batch_size must be at least "
            f"{processes.num_processes * accumulate} ({processes.num_processes} processes x {accumulate} parts), "
            f"got {batch_size}"
        )
    if processes.num_processes > 1:
        if not sharded:
            model.to(processes.device)
        for parameter in parameters.values():
            parameter.data.copy_(broadcast(parameter.data))
    device = next(iter(parameters.values())).device
    if precision == "auto":
        precision = settings["precision"] = quick_precision(device)
    if precision == "fp16" and device.type != "cuda":
        raise LoRAError(f'precision "fp16" needs a CUDA GPU, the model is on {device}: use "bf16" or "no"')
    encoded = task.encode(task.train, tokenizer, max_length or context_length(model))
    settings["base"] = base_fingerprint(model)
    optimizer = _optimizer(parameters, lr, weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    history = History(settings=settings, device=_device_name(device), versions=versions())
    folder = Path(checkpoint) if checkpoint is not None else None
    # A finished run that is resumed writes nothing, so its folder may be read-only.
    writes = folder is not None and processes.is_main_process and not (resume and is_finished(folder, steps))
    first, unsaved = 0, None

    def save(step: int) -> CheckpointNotSaved | None:
        """A full disk must not cost the run, so what went wrong is handed back."""
        if folder is not None and processes.is_main_process:
            state = {"rows": history.rows, "seconds": history.seconds, "scaler": scaler.state_dict()}
            try:
                save_checkpoint(folder, step, parameters, optimizer, {"settings": settings, **state})
            except CheckpointNotSaved as error:
                return error
        return None

    def validate(row: dict) -> None:
        if eval_every and (row["step"] % eval_every == 0 or row["step"] == steps):
            with autocast(device, precision):
                row.update(_validate(model, tokenizer, task, eval_limit, processes, sharded))

    put_back = remember(model, parameters)
    with PatientInterrupt() as ctrl_c, reserved(folder) if writes else nullcontext():
        try:
            if folder is not None and resume:
                # A constant learning rate is the same however long the run, so it may be made longer.
                may_differ = ("steps",) if schedule == "constant" else ()
                if state := load_checkpoint(folder, parameters, optimizer, settings, may_differ):
                    first, history.rows, history.seconds = state["step"], state["rows"], state["seconds"]
                    scaler.load_state_dict(state["scaler"])
                    if "validation_loss" not in history.rows[-1]:  # Ctrl-C came before it
                        validate(history.rows[-1])
            model.train()
            batches = batch_indices(len(encoded), batch_size, seed, start=first)
            shown = progress and processes.is_main_process
            with tqdm(total=steps, initial=first, desc=task.name, disable=not shown) as bar:
                for step in range(first + 1, steps + 1):
                    started = time.perf_counter()
                    torch.manual_seed(_step_seed(seed, step, processes.process_index))  # dropout
                    mine = next(batches)[processes.process_index :: processes.num_processes]
                    rows = [[encoded[index] for index in mine[part::accumulate]] for part in range(accumulate)]
                    rate = learning_rate(step, steps, lr, warmup, schedule)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    try:
                        done = train_step(
                            model,
                            parameters,
                            optimizer,
                            scaler,
                            [task.collate(part, tokenizer.pad_token_id) for part in rows if part],
                            batch_size=batch_size,
                            max_grad_norm=max_grad_norm,
                            precision=precision,
                            objective=objective or loss_of(task),
                            stop=ctrl_c.asked,
                        )
                    except NonFiniteLoss as error:
                        raise NonFiniteLoss(
                            f"{error} at step {step}, where the learning rate is {rate:.3g} (peak {lr:.3g}): try a "
                            f"third of it. The parameters stand as after step {step - 1}.",
                            history,
                        ) from None
                    row = {"step": step, "loss": done["loss"], "lr": rate, "grad_norm": done["grad_norm"]}
                    row["tokens_per_s"] = done["tokens"] / (time.perf_counter() - started)
                    history.rows.append(row)
                    # Several processes have to stop at the same step, so each waits until all have heard.
                    stop = done["stop"] or (ctrl_c.asked and processes.num_processes == 1)
                    history.interrupted = stop and step < steps
                    if not history.interrupted:
                        validate(row)
                    history.seconds += time.perf_counter() - started
                    bar.update()
                    bar.set_postfix(loss=f"{done['loss']:.3f}", refresh=False)
                    if history.interrupted:
                        break
                    due = checkpoint_every and step % checkpoint_every == 0 and step < steps
                    if due and (failed := save(step)):
                        warnings.warn(f"{failed}. Training goes on and will try again", stacklevel=2)
                unsaved = save(len(history.rows)) if len(history.rows) > first else None
        except KeyboardInterrupt:
            # Only a second Ctrl-C, or one outside the main thread, comes here: between nothing and anything, so the
            # model is kept as it is and no checkpoint is written.
            history.interrupted = True
        finally:
            try:
                put_back()
            finally:  # again: that one KeyboardInterrupt may have come in the midst of it
                put_back()
    if unsaved:
        raise CheckpointNotSaved(
            f"{unsaved}. The model keeps what it learnt in {len(history.rows)} steps: save it elsewhere "
            "(lk.save_adapter); the error's .history is the run",
            history,
        )
    return history


def learning_rate(step: int, steps: int, lr: float, warmup: int, schedule: str) -> float:
    """The learning rate of a step (1 to `steps`): a straight rise to `lr` over `warmup` steps, then the schedule."""
    if step <= warmup:
        return lr * step / warmup
    done = (step - warmup - 1) / max(1, steps - warmup)  # 0 on the first step at full rate, below 1 on the last
    if schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * done))
    return lr * (1 - done) if schedule == "linear" else lr


def _optimizer(parameters: dict[str, nn.Parameter], lr: float, weight_decay: float) -> torch.optim.AdamW:
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr)


def _step_seed(seed: int, step: int, process: int) -> int:
    # Far apart for neighbouring seeds and steps, and the same on resume without any stored generator state.
    return (seed * 1_000_003 + step * 8_191 + process) % 2**63


def _validate(model, tokenizer, task, limit, processes, sharded: bool) -> dict:
    """Validation by the main process; the others get no numbers: they wait, or help, with their share of the model."""
    found = {}
    if processes.is_main_process or sharded:
        found = evaluate(model, tokenizer, task, "validation", limit=limit, loss=True)
        found = {f"validation_{name}": value for name, value in found.items() if name != "answers"}
    if processes.num_processes > 1:
        processes.wait_for_everyone()
    return found if processes.is_main_process else {}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
