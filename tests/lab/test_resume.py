"""A run that was stopped goes on to the same numbers; Ctrl-C leaves something usable."""

import signal
import threading

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.checkpoint import FILE
from lorakit.lab.interrupt import PatientInterrupt
from tests.support.tiny_models import same_tensors
from tests.support.training_runs import TOKENIZER, base, fresh, run, trained


class Stop:
    """Raises an error when the model is asked for its n-th training step: a crash."""

    def __init__(self, model, step, error):
        self.calls, self.step, self.error = 0, step, error
        self.handle = model.register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        self.calls += module.training
        if self.calls == self.step:
            self.handle.remove()
            raise self.error


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("crash_at", [5, 8])
def test_resuming_after_a_crash_gives_the_uninterrupted_run_bit_for_bit(tmp_path, full, crash_at):
    whole = fresh(full)
    expected = run(whole, eval_every=5)
    broken = fresh(full)
    Stop(broken, crash_at, RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(broken, eval_every=5, checkpoint=tmp_path, checkpoint_every=2)
    torch.manual_seed(99)
    again = fresh(full)  # a new process has a new model
    history = run(again, eval_every=5, checkpoint=tmp_path, resume=True)
    assert history.losses == expected.losses
    timeless = [{key: value for key, value in row.items() if key != "tokens_per_s"} for row in history.rows]
    assert timeless == [{key: value for key, value in row.items() if key != "tokens_per_s"} for row in expected.rows]
    assert same_tensors(trained(again), trained(whole))


def test_a_checkpoint_holds_only_what_was_trained_and_nothing_that_runs(tmp_path):
    from safetensors.torch import load_file

    model = fresh()
    run(model, checkpoint=tmp_path, checkpoint_every=3)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    kinds = ("trained", "exp_avg", "exp_avg_sq", "step")
    assert load_file(tmp_path / FILE).keys() == {f"{kind}|{name}" for kind in kinds for name in trained(model)}


def test_without_a_checkpoint_resume_starts_and_without_resume_it_starts_again(tmp_path):
    started = run(fresh(), checkpoint=tmp_path, resume=True)
    again = run(fresh(), steps=4, checkpoint=tmp_path)
    assert len(started.rows) == 10 and len(again.rows) == 4


def test_a_constant_rate_run_can_be_made_longer(tmp_path):
    options = {"schedule": "constant", "checkpoint": tmp_path}
    long = run(fresh(), schedule="constant", steps=8)
    run(fresh(), steps=5, **options)
    assert run(fresh(), steps=8, resume=True, **options).losses == long.losses


def test_resuming_something_else_is_refused_and_changes_nothing(tmp_path):
    run(fresh(), checkpoint=tmp_path)

    def refused(model, message, **options):
        before = trained(model)
        with pytest.raises(LoRAError, match=message):
            run(model, checkpoint=tmp_path, resume=True, **options)
        assert same_tensors(trained(model), before)

    refused(fresh(), "lr was 0.01 and is now 0.02", lr=0.02)
    refused(fresh(), "steps was 10 and is now 12", steps=12)
    other = lk.LoRAConfig(r=3, alpha=4, targets=("q", "v"))
    refused(lk.inject(base(), other, name="a"), "trained tensors differ: .*lora_A")
    elsewhere = fresh()
    with torch.no_grad():
        elsewhere.transformer.wte.weight.add_(1.0)
    refused(elsewhere, "another base")


def test_a_damaged_checkpoint_is_refused_wherever_the_damage_is_and_changes_nothing(tmp_path):
    run(fresh(), checkpoint=tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [0, 9, header // 3, header // 2, header + 1, (header + len(whole)) // 2, len(whole) - 1]
    damages = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in places]
    model = fresh()
    before = trained(model)
    for damage in (*damages, whole[:40], whole[:-1], whole + b"0", b""):
        (tmp_path / FILE).write_bytes(damage)
        with pytest.raises(LoRAError, match=f"{FILE} is damaged"):
            run(model, checkpoint=tmp_path, resume=True)
    assert same_tensors(trained(model), before)


@pytest.fixture
def pythons_own_ctrl_c():
    """Python's own handler, also where the tests run in the background, with SIGINT ignored from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c_in_step(model, step):
    calls = []

    def press(module, inputs):
        calls.append(module.training)
        if sum(calls) == step:
            signal.raise_signal(signal.SIGINT)

    return model.register_forward_pre_hook(press)


def test_ctrl_c_ends_after_the_step_says_so_and_the_run_can_go_on(tmp_path, pythons_own_ctrl_c, capsys):
    expected = run(fresh())
    model = fresh()
    handle = ctrl_c_in_step(model, 4)
    history = run(model, checkpoint=tmp_path)
    handle.remove()
    assert history.interrupted and len(history.rows) == 4 and "4 of 10 steps" in repr(history)
    assert "stopped after 4 of 10 steps" in capsys.readouterr().out
    assert not model.training and lab.generate_answers(model, TOKENIZER, ["say a:"], 3)
    lk.save_adapter(model, tmp_path / "adapter", name="a")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = run(fresh(), checkpoint=tmp_path, resume=True)
    assert resumed.losses == expected.losses and not resumed.interrupted


def test_ctrl_c_is_left_alone_outside_the_main_thread_and_where_someone_else_handles_it():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(PatientInterrupt().__enter__().asked))
    thread.start()
    thread.join()
    assert seen == [False]
    mine = signal.signal(signal.SIGINT, lambda *signal_and_frame: seen.append("mine"))
    try:
        with PatientInterrupt():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, mine)
    assert seen == [False, "mine"]
