"""asyncio.queues, native where ouro is."""

from asyncio.queues import *
