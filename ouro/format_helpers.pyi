"""asyncio.format_helpers, native where ouro is."""

from asyncio.format_helpers import *
