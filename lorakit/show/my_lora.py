"""The student's own LoRA: what passed its check in chapters 03 to 10, kept in workbook/my_lora.py and used on.

`my_lora()` gives a module with the names of `lorakit.by_hand`: the student's parts, and the reference's where one is
missing or still a stub. The file is plain Python, there to be read and changed.
"""

import ast
import builtins
import dis
import inspect
import linecache
import warnings
from types import CodeType, ModuleType

from lorakit import by_hand
from lorakit.files.folder import replace_files
from lorakit.lab.places import workbook

FILE = "my_lora.py"
# The parts and the chapter that writes each.
PARTS = {"LoRALayer": "03", "weight_of": "04", "inject": "04", "collate": "05", "train": "05", "answer": "05",
         "save": "05", "load": "05", "merge": "09", "unmerge": "09", "ManyLoRA": "10"}  # fmt: skip


def my_lora(quiet: bool = False) -> ModuleType:
    """The student's LoRA as a module; prints which parts are theirs. A file that cannot be run is said and left out."""
    made = _reference()
    try:
        # Without what is still a stub.
        own = [node for node in read_file() if "raise NotImplementedError" not in ast.unparse(node)]
        # By_hand's helpers and imports are there already: what is the student's joins them, and goes first.
        exec(compile(ast.Module(own, []), str(workbook() / FILE), "exec"), vars(made))
        made.yours = tuple(node.name for node in own if getattr(node, "name", None) in PARTS)
    except Exception as error:
        made = _reference()
        print(f"{workbook() / FILE} cannot be run, so by_hand.py stands in: {type(error).__name__}: {error}")
    if not quiet:
        missing = ", ".join(name for name in PARTS if name not in made.yours)
        print(f"yours: {', '.join(made.yours) or 'nothing yet'}\nfrom lorakit/by_hand.py: {missing or 'nothing'}")
    return made


def _reference() -> ModuleType:
    made = ModuleType("my_lora", "LoRA by hand: yours, and lorakit.by_hand where a part is missing")
    made.yours = ()
    exec(compile(inspect.getsource(by_hand), by_hand.__file__, "exec"), vars(made))
    return made


def keep_part(part) -> None:
    """Put the source of a function or class, one of PARTS, into workbook/my_lora.py, in place of an older one."""
    try:
        tree = {node.name: node for node in read_file() if getattr(node, "name", None) in PARTS}
    except SyntaxError as error:
        warnings.warn(f"{workbook() / FILE} is not Python ({error}): mend it, then run this cell again", stacklevel=2)
        return
    if not (source := source_of(part)):
        warnings.warn(f"{part.__name__} is not kept: define it by itself in a cell, not inside another", stacklevel=2)
        return
    kept = {name: _segment(text(), node) for name, node in tree.items()} | {part.__name__: source}
    statements = ast.parse(inspect.getsource(by_hand)).body
    imports = "\n".join(ast.unparse(node) for node in statements if isinstance(node, ast.Import | ast.ImportFrom))
    given = "\n\n".join(map(inspect.getsource, (by_hand.put, by_hand.lora_layers)))  # the parts call them
    head = '"""My LoRA, written in the lorakit course. `lorakit.show.my_lora()` runs it."""\n\n'
    head += f"from __future__ import annotations\n\n{imports}\n\n\n{given}"
    written = "\n\n".join([head, *(kept[name] + "\n" for name in PARTS if name in kept)])
    try:
        workbook().mkdir(parents=True, exist_ok=True)
        replace_files(workbook(), {FILE: written.encode()})
    except OSError as error:
        warnings.warn(f"{workbook() / FILE} cannot be written, {part.__name__} is not kept: {error}", stacklevel=2)


def not_kept_along(part) -> list[str]:
    """Names that a function or class uses and workbook/my_lora.py would lack: others of its notebook."""
    todo, used, made = [compile(source_of(part), "", "exec")], set(), set(vars(by_hand)) | set(vars(builtins))
    while todo:
        code = todo.pop()
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for step in dis.get_instructions(code):
            used |= {step.argval} if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else set()
            made |= {step.argval} if step.opname == "STORE_NAME" else set()
    return sorted(used - made)


def text() -> str:
    """What stands in the student's file; "" where there is none."""
    file = workbook() / FILE
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def read_file() -> list[ast.stmt]:
    """The top-level statements of the student's file. Raises SyntaxError."""
    return ast.parse(text(), str(workbook() / FILE)).body


def source_of(part) -> str:
    """The source of a function or class, of one in a notebook's cell too; "" where it stands inside another."""
    code = inspect.unwrap(part if inspect.isfunction(part) else part.__init__).__code__
    lines = "".join(linecache.getlines(code.co_filename))  # the whole cell
    found = [node for node in ast.parse(lines).body if getattr(node, "name", None) == part.__name__]
    return _segment(lines, found[-1]) if found else ""


def _segment(lines: str, node) -> str:
    """The source of a top-level function or class, decorators included."""
    first = min(each.lineno for each in [node, *node.decorator_list])
    return "\n".join(lines.splitlines()[first - 1 : node.end_lineno])
