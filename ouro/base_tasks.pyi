"""asyncio.base_tasks, native where ouro is."""

from asyncio.base_tasks import *
