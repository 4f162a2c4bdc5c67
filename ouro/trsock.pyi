"""asyncio.trsock, native where ouro is."""

from asyncio.trsock import *
