"""asyncio.taskgroups, native where ouro is."""

from asyncio.taskgroups import *
