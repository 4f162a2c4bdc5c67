"""asyncio.subprocess, native where ouro is."""

from asyncio.subprocess import *
from asyncio.subprocess import (
    DEVNULL as DEVNULL,
    PIPE as PIPE,
    STDOUT as STDOUT,
    Process as Process,
    SubprocessStreamProtocol as SubprocessStreamProtocol,
)
