"""The scores of a class: read the students' files, and show who is where and where they get stuck.

    python tools/class_scores.py FOLDER [--json class.json] [--csv class.csv]

FOLDER holds the files as they were handed in, in any folders below it and under any name. What is not counted is named:
files that are no scores, and all but a student's newest.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from lorakit.chapters.rooms import modules
from lorakit.show.exercises import checks_in
from lorakit.show.scores import FORMAT

BESIDE = ("student.json", "measured.json", "my_lora.py")  # of a workbook that was handed in whole
MOST_ATTEMPTS, MOST_BYTES, LONGEST_NAME = 1_000_000, 2_000_000, 60


@dataclass(frozen=True)
class Student:
    """One file: exercise → (passed, attempts), chapter → number of questions right at the first choice."""

    name: str
    file: Path
    exercises: dict[str, tuple[bool, int]]
    quizzes: dict[str, int]
    updated: datetime


@dataclass(frozen=True)
class Course:
    """What there is to do: the exercises' ids; chapter → question → its right choice."""

    exercises: tuple[str, ...]
    quizzes: dict[str, dict[str, str]]


def course() -> Course:
    """The exercises and quizzes of all chapters."""
    chapters = sorted(modules("checks").values(), key=lambda module: module.quiz.chapter)
    exercises = sorted(check.id for module in chapters for check in checks_in(module))
    quizzes = {m.quiz.chapter: {q.text: q.choices[q.answer] for q in m.quiz.questions} for m in chapters}
    return Course(tuple(exercises), quizzes)


def plain(text: str) -> str:
    """A name or a path as one line of printable characters: nothing in it moves a terminal's cursor or makes a row."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "�" for letter in line)


def name_of(content: dict, file: Path, folder: Path) -> str:
    """The student's name: from the file, else from what a learning platform put before its name, else its folder's
    below the class's (that of a whole workbook: the one above), else the file's own.
    """
    where = file.parent.parent if file.parent.name == "workbook" else file.parent
    own = file.stem if where == folder else where.name
    name = content.get("student") or file.stem.rpartition("scores")[0].rstrip("_- ") or own
    if not isinstance(name, str) or not any(map(str.isalnum, name)):
        raise ValueError(f"its student should be a name, got {str(name)[:LONGEST_NAME]!r}")
    return plain(name)[:LONGEST_NAME]


def when(written: object) -> datetime:
    """The time that a file gives; the earliest there is where it gives none."""
    try:
        found = datetime.fromisoformat(str(written))
    except ValueError:
        found = datetime.min
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read(file: Path, todo: Course, folder: Path) -> Student:
    """One student's file; only what belongs to the course counts. Raises ValueError that says what is wrong with it.

    A quiz is judged again here: a "right" in the file is not believed.
    """
    if file.suffix.lower() != ".json":
        raise ValueError("unpack it first" if file.suffix.lower() == ".zip" else "not a .json file")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("larger than any scores are")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"damaged, ask for it again ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not a file of scores: its format should be {FORMAT!r}")
    parts = {part: content.get(part, {}) for part in ("exercises", "quizzes")}
    for part, value in parts.items():
        if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
            raise ValueError(f'"{part}" should hold a JSON object for each of its entries')
    exercises = {}
    for id in todo.exercises:
        if entry := parts["exercises"].get(id):
            attempts = entry.get("attempts_until_passed", entry.get("attempts"))
            if not isinstance(attempts, int) or not 1 <= attempts <= MOST_ATTEMPTS:
                raise ValueError(f"exercise {id} has {str(attempts)[:20]!r} attempts")
            exercises[id] = (bool(entry.get("passed")), attempts)
    quizzes = {}
    for chapter, questions in todo.quizzes.items():
        chosen = {
            q: kept.get("choice") for q, kept in parts["quizzes"].get(chapter, {}).items() if isinstance(kept, dict)
        }
        quizzes[chapter] = sum(chosen.get(question) == right for question, right in questions.items())
    return Student(name_of(content, file, folder), file, exercises, quizzes, when(content.get("updated")))


def collect(folder: Path, todo: Course) -> tuple[list[Student], dict[Path, str]]:
    """The students below a folder by name, and the files that do not count, with the reason."""
    found, wrong = {}, {}
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.name.startswith(".") or file.name in BESIDE or file.suffix == ".lock":
            continue
        try:
            new = read(file, todo, folder)
        except (ValueError, OSError) as error:
            wrong[file] = str(error)
            continue
        same = found.get(new.name.casefold(), new)
        newest = max(same, new, key=lambda student: student.updated)
        found[new.name.casefold()] = newest
        if same is not new:
            older = same if newest is new else new
            wrong[older.file] = f"{new.name} handed in more than once, and {newest.file} is newer or the same"
    return sorted(found.values(), key=lambda student: student.name.casefold()), wrong


def table(students: list[Student], todo: Course) -> pd.DataFrame:
    """A row for each student: for each chapter "passed/of" and "right/of", and the totals as numbers."""
    rows = []
    for student in students:
        row: dict = {"student": student.name, "file": plain(str(student.file))}
        for chapter in todo.quizzes:
            ids = [id for id in todo.exercises if id.startswith(chapter)]
            passed = sum(student.exercises.get(id, (False, 0))[0] for id in ids)
            row[f"{chapter} exercises"] = f"{passed}/{len(ids)}"
            row[f"{chapter} quiz"] = f"{student.quizzes[chapter]}/{len(todo.quizzes[chapter])}"
        row["exercises"] = sum(passed for passed, _ in student.exercises.values())
        row["quiz"] = sum(student.quizzes.values())
        rows.append(row)
    return pd.DataFrame(rows)


def stuck(students: list[Student]) -> pd.DataFrame:
    """By exercise: who tried, who passed, and the median attempts; the least passed first, untried ones left out."""
    tried = [(id, *found) for student in students for id, found in student.exercises.items()]
    frame = pd.DataFrame(tried, columns=["exercise", "passed", "attempts"])
    sums = {"tried": ("passed", "size"), "passed": ("passed", "sum"), "attempts": ("attempts", "median")}
    found = frame.groupby("exercise").agg(**sums).sort_values("attempts", ascending=False)
    return found.loc[(found["passed"] / found["tried"]).sort_values(kind="stable").index]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python tools/class_scores.py",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the table as JSON too")
    parser.add_argument("--csv", type=Path, help="write the table as CSV too")
    args = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console that has not every letter
    if not args.folder.is_dir():
        parser.error(f"{args.folder} is not a folder")
    todo = course()
    students, wrong = collect(args.folder, todo)
    for file, reason in wrong.items():
        print(plain(f"not counted: {file}: {reason}"), file=sys.stderr)
    if not students:
        print(f"no scores below {args.folder}: put the students' files workbook/scores-….json there", file=sys.stderr)
        return 1
    found = table(students, todo)
    short = pd.DataFrame(
        {c: found[f"{c} exercises"] + " " + found[f"{c} quiz"] for c in todo.quizzes}
        | {f"of {len(todo.exercises)}": found["exercises"]}
        | {f"of {sum(map(len, todo.quizzes.values()))}": found["quiz"]}
    ).set_index(found["student"])
    print(short.to_string())
    print("(each chapter: exercises passed, questions right at the first choice; then the sums)\n")
    most = stuck(students).head(8)
    print("no exercise was tried yet" if most.empty else most.to_string())
    if args.json:
        args.json.write_text(found.to_json(orient="records", indent=1, force_ascii=False) + "\n", encoding="utf-8")
    if args.csv:
        # A spreadsheet would run what begins like a formula, take 1/2 for a day, and UTF-8 without a mark for Latin-1.
        cells = {r"^([=+\-@＝＋－＠])": r"'\1", r"^(\d+)/(\d+)$": r"\1 of \2"}
        safe = found.astype(str).replace(cells, regex=True)
        safe.to_csv(args.csv, index=False, encoding="utf-8-sig")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
