"""Two processes learn what one learns, with a base each or one cut up over them; and the command does both.

All of it in one start of `accelerate launch`, which sets what torchrun sets, and more.
"""

import json

import pytest
import torch
from safetensors import safe_open

import lorakit as lk
from lorakit import lab
from lorakit.lab import train
from lorakit.lab.checkpoint import FILE
from tests.support.processes import launch

# One process per half; what each finds goes into a file of its own.
WORK = """
import contextlib, io, json, sys
import torch
from transformers import AutoTokenizer
import lorakit as lk
from lorakit import lab
from lorakit.lab import train
from lorakit.lab.many.processes import this_process
from lorakit.lab.many.shard import is_sharded
from tests.lab.many.test_shard import COMMAND, OPTIONS, WHOLE, adapted, logits_of, make_task, outcome

folder, processes = sys.argv[1], int(sys.argv[2])
state = this_process()
assert state.num_processes == processes
tokenizer = AutoTokenizer.from_pretrained(folder + "/tokenizer")
task, out = make_task(), {}

def train_twice(model, checkpoint, options):  # the second time from where the first one stopped
    options = {**options, "checkpoint": folder + "/" + checkpoint}
    lab.fit(model, tokenizer, task, steps=2, **options)
    state.wait_for_everyone()
    return lab.fit(model, tokenizer, task, steps=4, resume=True, **options)

# Another start in the second process: the main one's has to win.
model = adapted(seed=state.process_index)
out["whole"] = outcome(model, train_twice(model, "checkpoint-whole", WHOLE))
model = adapted(seed=state.process_index)
out["frozen_bytes"] = sum(p.nbytes for p in model.parameters() if not p.requires_grad)
assert lab.shard(model) is model and is_sharded(model)

def held():
    frozen = [p for p in model.parameters() if not p.requires_grad]
    return sum(p.to_local().nbytes if hasattr(p, "to_local") else p.nbytes for p in frozen)

out["held_bytes"] = held()
out["tied"] = model.lm_head.weight is model.transformer.wte.weight
history = train_twice(model, "checkpoint", OPTIONS)
out["held_after"] = held()
out["losses"] = history.losses
out["norms"] = [row["grad_norm"] for row in history.rows]
out["validation"] = {r["step"]: r["validation_loss"] for r in history.rows if "validation_loss" in r}
out["plain"] = all(type(p) is torch.nn.Parameter for p in model.parameters() if p.requires_grad)
if state.is_main_process:  # without the others: nothing of the base is gathered for it
    lk.save_adapter(model, folder + "/adapter")
state.wait_for_everyone()
out["logits"] = logits_of(model)
out["answers"] = lab.generate_answers(model, tokenizer, ["say a:", "say bc:"], max_new_tokens=5)

def refusal(action):
    try:
        action()
    except lk.LoRAError as error:
        return str(error)

out["refused"] = {
    "merge": refusal(lambda: lk.merge(model)),
    "again": refusal(lambda: lab.shard(model)),
    "parts": refusal(lambda: lab.fit(model, tokenizer, task, batch_size=5, accumulate=3)),
    "full": refusal(lambda: lab.fit(model.requires_grad_(True), tokenizer, task, batch_size=6)),
    "full first": refusal(lambda: lab.shard(adapted().requires_grad_(True))),
}
model.requires_grad_(False)
# Another adapter may come after sharding: read from a file, or new.
lk.load_adapter(model, folder + "/adapter", name="again", trainable=True)
out["reloaded"] = logits_of(model)
lk.inject(model, lk.LoRAConfig(r=2, alpha=4, targets=("mlp",)), name="late")
out["late"] = lab.fit(model, tokenizer, task, steps=2, **OPTIONS).losses
# A second model: recomputing activations gathers the weights again, to the same gradient; bf16 products.
model = adapted()
model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
out["recomputed"] = lab.fit(lab.shard(model), tokenizer, task, steps=2, **OPTIONS).losses
out["bf16"] = lab.fit(lab.shard(adapted()), tokenizer, task, steps=2, precision="bf16", **OPTIONS).losses
with contextlib.redirect_stdout(io.StringIO()) as said:
    out["code"] = train.main([*COMMAND, "--model", folder + "/base", "--out", folder + "/out", "--shard"])
out["said"] = said.getvalue()
open(f"{folder}/{processes}-{state.process_index}.json", "w").write(json.dumps(out))
"""
WHOLE = dict(batch_size=5, warmup=0, schedule="constant", progress=False, eval_every=2)  # 5 rows: not equal halves
OPTIONS = {**WHOLE, "batch_size": 6, "accumulate": 2}
COMMAND = ["--task", "python", "--steps", "2", "--eval-limit", "4", "--quiet", "--device", "cpu"]
COMMAND += ["--batch-size", "4", "--r", "2"]


def adapted(seed: int = 0, targets=("q", "v", "o")):
    """A tiny GPT-2 (tied embeddings) with an adapter on a fused slice and on a whole Conv1D; no dropout."""
    from tests.support.tiny_models import make_tiny_model

    model = make_tiny_model(dropout=0.0)
    lk.inject(model, lk.LoRAConfig(r=2, alpha=4, targets=targets), name="a", seed=seed)
    return model


def make_task():
    """Answers of very different lengths: the processes' batches differ in shape and in their number of tokens."""
    examples = [lab.Example(f"say {c}:", " " + c * (1 + 9 * (n % 2))) for n, c in enumerate("abcdefgh")]
    return lab.Task("t", examples, examples, examples, "share", lambda a, e: {"share": 0.5}, 3)


def logits_of(model) -> list[float]:
    with torch.no_grad():
        return model(input_ids=torch.arange(40).reshape(2, 20)).logits.flatten().tolist()


def outcome(model, history) -> dict:
    norms = [row["grad_norm"] for row in history.rows]
    weights = [p.detach().double().sum().item() for p in model.parameters() if p.requires_grad]
    return {"losses": history.losses, "norms": norms, "weights": weights}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_tokenizer, make_tiny):
    folder = tmp_path_factory.mktemp("shard")
    for name in ("tokenizer", "base"):
        tiny_tokenizer.save_pretrained(folder / name)
    make_tiny(context=320).save_pretrained(folder / "base")  # functions of up to 300 bytes, a token each
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """What the two processes wrote."""
    return launch(folder, WORK, 2)


@pytest.fixture(scope="module")
def alone(tiny_tokenizer):
    """The same training in one process: (model, history)."""
    model = adapted()
    return model, lab.fit(model, tiny_tokenizer, make_task(), steps=4, **OPTIONS)


def test_two_processes_learn_what_one_learns(found, folder, tiny_tokenizer):
    model = adapted()
    alone = outcome(model, lab.fit(model, tiny_tokenizer, make_task(), steps=4, **WHOLE))
    first, second = (one["whole"] for one in found)
    assert first == second
    assert len(first["losses"]) == 4 and first["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    for name, values in alone.items():
        assert first[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name


def test_the_command_shares_a_base_cut_up_over_two_processes(found, folder):
    """On the bundled task; one process with the same options agrees."""
    assert [one["code"] for one in found] == [0, 0]
    assert sum(one["said"].count("test after: ") for one in found) == 1, "one process speaks"
    assert train.main([*COMMAND, "--model", str(folder / "base"), "--out", str(folder / "alone")]) == 0
    scores, alone = (json.loads((folder / place / "scores.json").read_text()) for place in ("out", "alone"))
    for when in ("before", "after"):
        assert scores[when]["loss"] == pytest.approx(alone[when]["loss"], rel=1e-5)
    lk.load_adapter(lk.load_base(str(folder / "base"), device="cpu")[0], folder / "out" / "adapter", name="python")


def test_a_sharded_base_trains_as_a_whole_one(found, alone):
    model, history = alone
    for one in found:
        assert one["losses"] == pytest.approx(history.losses, rel=1e-5)
        assert one["norms"] == pytest.approx([row["grad_norm"] for row in history.rows], rel=1e-4)
        assert one["logits"] == pytest.approx(logits_of(model), rel=1e-3, abs=1e-4)
        assert one["plain"], "what trains is whole on every process"
    losses = {str(row["step"]): row["validation_loss"] for row in history.rows if "validation_loss" in row}
    assert found[0]["validation"] == pytest.approx(losses, rel=1e-5)
    assert "4" not in found[1]["validation"], "only the main process keeps the numbers"


def test_each_process_holds_half_of_the_frozen_base(found):
    for one in found:
        # The 257 rows of the embeddings do not halve: one process holds 129 of them.
        assert one["held_bytes"] == pytest.approx(one["frozen_bytes"] / 2, rel=0.01)
        assert one["held_after"] == one["held_bytes"], "nothing stays gathered after training"
        assert one["tied"]
    assert sum(one["held_bytes"] for one in found) == found[0]["frozen_bytes"]


def test_the_checkpoint_of_a_sharded_run_holds_lora_tensors_only_and_one_process_goes_on_from_it(
    found, folder, alone, tiny_tokenizer
):
    model = adapted(seed=1)
    place = folder / "checkpoint" / FILE
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    with safe_open(place, "pt") as file:
        sizes = {name: file.get_tensor(name).numel() for name in file.keys()}  # noqa: SIM118
    assert all(".lora_" in name for name in trained)
    assert {name: sizes[f"trained|{name}"] for name in trained} == trained
    assert {key.partition("|")[2] for key in sizes} == set(trained)
    tensors = sum(trained.values()) * 4 * 3  # float32: the values and AdamW's two moments
    assert tensors < place.stat().st_size < tensors + 16_384

    history = lab.fit(
        model, tiny_tokenizer, make_task(), steps=5, checkpoint=folder / "checkpoint", resume=True, **OPTIONS
    )
    assert history.losses[:4] == found[0]["losses"]
    whole = lab.fit(adapted(), tiny_tokenizer, make_task(), steps=5, **OPTIONS)
    assert history.losses[4] == pytest.approx(whole.losses[4], rel=1e-5)


def test_an_adapter_from_a_sharded_run_gives_the_same_logits_on_an_ordinary_model(found, folder, make_tiny):
    model = make_tiny(dropout=0.0)
    lk.load_adapter(model, folder / "adapter", name="a")
    assert found[0]["logits"] == pytest.approx(logits_of(model), abs=1e-5)
    with pytest.raises(lk.LoRAError, match="another base"):
        lk.load_adapter(make_tiny(seed=3), folder / "adapter", name="a")


def test_adapters_may_be_loaded_or_injected_after_sharding(found, folder, make_tiny, tiny_tokenizer):
    for one in found:
        assert one["reloaded"] == one["logits"]
    model = make_tiny(dropout=0.0)
    lk.inject(model, lk.LoRAConfig(r=2, alpha=4, targets=("mlp",)), name="late")
    late = lab.fit(model, tiny_tokenizer, make_task(), steps=2, **OPTIONS).losses
    assert found[1]["late"] == pytest.approx(late, rel=1e-5)


def test_a_sharded_model_generates_what_a_whole_one_does(found, alone, tiny_tokenizer):
    answers = lab.generate_answers(alone[0], tiny_tokenizer, ["say a:", "say bc:"], max_new_tokens=5)
    assert [one["answers"] for one in found] == [answers, answers]


def test_gradient_checkpointing_and_bf16_work_on_a_sharded_model(found, alone, tiny_tokenizer):
    assert found[0]["recomputed"] == pytest.approx(alone[1].losses[:2], rel=1e-5)
    bf16 = lab.fit(adapted(), tiny_tokenizer, make_task(), steps=2, precision="bf16", **OPTIONS).losses
    assert found[0]["bf16"] == pytest.approx(bf16, rel=1e-2)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("merge", "is sharded over processes: save_adapter"),
        ("again", "is sharded already"),
        ("parts", "batch_size must be at least 6 (2 processes x 3 parts), got 5"),
        ("full", "a sharded weight cannot be trained"),
        ("full first", "inject an adapter first"),
    ],
)
def test_what_a_sharded_model_cannot_do_is_refused(found, what, message):
    assert all(message in one["refused"][what] for one in found), found[0]["refused"]
