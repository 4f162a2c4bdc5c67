"""asyncio.proactor_events, native where ouro is."""

from asyncio.proactor_events import *
