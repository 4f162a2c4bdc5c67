"""asyncio.coroutines, native where ouro is."""

from asyncio.coroutines import *
