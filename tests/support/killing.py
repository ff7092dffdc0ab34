"""Kill processes that save, press Ctrl-C in ones that train, and look at what they leave.

`python killing.py <folder> <kills> <saves> <presses>` prints figures as JSON. A process of its own, started without a
GPU and with one thread: its children are forked, so that a trial costs milliseconds instead of an import, and only a
process without threads can be forked safely.
"""

import itertools
import json
import os
import random
import shutil
import signal
import statistics
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing import RawArray
from pathlib import Path

import torch

import lorakit as lk
import lorakit.lab.checkpoint as files
from lorakit import lab
from tests.support.disk_steps import At, watched
from tests.support.saving import CONFIG, two_versions, version_in
from tests.support.tiny_models import build, logits, same_tensors
from tests.support.training_runs import Bytes, fresh, frozen, run, tensors_of, trained

PATIENCE = 60  # seconds for a child that should have begun long ago
BEGUN, ENDED = 0, 1  # what a child has counted in the memory that it shares, for whoever kills it


def fork(work: Callable[[], object]) -> int:
    """The process id of a child that does this work and then ends, without any of its parent's clean-up."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def stopped(work: Callable[[], object], begun: Callable[[], bool], number: int, *delays: float) -> int:
    """Do the work in a child and send it this signal, so many seconds after `begun()` and after one another.

    Returns its exit status.
    """
    child, patience = fork(work), time.monotonic() + PATIENCE
    while not begun():
        if time.monotonic() > patience or os.waitpid(child, os.WNOHANG)[0]:
            raise AssertionError("the child never began")
        time.sleep(1e-4)
    for delay in delays:
        time.sleep(delay)
        os.kill(child, number)
    return os.waitpid(child, 0)[1]


class Adapters:
    """The old and the new adapter, saved, and which of them another folder holds."""

    def __init__(self, home: Path) -> None:
        self.models, self.reader = two_versions(), build("gpt2")
        self.outputs = {name: logits(model) for name, model in self.models.items()}
        self.settings = {name: (self.save(home / name, name) / CONFIG).read_bytes() for name in self.models}

    def save(self, folder: Path, name: str) -> Path:
        return lk.save_adapter(self.models[name], folder, name="sql")

    def which(self, folder: Path) -> str:
        """ "old" or "new", whichever loads in every bit, or "nothing"; an AssertionError for anything else."""
        try:
            return version_in(folder, self.outputs, self.reader)
        except lk.LoRAError as error:
            assert "no adapter in" in str(error), error
            return "nothing"

    def between_renames(self, folder: Path) -> bool:
        """Are the weights of one adapter there without its settings?"""
        name, file = self.which(folder), folder / CONFIG
        return name != "nothing" and not (file.is_file() and file.read_bytes() == self.settings[name])


def one_save(home: Path, kills: int, first: bool) -> dict:
    """A save over the old adapter, or the first of its folder: killed at random instants, and before each change."""
    adapters, place, counts, times = Adapters(home), home / "place", RawArray("q", 2), []
    folder, step = place / "adapter", home / "step"
    save = partial(adapters.save, folder, "new")

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)
        if not first:
            shutil.copytree(home / "old", folder)
        counts[BEGUN] = counts[ENDED] = 0

    def work() -> None:
        counts[BEGUN] = 1
        save()
        counts[ENDED] = 1
        signal.pause()

    def left() -> int:
        return sum(path.suffix == ".tmp" for path in folder.glob("*"))

    for _ in range(11):
        prepare()
        started = time.perf_counter()
        save()
        times.append(time.perf_counter() - started)
    duration, found = statistics.median(times), Counter()
    for _ in range(kills):
        prepare()
        status = stopped(work, lambda: counts[BEGUN], signal.SIGKILL, random.uniform(0, 1.5 * duration))
        assert os.WIFSIGNALED(status), "the child ended before it was killed"
        name = adapters.which(folder)
        assert name == "new" or not counts[ENDED]
        found[name] += 1
        found["inside"] += 1 - counts[ENDED]
        found["left"] += left()
        found["between renames"] += adapters.between_renames(folder)
        save()
        assert not left(), "the next save cleans up"

    def watched_save(n: int) -> None:
        at = At(n, lambda: (step.write_text(at.done[-1]), os.kill(os.getpid(), signal.SIGKILL)))
        with watched(place, at):
            save()

    steps, states = [], Counter()
    for n in itertools.count(1):
        prepare()
        _, status = os.waitpid(fork(partial(watched_save, n)), 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, "the save itself failed"
            return {"random": found, "milliseconds": 1e3 * duration, "steps": steps, "states": states}
        steps.append(step.read_text())
        states["between renames"] += adapters.between_renames(folder)
        states[adapters.which(folder)] += 1


def checkpoint(home: Path, kills: int) -> dict:
    """A real `fit` that writes a checkpoint after each step, killed at random instants and resumed."""
    folder, counts, saves, real = home / "run", RawArray("q", 2), {}, files.save_checkpoint
    options = {"checkpoint": folder, "checkpoint_every": 1, "schedule": "constant", "steps": 16, "resume": True}

    def kept(folder, parameters, optimizer, state) -> None:
        step = len(state["rows"])
        saves[step] = tensors_of(parameters, optimizer)
        real(folder, parameters, optimizer, state)
        if step == 2:
            shutil.copytree(folder, home / "start")

    def marked(folder, parameters, optimizer, state) -> None:
        counts[BEGUN] = len(state["rows"])
        real(folder, parameters, optimizer, state)
        counts[ENDED] = len(state["rows"])

    def look() -> int:
        """The step that lies in the folder, all of it checked."""
        parameters = {name: p for name, p in fresh().named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(parameters.values())
        rows = files.load_checkpoint(folder, parameters, optimizer, whole.settings, {})["rows"]
        assert same_tensors(tensors_of(parameters, optimizer), saves[len(rows)]), "not the tensors of its step"
        assert [row["loss"] for row in rows] == whole.losses[: len(rows)]
        return len(rows)

    def reset() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "start", folder)

    files.save_checkpoint = kept
    whole = run(fresh(), **options)
    files.save_checkpoint = marked
    reset()
    started = time.perf_counter()
    run(fresh(), **options)
    duration, found, step = (time.perf_counter() - started) / 14, Counter(), 16
    for _ in range(kills):
        if step > 9:
            reset()
            step = 2
        counts[BEGUN] = counts[ENDED] = step
        begun, pause = lambda: counts[BEGUN] > step, random.uniform(0, 3 * duration)  # noqa: B023
        status = stopped(lambda: (run(fresh(), **options), signal.pause()), begun, signal.SIGKILL, pause)
        assert os.WIFSIGNALED(status), "the child ended before it was killed"
        step, inside = look(), counts[BEGUN] != counts[ENDED]
        assert step in counts[:], (step, counts[:])
        found["inside"] += inside
        found["between saves" if not inside else "old" if step < counts[BEGUN] else "new"] += 1
    left = sorted(path.name for path in folder.iterdir())
    files.save_checkpoint = real
    assert run(fresh(), **options).losses == whole.losses, "the run that was killed so often ends elsewhere"
    after = [path.name for path in folder.iterdir()]
    return {"random": found, "left": left, "after": after, "milliseconds": 1e3 * duration}


def crowd(home: Path, saves: int) -> dict:
    """Two processes save that often to one folder, while this one loads from it: always one whole adapter."""
    adapters, folder, seen = Adapters(home), home / "shared", Counter()

    def saver(name: str) -> None:
        for _ in range(saves):
            adapters.save(folder, name)

    children = {fork(partial(saver, name)) for name in adapters.models}
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        assert status == 0, "a save failed"
        children.discard(child)
        seen[adapters.which(folder)] += 1
    return {"seen": seen, "files": sorted(path.name for path in folder.iterdir())}


EVERY = {"checkpoint_every": 2, "eval_every": 5}


def usable(model, folder: Path) -> None:
    """Forward, generate, save, merge and back, all as if nothing had happened; and nothing is left behind."""
    modules = list(model.modules())
    assert not any(module.training for module in modules) and all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert lab.generate_answers(model, Bytes(), ["say a:"], 3)
    lk.save_adapter(model, folder / "adapter")
    lk.merge(model)
    lk.unmerge(model)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "our handler is gone"


def train_through_ctrl_c(folder: Path, whole, wanted: dict, counts) -> None:
    """What a child does: it trains, is interrupted, is still usable, resumes, and does the cell again."""
    model = fresh()
    base, random_state = frozen(model), torch.get_rng_state()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    history = None
    counts[BEGUN] = 1
    try:
        try:
            history = run(model, checkpoint=folder, **EVERY)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # before or after all that fit protects
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    counts[ENDED] = 0 if history is None else 1 + history.interrupted
    assert torch.equal(torch.get_rng_state(), random_state)
    assert same_tensors(frozen(model), base), "the base has changed"
    usable(model, folder)
    for resume in (True, False):
        again = fresh()
        history = run(again, checkpoint=folder, resume=resume, **EVERY)
        rows = ([{**row, "tokens_per_s": 0} for row in each.rows] for each in (history, whole))
        assert next(rows) == next(rows) and not history.interrupted, f"another run, resumed: {resume}"
        assert same_tensors(trained(again), wanted)


def ctrl_c(home: Path, trials: int) -> dict:
    """Ctrl-C at random instants of a training run: once, or (in every third) twice in quick succession."""
    model, counts, found = fresh(), RawArray("q", 2), Counter()
    run(fresh(), **EVERY)
    started = time.perf_counter()
    whole = run(model, checkpoint=home / "whole", **EVERY)
    duration = time.perf_counter() - started
    for trial in range(trials):
        delays = [random.uniform(0, 0.9 * duration), random.uniform(0, 0.01)][: 1 + (trial % 3 == 2)]
        counts[BEGUN] = counts[ENDED] = 0
        work = partial(train_through_ctrl_c, home / str(trial), whole, trained(model), counts)
        assert stopped(work, lambda: counts[BEGUN], signal.SIGINT, *delays) == 0, f"trial {trial}: see above"
        how = ("raised", "finished", "interrupted")[counts[ENDED]]
        found[f"{('once', 'twice')[len(delays) - 1]}: {how}"] += 1
    return {"trials": trials, "milliseconds": 1e3 * duration, **found}


if __name__ == "__main__":
    home, (kills, saves, presses) = Path(sys.argv[1]), map(int, sys.argv[2:])
    torch.set_num_threads(1)
    random.seed(0)
    trials = {
        "adapter": partial(one_save, kills=kills, first=False),
        "first_adapter": partial(one_save, kills=kills, first=True),
        "checkpoint": partial(checkpoint, kills=kills),
        "crowd": partial(crowd, saves=saves),
        "ctrl_c": partial(ctrl_c, trials=presses),
    }
    for name in trials:
        (home / name).mkdir(parents=True)
    print(json.dumps({name: trial(home / name) for name, trial in trials.items()}))
