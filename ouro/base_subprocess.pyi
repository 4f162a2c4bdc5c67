"""asyncio.base_subprocess, native where ouro is."""

from asyncio.base_subprocess import *
