"""Every way to adapt a base that a sweep can name: what it trains, what it is trained on, what is left afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

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
from lorakit.study.head import head_modules

TEACHERS = {"text_to_sql": "sql-r8-seed0"}  # task → the adapter that makes the base a teacher of it


@dataclass
class Prepared:
    """A model made ready to be trained: the model (a student is another one than the base), the loss (None: that of its
    kind of model), and what is to be done when training has ended (such as throwing away what only training needed)."""

    model: nn.Module
    objective: Objective | None = None
    finish: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if self.objective is None:
            self.objective = class_loss if head_modules(self.model) else answer_loss


def prepare(model: nn.Module, run) -> Prepared:
    """Make what `run.method` trains trainable, in place, in a fresh base."""
    return METHODS[run.method](model, run)


def lora(model, run) -> Prepared:
    head = head_modules(model)  # a classifier's head is new, so it trains whole beside the adapter
    config = LoRAConfig(r=run.r, alpha=run.alpha, targets=run.targets, use_rslora=run.use_rslora, modules_to_save=head)
    inject(model, config, name=run.task, seed=run.seed)
    return Prepared(model)


def full(model, run) -> Prepared:
    from lorakit.rivals.selective import train_all

    train_all(model)
    return Prepared(model)


def subspace(model, run) -> Prepared:
    from lorakit.study.random_subspace import attach, fold

    attach(model, run.d, seed=run.seed)
    return Prepared(model, finish=lambda: fold(model))  # scored as plain weights: no projection for every token


def bitfit(model, run) -> Prepared:
    from lorakit.rivals.selective import train_biases

    train_biases(model)
    return Prepared(model)


def head(model, run) -> Prepared:
    from lorakit.rivals.selective import train_head

    train_head(model)
    return Prepared(model)


def last_block(model, run) -> Prepared:
    from lorakit.rivals.selective import train_last_block

    train_last_block(model)
    return Prepared(model)


def bottleneck(model, run) -> Prepared:
    from lorakit.rivals.bottleneck import attach

    attach(model, run.size, placement=run.method, seed=run.seed)
    return Prepared(model)


def prefix(model, run) -> Prepared:
    from lorakit.rivals.prefix import attach, fold

    attach(model, run.size, hidden=run.hidden or None, seed=run.seed)
    return Prepared(model, finish=(lambda: fold(model)) if run.hidden else lambda: None)


def distill(model, run) -> Prepared:
    """A student of `run.size` blocks; the teacher is the base with the adapter that chapter 08 looks into, merged."""
    from lorakit.rivals.distillation import distil_loss, make_student

    if run.task not in TEACHERS:
        raise LoRAError(f"there is no teacher for {run.task!r}, only for {', '.join(TEACHERS)}")
    student = make_student(model, run.size)
    load_adapter(model, ADAPTERS / TEACHERS[run.task], name="teacher")
    merge(model)
    return Prepared(student, distil_loss(model))


METHODS: dict[str, Callable[[nn.Module, object], Prepared]] = {
    "lora": lora,
    "full": full,
    "subspace": subspace,
    "bitfit": bitfit,
    "head": head,
    "last_block": last_block,
    "houlsby": bottleneck,
    "pfeiffer": bottleneck,
    "prefix": prefix,
    "distill": distill,
}
