"""Python source as a task: predict a function's body from its signature. Every reader has the text: Python brought it.

Nano was trained on English and SQL, so this is a language it has never seen, where text-to-SQL is one it almost knows.
The functions come from a fixed list of standard-library modules that Python 3.11 to 3.14 have in common. Versions
differ in details, so a result recorded with one is compared with another's only roughly.
"""

import ast
import functools
import hashlib
import sysconfig
from pathlib import Path

from lorakit.lab.tasks.task import Example, Task

SIZES = {"train": 2400, "validation": 300, "test": 300}
# Functions of 80 to 300 bytes. Of nano's 256 tokens the longest takes about 200: its tokenizer, made for English and
# SQL, gives every blank of an indentation a token of its own. Bytes, so that the task is the same for every base.
SHORTEST, LONGEST = 80, 300

# Whole modules and packages, so that what is tested comes from code whose neighbours were never trained on.
MODULES = {
    "train": "argparse ast asyncio bdb collections concurrent contextlib email enum fileinput functools http importlib "
    "logging modulefinder multiprocessing operator pathlib pdb pickle re ssl tarfile tomllib traceback types typing "
    "unittest urllib warnings weakref wsgiref xml xmlrpc zipfile zoneinfo",
    "validation": "bz2 calendar codecs fractions gettext gzip mailbox pprint selectors shlex smtplib socketserver "
    "tempfile uuid wave",
    "test": "configparser ftplib heapq imaplib ipaddress optparse plistlib shelve statistics textwrap threading "
    "tracemalloc",
}


def python_source() -> Task:
    """2,400 / 300 / 300 functions, judged by likelihood: "bits_per_byte" of the bodies.

    The prompt is the signature up to its colon, the answer the body, so that prompt + answer is the source without
    its docstring: that is English, which the base knows. Functions that occur twice are taken once, and what is in
    one split is in no other.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    splits, seen = {}, set()
    for split in ("test", "validation", "train"):  # what occurs in two of them is tested
        found = {e.prompt + e.answer: e for module in MODULES[split].split() for e in read_module(folder, module)}
        # By a hash of the text rather than by a shuffle: a function that one version of Python has and another has
        # not then moves no other from its place.
        order = sorted(found.keys() - seen, key=lambda text: hashlib.sha256(f"0\n{text}".encode()).digest())
        splits[split] = [found[text] for text in order[: SIZES[split]]]
        seen |= found.keys()
    note = "bits per byte of function bodies that the base has never seen the like of; lower is better"
    return Task(name="python", metric="bits_per_byte", scorer=None, note=note, **splits)


def read_module(folder: Path, module: str) -> list[Example]:
    """The functions of a module, or of all files in a package, its tests aside; [] where this Python has none."""
    files = [*folder.glob(f"{module}.py"), *sorted(folder.glob(f"{module}/**/*.py"))]
    own = [path for path in files if not {"test", "tests"} & set(path.relative_to(folder).parts)]
    return [example for path in own for example in functions(path.read_text(encoding="utf-8"))]


@functools.cache  # a chapter's runs each ask for the task, and parsing takes two seconds
def functions(source: str) -> list[Example]:
    """The functions and methods in a source text as examples, those of SHORTEST to LONGEST bytes.

    Left out: functions inside functions, one-liners, signatures with a comment behind the colon, bodies that are only
    a docstring, and text that is not plain ASCII. Decorators are not part of the signature.
    """
    lines = source.splitlines()
    examples = []
    blocks = [ast.parse(source)]
    while blocks:
        for node in blocks.pop().body:
            if isinstance(node, ast.ClassDef):
                blocks.append(node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (parts := _split(node, lines)):
                text = "".join(parts)
                if SHORTEST <= len(text) <= LONGEST and text.isascii():
                    examples.append(Example(*parts))
    return examples


def _split(node, lines: list[str]) -> tuple[str, str] | None:
    """Signature and body, moved to the left margin; None where they do not come apart cleanly."""
    first = node.body[0]
    number = next((at for at in range(node.lineno, first.lineno) if lines[at - 1].rstrip().endswith(":")), None)
    if number is None:
        return None
    signature, body = lines[node.lineno - 1 : number], lines[number : node.end_lineno]
    if ast.get_docstring(node, clean=False) is not None:
        if len(node.body) == 1 or node.body[1].lineno == first.end_lineno:
            return None
        body = [*lines[number : first.lineno - 1], *lines[first.end_lineno : node.end_lineno]]
    indent = node.col_offset
    if any(line[:indent].strip() or "\t" in line for line in signature + body):
        return None
    prompt, answer = ("\n".join(line[indent:].rstrip() for line in part) for part in (signature, body))
    return prompt, "\n" + answer.strip("\n")
