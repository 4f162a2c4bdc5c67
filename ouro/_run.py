"""Running on a loop of ouro's without install(): run, Runner, the policy."""

import asyncio
import asyncio.unix_events

from . import _ouro
from ._install import native

Loop = getattr(_ouro, "Loop", asyncio.SelectorEventLoop)


def new_event_loop():
    """Return a new event loop of ouro's, whatever policy is set."""
    return Loop()


class Runner(native(asyncio.Runner)):
    """asyncio.Runner on a loop of ouro's, if not told otherwise."""

    def __init__(self, *, debug=None, loop_factory=None):
        super().__init__(debug=debug,
                         loop_factory=loop_factory or new_event_loop)


def run(main, *, debug=None, loop_factory=None):
    """Run the coroutine on a loop of ouro's and return its result.

    As asyncio.run(), which see; loop_factory makes another loop.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "asyncio.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def policy_class():
    """The policy with our loop, or None: 3.16 has no policies any more."""
    base = (getattr(asyncio.unix_events, "_DefaultEventLoopPolicy", None)
            or getattr(asyncio.unix_events, "DefaultEventLoopPolicy", None))
    if base is None:
        return None
    return type(base)("EventLoopPolicy", (base,), {
        "__doc__": "asyncio's default policy, with loops of ouro's.",
        "__module__": __name__.rpartition(".")[0],
        "_loop_factory": Loop,
    })


Runner.__module__ = run.__module__ = new_event_loop.__module__ = "ouro"
