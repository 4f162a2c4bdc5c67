"""What a type checker knows of ouro.

ouro's objects are declared as asyncio's: that is what drop-in means, and
code that is annotated with asyncio's types takes them.
"""

import asyncio
import sys

from . import (
    base_events as base_events,
    base_futures as base_futures,
    base_subprocess as base_subprocess,
    base_tasks as base_tasks,
    constants as constants,
    coroutines as coroutines,
    events as events,
    exceptions as exceptions,
    format_helpers as format_helpers,
    futures as futures,
    locks as locks,
    log as log,
    mixins as mixins,
    proactor_events as proactor_events,
    protocols as protocols,
    queues as queues,
    runners as runners,
    selector_events as selector_events,
    sslproto as sslproto,
    staggered as staggered,
    streams as streams,
    subprocess as subprocess,
    taskgroups as taskgroups,
    tasks as tasks,
    threads as threads,
    timeouts as timeouts,
    transports as transports,
    trsock as trsock,
    unix_events as unix_events,
)
from ._run import Loop as Loop, new_event_loop as new_event_loop, run as run
from asyncio.taskgroups import TaskGroup as TaskGroup
from asyncio import *  # type: ignore[assignment]  # (what is above stays)

__version__: str

def install() -> None: ...
def uninstall() -> None: ...
def is_installed() -> bool: ...

if sys.version_info >= (3, 14):
    from . import graph as graph, tools as tools

    class EventLoopPolicy(asyncio.unix_events._DefaultEventLoopPolicy): ...

else:
    class EventLoopPolicy(asyncio.unix_events.DefaultEventLoopPolicy): ...
