"""asyncio.selector_events, native where ouro is."""

from asyncio.selector_events import *
