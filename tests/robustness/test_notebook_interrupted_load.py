"""Ctrl-C while the first base model is loaded: the kernel stays good for another try."""

import subprocess
import sys

INTERRUPTED = """
import os, signal, sys

import lorakit as lk

class PressCtrlC:
    '''While GPT-2's code and what it needs are imported, deep inside load_base.'''

    pressed = False

    def find_spec(self, name, path, target=None):
        if name.startswith("sympy.calculus") and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, PressCtrlC())
try:
    lk.load_base("nano")
    print("loaded")
except KeyboardInterrupt:
    print("interrupted", sys.meta_path[0].pressed)
model, tokenizer = lk.load_base("nano")
print(type(model).__name__)
"""


def test_a_load_that_ctrl_c_stops_can_be_tried_again():
    """Cut short there, sympy and torch cannot be imported again: every later load in the kernel would fail."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["interrupted", "True", "GPT2LMHeadModel"], done.stdout + done.stderr[-3000:]
