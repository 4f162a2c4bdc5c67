"""asyncio.sslproto, native where ouro is."""

from asyncio.sslproto import *
