"""asyncio.mixins, native where ouro is."""

from asyncio.mixins import *
