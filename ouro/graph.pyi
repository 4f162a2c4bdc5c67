"""asyncio.graph, native where ouro is."""

from asyncio.graph import *
