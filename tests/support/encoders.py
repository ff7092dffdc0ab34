"""Tiny encoders with a tokenizer, saved as folders: what the tests of classifiers load."""

from pathlib import Path

import transformers as tf

from tests.support import tiny_models
from tests.support.tiny_models import WIDTH, tiny

WORDS = ["good", "bad", "fine", "poor", "film", "plot", "a", "the", "is", "was"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FAR_APART = dict(initializer_range=0.3)  # no more trained for it, but words can be told apart
BERT_LIKE = {name: value for name, value in tiny_models.BERT_LIKE.items() if name != "num_labels"} | FAR_APART
BERT_LIKE |= dict(vocab_size=len(SPECIAL) + len(WORDS), max_position_embeddings=32, pad_token_id=0)


def tokenizer() -> tf.PreTrainedTokenizerFast:
    """One token a word, [CLS] in front and [SEP] behind; no end-of-text token, as encoders have none."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, **names)


RELATIVE = tiny_models.RELATIVE | dict(share_att_key=True)
DISTILLED = dict(vocab_size=BERT_LIKE["vocab_size"], dim=16, n_layers=2, n_heads=2, hidden_dim=24, dropout=0.0)
DISTILLED |= dict(max_position_embeddings=32, pad_token_id=0, attention_dropout=0.0, seq_classif_dropout=0.0)
CAUSAL = dict(vocab_size=BERT_LIKE["vocab_size"], n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=3)
CAUSAL |= dict(eos_token_id=3, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)

bert = tiny("BertModel", "BertConfig", **BERT_LIKE)
masked_bert = tiny("BertForMaskedLM", "BertConfig", **BERT_LIKE)  # as it comes from masking words alone: no pooler
roberta = tiny("RobertaForMaskedLM", "RobertaConfig", **BERT_LIKE)
BUILDERS = {
    "bert": bert,
    "roberta": roberta,
    "deberta": tiny("DebertaV2Model", "DebertaV2Config", **BERT_LIKE, **RELATIVE, pooler_hidden_size=WIDTH),
    "distilbert": tiny("DistilBertModel", "DistilBertConfig", **DISTILLED, **FAR_APART),
    "gpt2": tiny("GPT2LMHeadModel", "GPT2Config", **CAUSAL, **FAR_APART),
}
HEADS = {
    "bert": ("classifier",),
    "roberta": ("classifier",),
    "deberta": ("pooler", "classifier"),
    "distilbert": ("pre_classifier", "classifier"),
    "gpt2": ("score",),
}


def save(folder: Path, build=bert, seed: int = 0) -> str:
    """A model of random weights and its tokenizer in `folder`; returns its name for load_base."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)
