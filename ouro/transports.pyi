"""asyncio.transports, native where ouro is."""

from asyncio.transports import *
