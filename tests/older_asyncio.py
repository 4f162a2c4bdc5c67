"""What later patch releases of a Python version mended in asyncio.

ouro does as these do on the earlier ones, too (docs/differences.md): Debian 12
has Python 3.11.2.  The tests named here compare with the asyncio that runs,
and are skipped where that has not been mended.
"""

import importlib
import inspect

import pytest

# Module of asyncio, what its source says once it is mended, the mend, and
# the tests, by the beginning of what follows "tests/".
MENDS = [
    ("unix_events", "def is_reading", "is_reading() of pipes and datagrams", [
        "net/test_pipes.py::test_read_life",
        "net/test_pipes.py::test_read_eof",
        "net/test_pipes.py::test_read_pause",
        "net/test_pipes.py::test_read_pieces",
        "net/test_pipes.py::test_null_read",
        "net/test_transport_reading.py::test_pause_in_callbacks",
        "net/test_transport_reading.py::test_end_in_data_received",
        "net/test_udp.py::test_appearance",
        "net/test_udp.py::test_unclosed",
        "net/test_udp_bursts.py::",
    ]),
    ("timeouts", "self._cancelling", "timeouts of a task that is cancelled", [
        "contracts/test_bad_input.py::test_in_a_coroutine"
        "[k.timeout(1).reschedule(1)]",
        "contracts/test_cancellation.py::test_cancelled_at_any_turn[timeout ",
    ]),
    ("taskgroups", "has already been entered", "groups outside of tasks", [
        "contracts/test_cancellation.py::test_driven_by_hand[group",
    ]),
    ("streams", "Unhandled exception in client_connected_cb",
     "telling of handlers of clients that fail", [
         "streams/test_connections.py::test_same_as_asyncio[failing_handlers-",
     ]),
]


def is_mended(module, text):
    source = inspect.getsource(importlib.import_module(f"asyncio.{module}"))
    return text in source


def skip_what_is_older(items):
    """Mark the tests that this asyncio is too old to be compared in."""
    for module, text, mend, tests in MENDS:
        if is_mended(module, text):
            continue
        reason = f"this asyncio was not yet mended: {mend}"
        for item in items:
            if item.nodeid.partition("tests/")[2].startswith(tuple(tests)):
                item.add_marker(pytest.mark.skip(reason=reason))
