"""asyncio.runners, native where ouro is."""

from asyncio.runners import *
