"""asyncio.streams, native where ouro is."""

from asyncio.streams import *
