"""At the end of a full run, what it did and the worst errors it measured go to data/results."""

from tests.support.architectures import ARCHITECTURES
from tests.support.figures import WORST, record
from tests.support.properties import MORE, PROPERTIES

passed: list[str] = []


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed and "tests/conformance/" in report.nodeid:
        passed.append(report.nodeid.split("::")[1].split("[")[0])


def pytest_sessionfinish(session):
    """Only a run of everything counts: not a selection, a failure, or one of several processes with a share each."""
    expected = {*MORE, *sum(PROPERTIES.values(), [])}
    if session.testsfailed or not expected <= set(passed) or hasattr(session.config, "workerinput"):
        return
    titles = [a.title.split(",")[0] for a in ARCHITECTURES.values() if not a.title.startswith("nn.Module")]
    record(
        "conformance",
        models=len(ARCHITECTURES),
        architectures=len(set(titles)),
        plain_modules=len(ARCHITECTURES) - len(titles),
        properties=len(PROPERTIES),
        tests=len(set(passed)),
        cases=len(passed),
        worst={name: float(f"{value:.3g}") for name, value in sorted(WORST.items())},
    )
