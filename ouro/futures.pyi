"""asyncio.futures, native where ouro is."""

from asyncio.futures import *
