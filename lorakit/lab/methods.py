"""Every way to adapt a base that a sweep can name: what it trains, what it is trained on, what is left afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.merge import merge
from lorakit.core.model import inject
from lorakit.files.save_load import load_adapter
from lorakit.lab.evaluate import answer_loss
from lorakit.lab.places import ADAPTERS
from lorakit.lab.step import Objective
from lorakit.lab.tasks.classification import class_loss
from lorakit.rivals import bottleneck, prefix, variants
from lorakit.rivals.distillation import distil_loss, make_student
from lorakit.rivals.selective import train_all, train_biases, train_head, train_last_block
from lorakit.rivals.variants.lora_plus import parameter_groups
from lorakit.study import random_subspace
from lorakit.study.head import head_modules

METHODS = (
    "lora", "full", "subspace", "bitfit", "head", "last_block", "houlsby", "pfeiffer", "prefix", "distill",
    "lora_plus", "pissa", "dora", "lora_fa", "vera",
)  # fmt: skip
TEACHER = ADAPTERS / "sql-r8-seed0"  # makes the base a teacher of text_to_sql, the only one


@dataclass
class Prepared:
    """A model made ready to be trained: the model (a student is another one than the base), the loss, what is to be
    done when training has ended (such as throwing away what only training needed), and the optimizer's groups."""

    model: nn.Module
    objective: Objective
    finish: Callable[[], None] = lambda: None
    groups: Callable | None = None


def prepare(model: nn.Module, run) -> Prepared:
    """Make what `run.method`, one of METHODS, trains trainable, in place, in a fresh base.

    Raises LoRAError where the method cannot be had with the run's settings, or on this base.
    """
    head = head_modules(model)  # a classifier's head is new, so it trains whole beside what the method trains
    prepared = Prepared(model, class_loss if head else answer_loss)
    match run.method:
        case "lora" | "lora_plus":
            how = {name: getattr(run, name) for name in ("r", "alpha", "targets", "use_rslora")}
            inject(model, LoRAConfig(**how, modules_to_save=head), name=run.task, seed=run.seed)
            if run.method == "lora_plus":
                prepared.groups = partial(parameter_groups, ratio=run.size)
        case "pissa" | "dora" | "lora_fa" | "vera":
            variants.attach(model, run.method, run.targets, run.r, run.alpha, seed=run.seed)
        case "full":
            train_all(model)
        case "bitfit":
            train_biases(model)
        case "head":
            train_head(model)
        case "last_block":
            train_last_block(model)
        case "subspace":
            random_subspace.attach(model, run.d, seed=run.seed)
            # scored as plain weights: no projection for every token
            prepared.finish = lambda: random_subspace.fold(model)
        case "houlsby" | "pfeiffer":
            bottleneck.attach(model, run.size, placement=run.method, seed=run.seed)
        case "prefix":
            prefix.attach(model, run.size, hidden=run.hidden or None, seed=run.seed)
            if run.hidden:
                prepared.finish = lambda: prefix.fold(model)
        case "distill":  # the teacher is the base with the adapter that chapter 08 looks into, merged
            if run.task != "text_to_sql":
                raise LoRAError(f"there is no teacher for {run.task!r}, only for text_to_sql")
            prepared.model = make_student(model, run.size)
            load_adapter(model, TEACHER, name="teacher")
            merge(model)
            prepared.objective = distil_loss(model)
    return prepared
