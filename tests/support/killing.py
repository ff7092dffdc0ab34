"""Kill processes that save, and look at what they leave.

`python killing.py <folder> <kills> <saves>` prints figures as JSON. A process of its own, started without a
GPU and with one thread: its children are forked, so that a trial costs milliseconds instead of an import, and only a
process without threads can be forked safely.
"""

import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import sys
import time
import timeit
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing import Process, RawArray
from pathlib import Path
from types import SimpleNamespace

import torch

import lorakit as lk
from lorakit import lab
from lorakit.lab.checkpoint import Checkpoints
from tests.support.disk_steps import At, watched
from tests.support.saving import CONFIG, two_versions, version_in
from tests.support.tiny_models import build, logits, same_tensors
from tests.support.training_runs import fresh, run, tensors_of

PATIENCE = 60  # seconds for a child that should have begun long ago
BEGUN, ENDED = 0, 1  # what a child has counted in the memory that it shares, for whoever kills it


def started(work: Callable[[], object]) -> Process:
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    return child


def killed(work: Callable[[], object], begun: Callable[[], bool], delay: float) -> None:
    """Do the work in a child and kill it so many seconds after `begun()`."""
    child, patience = started(work), time.monotonic() + PATIENCE
    while not begun():
        assert child.is_alive() and time.monotonic() < patience, "the child never began"
        time.sleep(1e-4)
    time.sleep(delay)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL, "the child ended before it was killed"


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
    adapters, place, counts = Adapters(home), home / "place", RawArray("q", 2)
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

    duration, found = statistics.median(timeit.repeat(save, prepare, number=1, repeat=11)), Counter()
    for _ in range(kills):
        prepare()
        killed(work, lambda: counts[BEGUN], random.uniform(0, 1.5 * duration))
        name = adapters.which(folder)
        assert name == "new" or not counts[ENDED]
        found[name] += 1
        found["inside"] += 1 - counts[ENDED]
        found["between renames"] += adapters.between_renames(folder)
        save()
        assert not list(folder.glob("*.tmp")), "the next save cleans up"

    def watched_save(n: int) -> None:
        at = At(n, lambda: (step.write_text(at.done[-1]), os.kill(os.getpid(), signal.SIGKILL)))
        with watched(place, at):
            save()

    steps, states = [], Counter()
    for n in itertools.count(1):
        prepare()
        child = started(partial(watched_save, n))
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL), "the save itself failed"
        if child.exitcode == 0:
            return {"random": found, "milliseconds": 1e3 * duration, "steps": steps, "states": states}
        steps.append(step.read_text())
        states["between renames"] += adapters.between_renames(folder)
        states[adapters.which(folder)] += 1


def checkpoint(home: Path, kills: int) -> dict:
    """A real `fit` that writes a checkpoint after each step, killed at random instants and resumed."""
    folder, counts, saves, real = home / "run", RawArray("q", 2), {}, Checkpoints.save
    options = {"checkpoint": folder, "checkpoint_every": 1, "schedule": "constant", "steps": 16, "resume": True}

    def kept(saved: Checkpoints) -> None:
        step = len(saved.history.rows)
        saves[step] = tensors_of(saved.step.parameters, saved.step.optimizer)
        real(saved)
        if step == 2:
            shutil.copytree(folder, home / "start")

    def marked(saved: Checkpoints) -> None:
        counts[BEGUN] = len(saved.history.rows)
        real(saved)
        counts[ENDED] = len(saved.history.rows)

    def look() -> int:
        """The step that lies in the folder, all of it checked."""
        model, history = fresh(), lab.History(settings=whole.settings)
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(parameters.values())
        step = SimpleNamespace(parameters=parameters, optimizer=optimizer)
        Checkpoints(folder, None, model, step, history).load()
        rows = history.rows
        assert same_tensors(tensors_of(parameters, optimizer), saves[len(rows)]), "not the tensors of its step"
        assert [row["loss"] for row in rows] == whole.losses[: len(rows)]
        return len(rows)

    def reset() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "start", folder)

    Checkpoints.save = kept
    whole = run(fresh(), **options)
    Checkpoints.save = marked
    reset()
    duration, found, step = timeit.timeit(lambda: run(fresh(), **options), number=1) / 14, Counter(), 16
    for _ in range(kills):
        if step > 9:
            reset()
            step = 2
        counts[BEGUN] = counts[ENDED] = step
        begun, pause = lambda: counts[BEGUN] > step, random.uniform(0, 3 * duration)  # noqa: B023
        killed(lambda: (run(fresh(), **options), signal.pause()), begun, pause)
        step, inside = look(), counts[BEGUN] != counts[ENDED]
        assert step in counts[:], (step, counts[:])
        found["inside"] += inside
        found["between saves" if not inside else "old" if step < counts[BEGUN] else "new"] += 1
    left = sorted(path.name for path in folder.iterdir())
    Checkpoints.save = real
    assert run(fresh(), **options).losses == whole.losses, "the run that was killed so often ends elsewhere"
    after = [path.name for path in folder.iterdir()]
    return {"random": found, "left": left, "after": after, "milliseconds": 1e3 * duration}


def crowd(home: Path, saves: int) -> dict:
    """Two processes save that often to one folder, while this one loads from it: always one whole adapter."""
    adapters, folder, seen = Adapters(home), home / "shared", Counter()

    def saver(name: str) -> None:
        for _ in range(saves):
            adapters.save(folder, name)

    children = [started(partial(saver, name)) for name in adapters.models]
    while any(child.is_alive() for child in children):
        seen[adapters.which(folder)] += 1
    assert not any(child.exitcode for child in children), "a save failed"
    return {"seen": seen, "files": sorted(path.name for path in folder.iterdir())}


if __name__ == "__main__":
    home, (kills, saves) = Path(sys.argv[1]), map(int, sys.argv[2:])
    torch.set_num_threads(1)
    random.seed(0)
    trials = {
        "adapter": partial(one_save, kills=kills, first=False),
        "first_adapter": partial(one_save, kills=kills, first=True),
        "checkpoint": partial(checkpoint, kills=kills),
        "crowd": partial(crowd, saves=saves),
    }
    for name in trials:
        (home / name).mkdir(parents=True)
    print(json.dumps({name: trial(home / name) for name, trial in trials.items()}))
