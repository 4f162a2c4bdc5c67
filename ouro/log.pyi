"""asyncio.log, native where ouro is."""

from asyncio.log import *
