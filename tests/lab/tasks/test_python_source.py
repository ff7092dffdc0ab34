"""Python source as a task: what becomes an example, how the splits are kept apart."""

import pytest

from lorakit.lab.tasks.python_source import LONGEST, MODULES, SHORTEST, functions, python_source

SOURCE = '''
def plain(first, second=None):
    """What it does."""

    # why it does so
    if second is None:
        return first
    return [first, *second, "and some more text"]

class Shelf:
    @property
    def whole(self,
              longer="a signature of two lines"):
        for book in self.books:
            yield book.title, book.year, longer

        return None

    class Inner:
        async def method(self):
            await self.something_with_a_name_long_enough()
            return self

    def only_a_docstring(self):
        """Nothing but words here, and plenty of them, so that the length is not what leaves this function out."""

    def one_liner(self): return "a body behind the colon, with enough of text to be as long as an example must be"

    def remark(self):  # a remark behind the colon
        return "a body with enough of text to be as long as an example must be, and a bit more"

    def foreign(self):
        return "an ö is two bytes, and a tokenizer may make many tokens of one such sign, so it is left out"

def short():
    return 1
'''


@pytest.fixture(scope="module")
def task():
    return python_source()


def test_an_example_is_a_signature_and_its_body_without_the_docstring():
    found = {example.prompt: example.answer for example in functions(SOURCE)}
    assert found == {
        "def plain(first, second=None):": "\n    # why it does so\n    if second is None:\n        return first\n"
        '    return [first, *second, "and some more text"]',
        'def whole(self,\n          longer="a signature of two lines"):': "\n    for book in self.books:\n"
        "        yield book.title, book.year, longer\n\n    return None",
        "async def method(self):": "\n    await self.something_with_a_name_long_enough()\n    return self",
    }


def test_no_module_and_no_function_is_in_two_splits(task):
    modules = [set(names.split()) for names in MODULES.values()]
    assert sum(map(len, modules)) == len(set.union(*modules))
    for split in MODULES:
        for example in task.split(split):
            assert SHORTEST <= len((example.prompt + example.answer).encode()) <= LONGEST


def test_a_missing_module_is_no_error(tmp_path, monkeypatch):
    for name in ("wave", "heapq", "xml"):
        (tmp_path / f"{name}.py").write_text(SOURCE.replace("first", name), encoding="utf-8")
    monkeypatch.setattr("sysconfig.get_path", lambda name: tmp_path)
    few = python_source()
    # what the three files have in common is tested, and neither trained on nor chosen by
    assert [len(few.split(split)) for split in ("test", "validation", "train")] == [3, 1, 1]
