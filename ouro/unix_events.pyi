"""asyncio.unix_events, native where ouro is."""

from asyncio.unix_events import *
