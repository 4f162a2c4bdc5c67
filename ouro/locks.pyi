"""asyncio.locks, native where ouro is."""

from asyncio.locks import *
