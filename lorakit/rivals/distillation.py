"""Distillation: a separate, smaller model learns from what a larger one would say.

Hinton et al. 2015 (arXiv 1503.02531); the student's shape as in DistilBERT (Sanh et al. 2019, arXiv 1910.01108). The
teacher must know the task: here it is the base with an adapter. What is deployed afterwards are the student's own
weights, so "the base stays frozen" says nothing here: the base is not even there.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.rivals.parts import blocks, refuse_adapted
from lorakit.study.answer_logits import answer_logits


def make_student(base: nn.Module, layers: int) -> nn.Module:
    """A smaller model of the same class: a copy of `base` with `layers` of its blocks, evenly chosen, all trainable.

    The embeddings, the last norm and the chosen blocks start as the base's; an ordinary model that can be saved and
    generates. Raises LoRAError where `layers` is not between 1 and the base's, or the base carries adapters.
    """
    path, of = blocks(base)
    if not 1 <= layers <= len(of):
        raise LoRAError(f"layers must be between 1 and {len(of)}, the base's, got {layers}")
    refuse_adapted(base)
    student = copy.deepcopy(base)
    chosen = chosen_blocks(len(of), layers)
    kept = nn.ModuleList(student.get_submodule(path)[index] for index in chosen)
    student.set_submodule(path, kept)
    student.config.num_hidden_layers = layers
    for number, block in enumerate(kept):
        for module in block.modules():  # where its keys and values lie in the cache
            if hasattr(module, "layer_idx"):
                module.layer_idx = number
    return student.requires_grad_(True)


def chosen_blocks(of: int, layers: int) -> list[int]:
    """Which blocks a student keeps, evenly spread from the first on: 2 of 4 are 0 and 2, 6 of 12 every other one."""
    return [index * of // layers for index in range(layers)]


def distil_loss(teacher: nn.Module, temperature: float = 2.0, weight: float = 0.5) -> Callable:
    """The objective for `lab.fit`: (student, batch) → (summed loss in nats, count) over the answer's tokens.

    Each answer token costs weight · T² · KL(teacher ‖ student), both softened by the temperature T, plus (1 - weight)
    times the cross-entropy of the true token. T² keeps the gradient of the soft part as large as at T = 1 (Hinton et
    al., section 2). Both models need the same tokenizer.
    """
    teacher.eval()

    def objective(student: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
        logits, targets = answer_logits(student, batch)  # (count, vocabulary), (count,)
        with torch.no_grad():
            soft = answer_logits(teacher, batch)[0]  # (count, vocabulary)
        softened = [F.log_softmax(each / temperature, dim=-1) for each in (logits, soft)]
        divergence = F.kl_div(*softened, reduction="sum", log_target=True)
        true = F.cross_entropy(logits, targets, reduction="sum")
        return weight * temperature**2 * divergence + (1 - weight) * true, len(targets)

    return objective
