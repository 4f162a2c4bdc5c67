"""asyncio.base_futures, native where ouro is."""

from asyncio.base_futures import *
