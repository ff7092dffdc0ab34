"""What a call costs before any arithmetic: the instructions of one forward of a tiny layer at one token.

    python -m benchmarks.instructions             needs valgrind; a minute a library

They are Python's and torch's dispatch, and repeat to a few in a thousand where times do not. What surrounds the calls
drops out as the difference of two numbers of calls. Results: data/results/bench_instructions.json.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tqdm.auto import tqdm

from benchmarks.layer import PACKAGES, TINY, contestants, forward
from lorakit.lab import record
from lorakit.lab.places import RESULTS

FEW, MANY = 20, 120  # calls


def calls_of(name: str) -> None:
    """For valgrind's child: one token through one contestant, as often as each line of the input says."""
    torch.set_num_threads(1)
    layers, _ = contestants(TINY, torch.float32, "cpu")
    x, layer = torch.randn(1, 1, TINY[0]), layers[name]
    layer.eval()  # loralib's returns nothing
    forward(layer, x, 50).run()
    print("ready", flush=True)
    for line in sys.stdin:
        forward(layer, x, int(line)).run()
        print("done", flush=True)


def instructions(name: str) -> int:
    """Instructions of one forward, as callgrind counts them."""
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        child = subprocess.Popen(
            [*valgrind, sys.executable, "-m", "benchmarks.instructions", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        control = ["callgrind_control", str(child.pid)]
        while child.stdout.readline() != "ready\n":  # some libraries print while they are imported
            assert child.poll() is None, f"{name} did not start under valgrind"
        subprocess.run([*control, "-i", "on"], check=True, capture_output=True)
        for calls in (FEW, MANY):
            print(calls, file=child.stdin, flush=True)
            child.stdout.readline()
            subprocess.run([*control, "-d"], check=True, capture_output=True)
        child.kill()
        few, many = (
            int(re.search(r"^(?:summary|totals): (\d+)", Path(f"{folder}/out.{n}").read_text(), re.M)[1])
            for n in (1, 2)
        )
    return (many - few) // (MANY - FEW)


def main() -> None:
    present, absent = contestants(TINY, torch.float32, "cpu")
    counted = {name: instructions(name) for name in tqdm(present)}
    print(counted)
    versions = record.versions(*(name for name in PACKAGES if name not in absent))
    result = {"versions": versions, "absent": absent, "instructions": counted}
    record.write(RESULTS / "bench_instructions.json", result, "python -m benchmarks.instructions")


if __name__ == "__main__":
    if sys.argv[1:]:
        calls_of(sys.argv[1])
    else:
        main()
