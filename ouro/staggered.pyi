"""asyncio.staggered, native where ouro is."""

from asyncio.staggered import *
