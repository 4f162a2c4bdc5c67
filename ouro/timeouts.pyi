"""asyncio.timeouts, native where ouro is."""

from asyncio.timeouts import *
