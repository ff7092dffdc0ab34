"""The training loop: for adapters and for full fine-tuning, on one CPU or many GPUs.

The loop of `by_hand.train`, plus what a long run needs: validation, a checkpoint to go on from, Ctrl-C, several
processes. These stand beside the loop, in `checkpoint`, `interrupt` and `many`; one step of the optimizer is in `step`.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.merge import is_merged
from lorakit.lab.checkpoint import CheckpointNotSaved, Checkpoints
from lorakit.lab.evaluate import context_length, evaluate, loss_of
from lorakit.lab.history import History
from lorakit.lab.interrupt import PatientInterrupt, left_as_found
from lorakit.lab.many.processes import this_process
from lorakit.lab.many.shard import is_sharded, same_everywhere
from lorakit.lab.record import versions
from lorakit.lab.settings import Settings
from lorakit.lab.step import NonFiniteLoss, Objective, Step, autocast
from lorakit.lab.tasks.task import Task, batch_indices


def fit(
    model: nn.Module,
    tokenizer,
    task: Task,
    settings: Settings | None = None,
    *,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    progress: bool = True,
    objective: Objective | None = None,
    groups: Callable[[dict[str, nn.Parameter]], list[dict]] | None = None,
    **changes,
) -> History:
    """Train the parameters that require gradients, in place, on a task's training examples; AdamW.

    settings    and `changes` to them: `fit(model, tokenizer, task, steps=100, lr=1e-2)`. See `Settings`
    checkpoint  a folder for the run's state, written every `checkpoint_every` steps (None: at the end and on Ctrl-C).
                With `resume` the run goes on from what lies there, to the same numbers as an uninterrupted one
    objective   another loss than the answers' (classes') cross-entropy, as rivals.distillation has; to resume, the same
    groups      AdamW's groups of the parameters by name, in units of lr, as rivals.variants.lora_plus has; the same

    The loss is the mean over the answer tokens (a classifier: the texts) of the whole batch, in nats. Modules' modes
    and the random state are put back. Ctrl-C ends after the current step and says so: the model is usable, the history
    `interrupted`. A second one ends at once, without a checkpoint. Raises LoRAError before anything has changed; and,
    with the run's `history`, NonFiniteLoss, or CheckpointNotSaved where the last finds no room (earlier: a warning).
    """
    settings = replace(settings or Settings(), **changes)
    parameters = what_to_train(model, task, settings)
    same_everywhere(model, parameters, settings)
    examples = task.encode(task.train, tokenizer, context_length(model))
    step = Step(model, parameters, settings, objective or loss_of(task), groups)
    settings = step.settings  # with the precision that "auto" means here
    history = _new_history(task, settings, step.device)
    saved = Checkpoints(checkpoint, checkpoint_every, model, step, history)
    with PatientInterrupt() as ctrl_c, left_as_found(model, parameters):
        first = saved.begin(resume)
        try:
            if history.rows:  # resumed, maybe from a Ctrl-C that came before the validation
                _validate(history.rows[-1], model, tokenizer, task, settings)
            model.train()
            for number in _steps(first, settings, task, progress):
                started = time.perf_counter()
                row, stop = step(number, _parts(number, examples, task, tokenizer, settings), ctrl_c)
                history.rows.append(row)
                history.interrupted = stop and number < settings.steps
                if not history.interrupted:
                    _validate(row, model, tokenizer, task, settings)
                history.seconds += time.perf_counter() - started
                if history.interrupted:
                    break
                saved.save_if_due(number)
            if len(history.rows) > first:  # something was learnt
                saved.save()
        except (NonFiniteLoss, CheckpointNotSaved) as error:
            error.history = history
            raise
        except KeyboardInterrupt:  # a second Ctrl-C, in the midst of a step: no checkpoint is written
            history.interrupted = True
    return _said(history)


def _said(history: History) -> History:
    """The history, after saying so where the run was stopped."""
    if history.interrupted and this_process().is_main_process:
        print(f"stopped after {len(history.rows)} of {history.settings['steps']} steps; the model keeps what it learnt")
    return history


def what_to_train(model: nn.Module, task: Task, settings: Settings) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, by name. Raises LoRAError where this cannot be trained."""
    if is_merged(model):
        raise LoRAError("an adapter is merged into the model: training would change the merged weights; unmerge first")
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not parameters:
        raise LoRAError(
            "nothing to train: no parameter requires a gradient. inject an adapter (or set_adapter to one), "
            "or call model.requires_grad_(True) for full fine-tuning"
        )
    if not task.train:
        raise LoRAError(f"task {task.name!r} has no training examples")
    if settings.eval_every and not task.validation:
        raise LoRAError(f"task {task.name!r} has no validation examples: leave eval_every out")
    return parameters


def _new_history(task: Task, settings: Settings, device: torch.device) -> History:
    return History(
        settings={"task": task.name, "examples": len(task.train)} | asdict(settings),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        versions=versions(),
    )


def _steps(first: int, settings: Settings, task: Task, progress: bool):
    """The numbers of the steps to take, behind a progress bar."""
    from tqdm.auto import tqdm

    shown = progress and this_process().is_main_process
    return tqdm(range(first + 1, settings.steps + 1), task.name, settings.steps, initial=first, disable=not shown)


def _parts(number: int, examples: list, task: Task, tokenizer, settings: Settings) -> list[dict]:
    """This process's share of a step's batch, cut into `accumulate` parts."""
    processes, count = this_process(), settings.accumulate
    chosen = batch_indices(len(examples), settings.batch_size, settings.seed, number)
    mine = chosen[processes.process_index :: processes.num_processes]
    parts = [[examples[index] for index in mine[part::count]] for part in range(count)]
    return [task.collate(part, tokenizer.pad_token_id) for part in parts if part]


def _validate(row: dict, model: nn.Module, tokenizer, task: Task, settings: Settings) -> None:
    """Add the scores on validation to the row of a step after which there are some to be taken.

    The main process scores; the others wait or, of a model that is cut up over them, run their share.
    """
    if not settings.validates_after(row["step"]) or "validation_loss" in row:
        return
    processes = this_process()
    if processes.is_main_process or is_sharded(model):
        with autocast(next(model.parameters()).device, settings.precision):
            found = evaluate(model, tokenizer, task, "validation", limit=settings.eval_limit, loss=True)
        if processes.is_main_process:
            row.update({f"validation_{name}": value for name, value in found.items() if name != "answers"})
    processes.wait_for_everyone()
