"""asyncio.threads, native where ouro is."""

from asyncio.threads import *
