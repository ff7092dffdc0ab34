"""A Ctrl-C that interrupts, for all tests here."""

import signal

import pytest


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Also where the tests were started in the background of a shell, which makes them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
