"""The head of a classifier: what stands behind the pretrained encoder and is made anew for each task."""

from torch import nn

from lorakit.core.state import unwrap


def head_modules(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that make up a sequence classifier's head; () for a model of any other kind.

    They are what `modules_to_save` of a LoRAConfig is to name. ("classifier",) for BERT and RoBERTa, ("score",) for
    GPT-2, ("pre_classifier", "classifier") for DistilBERT, and ("pooler", "classifier") for DeBERTa-v2, whose pooler is
    not pretrained: Hu et al. 2021 train it with the head.
    """
    model = unwrap(model)
    if not type(model).__name__.endswith("ForSequenceClassification"):
        return ()
    encoder = getattr(model, "base_model", None)
    children = model.named_children()
    return tuple(name for name, child in children if child is not encoder and any(True for _ in child.parameters()))


def head_parameters(model: nn.Module) -> int:
    """How many parameters the head has: the base's, which every adapter's own copy of it has too."""
    model = unwrap(model)
    parameters = (pair for name in head_modules(model) for pair in model.get_submodule(name).named_parameters())
    return sum(p.numel() for name, p in parameters if not name.startswith("adapters."))
