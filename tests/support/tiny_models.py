"""Tiny seeded models, one per kind of architecture, with an input for each. Square and rectangular projections."""

from functools import cache

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import lorakit as lk

VOCAB, WIDTH, LAYERS = 61, 24, 2
TEXT = dict(vocab_size=VOCAB, attention_dropout=0.0)
PIXELS = 8
DECODER = dict(
    hidden_size=WIDTH,
    intermediate_size=40,
    num_hidden_layers=LAYERS,
    num_attention_heads=4,
    max_position_embeddings=40,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
GPT2_LIKE = dict(vocab_size=VOCAB, n_embd=WIDTH, n_layer=LAYERS, n_head=4, n_positions=40)
GPT2_LIKE |= dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2, pad_token_id=0)
BERT_LIKE = dict(
    vocab_size=VOCAB,
    hidden_size=WIDTH,
    num_hidden_layers=LAYERS,
    num_attention_heads=4,
    intermediate_size=40,
    max_position_embeddings=40,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    num_labels=3,
)


class Plain(nn.Module):
    """No transformers at all: square, rectangular and bias-free Linear layers, and a BatchNorm head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.q_proj = nn.Linear(WIDTH, WIDTH)
        self.fc1 = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.fc2 = nn.Linear(3 * WIDTH, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, input_ids):
        x = self.embed(input_ids)  # (batch, tokens, WIDTH)
        x = x + self.fc2(torch.tanh(self.fc1(torch.tanh(self.q_proj(x)))))
        return self.head(self.norm(x.mean(1)))


class Mixer(nn.Module):
    """A block of Nested, with a projection called "0" and one without a bias."""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH)
        self.to_out = nn.Sequential(nn.Linear(WIDTH, 40), nn.Tanh(), nn.Linear(40, WIDTH, bias=False))

    def forward(self, x):
        return x + self.to_out(torch.tanh(self.q(x)))


class Nested(nn.Module):
    """Modules inside modules under odd names ("model", "in-0"); one block is used twice and has two names."""

    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"embed": nn.Embedding(VOCAB, WIDTH), "in-0": Mixer(), "shared": Mixer()})
        self.again = self.model["shared"]
        self.score = nn.Linear(WIDTH, 5)

    def forward(self, input_ids):
        x = self.model["embed"](input_ids)  # (batch, tokens, WIDTH)
        x = self.again(self.model["shared"](self.model["in-0"](x)))
        return self.score(x.mean(1))


def tiny(model: str, config: str, **fields):
    """A function that makes this model of transformers; what it is given changes the config."""
    return lambda **changes: getattr(tf, model)(getattr(tf, config)(**{**fields, **changes}))


TEXT_DECODER = {**TEXT, **DECODER}
FUSED = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2)
OPT_LIKE = dict(hidden_size=WIDTH, word_embed_proj_dim=16, ffn_dim=40, num_hidden_layers=LAYERS, num_attention_heads=4)
OPT_LIKE |= dict(max_position_embeddings=40, dropout=0.0, bos_token_id=1, eos_token_id=2, pad_token_id=0)
RELATIVE = dict(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, share_att_key=False)
IMAGES = {key: value for key, value in BERT_LIKE.items() if key not in ("vocab_size", "max_position_embeddings")}

# Fused q, k, v in one Conv1D; tied embeddings.
gpt2 = tiny("GPT2LMHeadModel", "GPT2Config", **GPT2_LIKE)
# Grouped-query attention: k and v are rectangular (24 -> 12).
llama = tiny("LlamaForCausalLM", "LlamaConfig", **TEXT_DECODER, num_key_value_heads=2)
# Sequence classification: a head to train whole.
roberta = tiny("RobertaForSequenceClassification", "RobertaConfig", **BERT_LIKE)
BUILDERS = {
    "plain": Plain,
    "nested": Nested,
    "gpt2": gpt2,
    "llama": llama,
    # A sliding window, and heads wider than width / heads: q is 24 -> 32, o is 32 -> 24.
    "mistral": tiny("MistralForCausalLM", "MistralConfig", **TEXT_DECODER, num_key_value_heads=2, head_dim=8,
                    sliding_window=4),
    # Biases on q, k and v only; tied embeddings.
    "qwen2": tiny("Qwen2ForCausalLM", "Qwen2Config", **TEXT_DECODER, num_key_value_heads=2, tie_word_embeddings=True),
    # Attention and MLP in parallel, biases everywhere, the head included; the output projection is called dense.
    "phi": tiny("PhiForCausalLM", "PhiConfig", **TEXT_DECODER, partial_rotary_factor=0.67),
    # Embeddings narrower than the model, with projections between them; tied.
    "opt": tiny("OPTForCausalLM", "OPTConfig", **TEXT, **OPT_LIKE),
    # Fused and interleaved: head after head, each with its own q, k and v rows.
    "neox": tiny("GPTNeoXForCausalLM", "GPTNeoXConfig", **TEXT_DECODER),
    # Its c_attn looks like GPT-2's, but holds the rows of q, k and v head by head (without multi_query).
    "bigcode": tiny("GPTBigCodeForCausalLM", "GPTBigCodeConfig", **GPT2_LIKE, multi_query=False),
    # Fused, with one k and one v for all heads: 24 -> 36; the attention is called self_attention.
    "falcon": tiny("FalconForCausalLM", "FalconConfig", **FUSED, hidden_size=WIDTH, num_hidden_layers=LAYERS,
                   num_attention_heads=4),
    # Fused, head after head; the attention is called self_attention.
    "bloom": tiny("BloomForCausalLM", "BloomConfig", **FUSED, hidden_size=WIDTH, n_layer=LAYERS, n_head=4),
    # A bias-free head on the last token.
    "gpt2_classifier": tiny("GPT2ForSequenceClassification", "GPT2Config", **GPT2_LIKE, num_labels=3),
    "bert": tiny("BertForMaskedLM", "BertConfig", **BERT_LIKE),
    # Its head is one Linear behind a pooler of the encoder's own.
    "bert_classifier": tiny("BertForSequenceClassification", "BertConfig", **BERT_LIKE),
    "roberta": roberta,
    # Disentangled attention, with projections for positions: separate ones, or those of the words (as in v3).
    "deberta": tiny("DebertaV2ForSequenceClassification", "DebertaV2Config", **BERT_LIKE, **RELATIVE,
                    pooler_dropout=0.0, pooler_hidden_size=WIDTH),
    # Images in patches; no vocabulary. Its patch embedding is a convolution.
    "vit": tiny("ViTForImageClassification", "ViTConfig", **IMAGES, image_size=PIXELS, patch_size=4),
}  # fmt: skip


def make_tiny_model(seed: int = 0, dropout: float = 0.1, context: int = 128) -> nn.Module:
    """The GPT-2 behind the fixture `tiny_model`: 2 layers, width 32, a vocabulary of 256 bytes and an end of text."""
    off = dict(resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, bos_token_id=256, eos_token_id=256)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = tf.GPT2Config(vocab_size=257, n_positions=context, n_embd=32, n_layer=2, n_head=2, **off)
        return tf.GPT2LMHeadModel(config).eval()


def byte_tokenizer() -> tf.PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: 256 bytes and an end-of-text token, which also pads."""
    vocabulary = {letter: n for n, letter in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "<eos>"])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<eos>", padding_side="left")


def build(kind: str, seed: int = 0, **changes) -> nn.Module:
    """A model in eval mode, its biases and norms random too, so that nothing is hidden by a zero."""
    torch.manual_seed(seed)
    model = BUILDERS[kind](**changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@cache
def ids(rows: int = 3, tokens: int = 7, seed: int = 5) -> torch.Tensor:
    return torch.randint(3, VOCAB, (rows, tokens), generator=torch.Generator().manual_seed(seed))


def samples(model: nn.Module, rows: int = 3) -> torch.Tensor:
    """What this model eats: token ids, or pixels in its own dtype."""
    if main_input(model) != "pixel_values":
        return ids(rows)
    pixels = torch.randn(rows, 3, PIXELS, PIXELS, generator=torch.Generator().manual_seed(5))
    return pixels.to(next(model.parameters()).dtype)


def main_input(model: nn.Module) -> str:
    return getattr(model, "main_input_name", "input_ids")


def logits(model: nn.Module, batch: torch.Tensor | None = None, grad: bool = False) -> torch.Tensor:
    with torch.set_grad_enabled(grad):
        out = model(**{main_input(model): samples(model) if batch is None else batch})
    return getattr(out, "logits", out)


def fill(model: nn.Module, name: str, seed: int = 1, size: float = 0.3) -> None:
    """Give an adapter random B (and A), as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for path, parameter in model.named_parameters():
        if f".adapters.{name}.lora_" in path:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(size * noise / parameter.shape[-1] ** 0.5)


def two_adapters(kind: str, targets: tuple[str, ...], dtype: torch.dtype = torch.float32, **changes) -> nn.Module:
    """Adapters "a" and "b", of ranks 2 and 3, on the same projections; "b" is active."""
    model = build(kind, **changes).to(dtype)
    for number, name in enumerate(("a", "b")):
        lk.inject(model, lk.LoRAConfig(r=2 + number, targets=targets), name=name)
        fill(model, name, seed=number)
    return model


class Ops(TorchDispatchMode):
    """The names of the operations that torch is asked for within the block, views counted."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


def snapshot(model: nn.Module) -> dict:
    """Everything a verb could change: tensors, classes, trainability, mode, and lorakit's own state."""
    return {
        "tensors": {key: value.clone() for key, value in model.state_dict().items()},
        "classes": {path: type(module) for path, module in model.named_modules()},
        "training": {path: module.training for path, module in model.named_modules()},
        "grad": {path: p.requires_grad for path, p in model.named_parameters()},
        "ids": {path: id(p) for path, p in model.named_parameters()},
        "state": (lk.adapter_names(model), lk.active_adapter(model), lk.is_merged(model)),
        "attributes": set(vars(model)),
    }


def assert_same(before: dict, after: dict) -> None:
    assert before["tensors"].keys() == after["tensors"].keys()
    for key, value in before["tensors"].items():
        other = after["tensors"][key]
        assert value.dtype == other.dtype and same_bits(value, other), key
    for what in ("classes", "training", "grad", "ids", "state", "attributes"):
        assert before[what] == after[what], what


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal byte for byte: -0.0 is not 0.0, and NaN is NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a.contiguous().reshape(-1).view(torch.uint8), b.contiguous().reshape(-1).view(torch.uint8))


def same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(same_bits(value, other[key]) for key, value in one.items())
