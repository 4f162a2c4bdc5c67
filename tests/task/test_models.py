"""Tasks, futures and what waits for them against asyncio's, at random.

The same random programs (scripts.py) run in asyncio's world and in ours
(taskworlds.py): tasks are started and cancelled, futures completed, time
moves on, between turns of which each runs what is ready; so also in the turn
of a wake-up, twice, and with messages.  After each step both must have the
same trace: the order of wake-ups, results, exceptions with their messages
and contexts, counts of cancellations, and reprs.
"""

import os
import warnings

import pytest

hypothesis = pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from scripts import steps  # noqa: E402
from taskworlds import WORLDS, Twin  # noqa: E402

# EXAMPLES=5000 is for a long look, SEED=anything for another one.
EXAMPLES = int(os.environ.get("EXAMPLES", 40))
SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    derandomize="SEED" not in os.environ,
    suppress_health_check=list(HealthCheck))


# (Tasks that cannot be cancelled are left over, and dropped.)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("world", WORLDS)
def test_same_as_asyncio(world):
    @SETTINGS
    @given(st.lists(steps, min_size=6, max_size=30))
    def check(steps):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            twin = Twin(world)
            for step in steps:
                twin.do(step)
                twin.compare()
            twin.end()
    check()
