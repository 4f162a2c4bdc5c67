"""CPU of an echoed datagram, as a multiple of a bare C server over epoll.

usage: udp.py [--conns 32] [--size 1024] ... [IMPL/datagrams ...]

As echo.py, of which it is a variant: `conns` are sockets of the load, each
with one datagram under way.  With one, no two datagrams ever come together;
with many, they come in bursts.
"""

import echo

if __name__ == "__main__":
    echo.BARE_PROGRAM = "bare_udp"
    echo.LOAD_PROGRAM = "load_udp"
    echo.DEFAULT = [
        f"{name}/datagrams" for name in ("ouro", "uvloop", "asyncio")
    ]
    echo.main()
