"""asyncio.tools, native where ouro is."""

from asyncio.tools import *
