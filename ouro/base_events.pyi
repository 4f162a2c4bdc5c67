"""asyncio.base_events, native where ouro is."""

from asyncio.base_events import *
