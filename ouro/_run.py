"""Running on a loop of ouro's without install(): run, Runner, the policy."""

import asyncio
import asyncio.unix_events

from . import _ouro

Loop = _ouro.Loop


def new_event_loop():
    """Return a new event loop of ouro's, whatever policy is set."""
    return Loop()


Runner = _ouro.LoopRunner
run = _ouro._loop_run


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
