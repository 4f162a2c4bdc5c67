"""asyncio.exceptions, native where ouro is."""

from asyncio.exceptions import *
