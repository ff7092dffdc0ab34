"""Kill a process that saves, and look at what it left: `python killing.py <folder> <kills> <saves>` prints JSON.

A process of its own, started without a GPU and with one thread: its children are forked, so that a trial costs
milliseconds instead of an import, and only a process without threads can be forked safely.
"""

import json
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

import lorakit as lk
import lorakit.lab.checkpoint as files
from tests.support.disk_steps import At, watched
from tests.support.saving import CONFIG, two_versions, version_in
from tests.support.tiny_models import build, logits, same_tensors
from tests.support.training_runs import fresh, run, tensors_of

PATIENCE = 60  # seconds for a child that should have ended long ago


class Progress:
    """Two numbers that a killed child leaves behind: how many saves it has begun, and how many it has ended."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 16)  # shared with forked children

    def put(self, begun: int, ended: int) -> None:
        self.memory[:16] = struct.pack("qq", begun, ended)

    def get(self) -> tuple[int, int]:
        return struct.unpack("qq", self.memory[:16])

    def newer_than(self, number: int) -> Callable[[], bool]:
        return lambda: self.get()[0] > number


def fork(work: Callable[[], None]) -> int:
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


def kill_after(work: Callable[[], None], begun: Callable[[], bool], delay: float) -> None:
    """Do the work in a child; kill it `delay` seconds after `begun()`."""
    child = fork(work)
    patience = time.monotonic() + PATIENCE
    while not begun():
        if time.monotonic() > patience or os.waitpid(child, os.WNOHANG)[0]:
            raise AssertionError("the child never began to save")
        time.sleep(1e-4)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended before it was killed"


def kill_at_each_step(folder: Path, prepare: Callable[[], None], save: Callable[[], object]):
    """Yield (n, what was about to be done) after a kill before the n-th change to the folder, for every n."""
    steps = mmap.mmap(-1, 64)
    for n in range(1, 1000):
        prepare()

        def work(n=n):
            def die():
                steps[:64] = at.done[-1].encode().ljust(64)
                os.kill(os.getpid(), signal.SIGKILL)

            at = At(n, die)
            with watched(folder, at):
                save()

        _, status = os.waitpid(fork(work), 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, "the save itself failed"
            return
        yield n, steps[:64].decode().strip()
    raise AssertionError("a save with a thousand steps?")


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
        """Are the weights of one adapter there with the settings of the other?"""
        return self.settings[self.which(folder)] != (folder / CONFIG).read_bytes()


def left_by_killed(folder: Path) -> int:
    return sum(path.name.endswith(".tmp") for path in folder.iterdir())


def adapter(home: Path, kills: int) -> dict:
    """`save_adapter` in a loop, killed at random instants; and killed before each change it makes to the folder."""
    adapters, folder, progress, names, times = Adapters(home), home / "adapter", Progress(), ("old", "new"), []
    for number in range(11):
        started = time.perf_counter()
        adapters.save(folder, names[number % 2])
        times.append(time.perf_counter() - started)
    found = Counter()
    for _ in range(kills):
        progress.put(number, number)

        def work(number=number) -> None:
            while True:
                number += 1
                progress.put(number, number - 1)
                adapters.save(folder, names[number % 2])
                progress.put(number, number)

        kill_after(work, progress.newer_than(number), random.uniform(0, 3 * statistics.median(times)))
        begun, ended = progress.get()
        found["inside"] += begun != ended
        found["between renames"] += adapters.between_renames(folder)
        name = adapters.which(folder)
        number = next(n for n in (ended, begun) if names[n % 2] == name)  # fails if it is neither
        found["old" if number < begun else "new"] += begun != ended
    left = left_by_killed(folder)
    adapters.save(folder, "old")
    found |= {"left": left, "left after one more save": left_by_killed(folder)}

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "old", folder)

    steps, states = [], Counter()
    for _, what in kill_at_each_step(folder, prepare, lambda: adapters.save(folder, "new")):
        steps.append(what)
        states["between renames"] += adapters.between_renames(folder)
        states[adapters.which(folder)] += 1
    return {"random": found, "milliseconds": 1e3 * statistics.median(times), "steps": steps, "states": states}


def first_adapter(home: Path, kills: int) -> dict:
    """The first save into a folder that is not there yet: afterwards nothing, or the whole."""
    adapters, folder, progress = Adapters(home), home / "deep" / "adapter", Progress()
    started = time.perf_counter()
    adapters.save(folder, "new")
    duration, found, steps = time.perf_counter() - started, Counter(), Counter()

    def prepare() -> None:
        shutil.rmtree(folder.parent, ignore_errors=True)

    def work() -> None:
        progress.put(1, 0)
        adapters.save(folder, "new")
        progress.put(1, 1)
        signal.pause()

    for _ in range(kills):
        prepare()
        progress.put(0, 0)
        kill_after(work, progress.newer_than(0), random.uniform(0, 1.5 * duration))
        found["inside"] += progress.get() == (1, 0)
        found[adapters.which(folder)] += 1
    for _ in kill_at_each_step(folder.parent, prepare, lambda: adapters.save(folder, "new")):
        steps[adapters.which(folder)] += 1
    return {"random": found, "steps": steps}


def checkpoint(home: Path, kills: int) -> dict:
    """A real `fit` that writes a checkpoint after each step, killed at random instants and resumed."""
    folder, progress, saves, real = home / "run", Progress(), {}, files.save_checkpoint
    options = {"checkpoint": folder, "checkpoint_every": 1, "schedule": "constant", "steps": 16, "resume": True}

    def kept(folder, parameters, optimizer, state) -> None:
        step = len(state["rows"])
        saves[step] = tensors_of(parameters, optimizer)
        real(folder, parameters, optimizer, state)
        if step == 2:
            shutil.copytree(folder, home / "start")

    def marked(folder, parameters, optimizer, state) -> None:
        step = len(state["rows"])
        progress.put(step, step - 1)
        real(folder, parameters, optimizer, state)
        progress.put(step, step)

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
    began = time.perf_counter()
    run(fresh(), **options)
    duration, found, step = (time.perf_counter() - began) / 14, Counter(), 16
    for _ in range(kills):
        if step > 9:
            reset()
            step = 2
        progress.put(step, step)
        pause = random.uniform(0, 3 * duration)
        kill_after(lambda: (run(fresh(), **options), signal.pause()), progress.newer_than(step), pause)
        begun, ended = progress.get()
        step = look()
        assert step in (begun, ended), (step, begun, ended)
        found["inside"] += begun != ended
        found["between saves" if begun == ended else "old" if step < begun else "new"] += 1
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

    children = {fork(lambda name=name: saver(name)) for name in adapters.models}
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        assert status == 0, "a save failed"
        children.discard(child)
        seen[adapters.which(folder)] += 1
    return {"seen": seen, "files": sorted(path.name for path in folder.iterdir())}


if __name__ == "__main__":
    home, kills, saves = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    random.seed(0)
    found = {}
    for trial in (adapter, first_adapter, checkpoint, crowd):
        (home / trial.__name__).mkdir(parents=True)
        found[trial.__name__] = trial(home / trial.__name__, saves if trial is crowd else kills)
    print(json.dumps(found))
