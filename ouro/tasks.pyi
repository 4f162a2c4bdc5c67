"""asyncio.tasks, native where ouro is."""

from asyncio.tasks import *
