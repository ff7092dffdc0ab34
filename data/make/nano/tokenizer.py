"""Nano's tokenizer: byte-level BPE, made so that copying a name or a number is copying tokens.

Digits stand alone. A capitalised word never swallows the space before it, so "Rome" is the same tokens after a
space, a quote or a bracket; lower-case words and SQL's keywords do take theirs, as in GPT-2.
"""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
# in order: a digit | SQL-like capitals | a lower-case word | a capitalised word | signs | spaces
PIECES = r"\p{N}| ?\p{Lu}{2,}(?!\p{Ll})| ?\p{Ll}+|\p{Lu}\p{Ll}*| ?[^\s\p{L}\p{N}]+|\s+?(?=\s)|\s|\p{L}+"


def train_tokenizer(texts, vocab_size=4096) -> PreTrainedTokenizerFast:
    """Train the BPE on an iterable of texts. END is the end of a document, and the padding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=256,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
