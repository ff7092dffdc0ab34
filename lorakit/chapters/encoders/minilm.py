"""The appendix's encoder, with its own weights or, where they are not installed, with random ones."""

import torch

from lorakit.core.errors import LoRAError
from lorakit.lab.bases.load import load_base


def minilm_at_hand(labels: int = 2, seed: int = 0):
    """(classifier, tokenizer) of MiniLM; where it is not installed, its shape with random weights, and None.

    What does not depend on the weights (counts, shapes, files) is the same for both.
    """
    try:
        return load_base("minilm", kind="classifier", labels=labels, seed=seed, device="cpu")
    except LoRAError:
        from transformers import BertConfig, BertForSequenceClassification

        shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BertForSequenceClassification(BertConfig(**shape, num_labels=labels)).eval(), None
