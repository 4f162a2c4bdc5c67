"""asyncio.protocols, native where ouro is."""

from asyncio.protocols import *
