"""Running on a loop of ouro's without install()."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

if sys.version_info >= (3, 14):
    _Runnable = Awaitable[_T]
else:
    _Runnable = Coroutine[Any, Any, _T]

class Loop(asyncio.SelectorEventLoop): ...

def new_event_loop() -> Loop: ...
def run(
    main: _Runnable[_T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T: ...
