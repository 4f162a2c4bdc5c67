"""asyncio.constants, native where ouro is."""

from asyncio.constants import *
