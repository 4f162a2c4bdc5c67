"""asyncio.events, native where ouro is."""

from asyncio.events import *
