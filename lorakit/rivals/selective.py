"""Train a part of the base's own weights: all, the biases alone (BitFit), the last block or a classifier's head alone.

Nothing is added to the model: it costs what it did at inference, but each task has weights of its own.
"""

from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.rivals.parts import blocks
from lorakit.study.head import head_modules


def train_all(model: nn.Module) -> list[str]:
    """Full fine-tuning: every parameter trains, in place. Returns their names."""
    return _train(model, [name for name, _ in model.named_parameters()])


def train_biases(model: nn.Module) -> list[str]:
    """BitFit: every bias trains, those of the layer norms included, and nothing else, in place. Returns their names.

    A classifier's head, which is new, trains whole as well. Ben Zaken et al. 2021, arXiv 2106.10199. Raises LoRAError,
    with the model as it was, for a model without biases, such as a Llama.
    """
    biases = [name for name, _ in model.named_parameters() if name.rpartition(".")[2].endswith("bias")]
    if not biases:
        raise LoRAError(f"{type(model).__name__} has no bias to train: BitFit does not apply to it")
    return _train(model, biases)


def train_head(model: nn.Module) -> list[str]:
    """The head of a classifier trains, and nothing else, in place: the encoder as it comes. Returns the names.

    Raises LoRAError, with the model as it was, for a model without one, such as a language model.
    """
    if not head_modules(model):
        raise LoRAError(
            f"{type(model).__name__} has no classification head to train: load the base with "
            'load_base(..., kind="classifier")'
        )
    return _train(model, [])


def train_last_block(model: nn.Module) -> list[str]:
    """The last block of the transformer trains, and nothing else (not the norm after it), in place. Returns the names.

    A classifier's head trains as well. Raises LoRAError, with the model as it was, where it has no list of blocks.
    """
    last = {id(parameter) for parameter in blocks(model)[1][-1].parameters()}
    names = [name for name, parameter in model.named_parameters() if id(parameter) in last]
    return _train(model, names)


def _train(model: nn.Module, names: list[str]) -> list[str]:
    """Let these parameters and a classifier's head train, and nothing else. Returns all their names."""
    heads = head_modules(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names or name.split(".")[0] in heads)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
