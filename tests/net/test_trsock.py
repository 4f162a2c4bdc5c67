"""TransportSocket, compared with asyncio's."""

import asyncio.trsock
import copy
import inspect
import pickle
import re
import socket

import pytest
from networlds import same

from ouro import _ouro

Stock = asyncio.trsock.TransportSocket
assert Stock.__module__ == "asyncio.trsock" and inspect.isfunction(Stock.dup)
KINDS = [Stock, _ouro.TransportSocket]


def outcome(call, kind):
    try:
        result = call(kind)
    except Exception as exc:
        return type(exc), re.sub(r"0x\w+", "", str(exc))
    return re.sub(r"fd=\d+|0x\w+|\d{4,5}", "", repr(result))


class Fake:
    """Answers every method with its name and arguments."""

    family = "family"
    type = "type"
    proto = 17

    def fileno(self):
        return 7

    def getsockname(self):
        return ()

    def getpeername(self):
        raise OSError("not connected")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: (name, args, kwargs)


CALLS = {
    "repr": lambda kind: kind(Fake()),
    "family": lambda kind: kind(Fake()).family,
    "type": lambda kind: kind(Fake()).type,
    "proto": lambda kind: kind(Fake()).proto,
    "set": lambda kind: setattr(kind(Fake()), "proto", 1),
    "fileno": lambda kind: kind(Fake()).fileno(),
    "dup": lambda kind: kind(Fake()).dup(),
    "inheritable": lambda kind: kind(Fake()).get_inheritable(),
    "by name": lambda kind: kind(Fake()).getsockbyname(),
    "sockname": lambda kind: kind(Fake()).getsockname(),
    "peername": lambda kind: kind(Fake()).getpeername(),
    "shutdown": lambda kind: kind(Fake()).shutdown(how=1),
    "shutdown 0": lambda kind: kind(Fake()).shutdown(),
    "getsockopt": lambda kind: kind(Fake()).getsockopt(1, 2, x=3),
    "setsockopt": lambda kind: kind(Fake()).setsockopt(1, 2, x=3),
    "settimeout 0": lambda kind: kind(Fake()).settimeout(0.0),
    "settimeout 1": lambda kind: kind(Fake()).settimeout(1),
    "settimeout None": lambda kind: kind(Fake()).settimeout(None),
    "gettimeout": lambda kind: kind(Fake()).gettimeout(),
    "setblocking 0": lambda kind: kind(Fake()).setblocking(flag=False),
    "setblocking 1": lambda kind: kind(Fake()).setblocking(True),
    "no arguments": lambda kind: kind(),
    "two arguments": lambda kind: kind(1, 2),
    "keyword": lambda kind: kind(sock=Fake()),
    "new": lambda kind: kind.__new__(kind).fileno(),
    "attribute": lambda kind: setattr(kind(Fake()), "other", 1),
    "pickle": lambda kind: pickle.dumps(kind(Fake())),
    "old pickle": lambda kind: pickle.dumps(kind(Fake()), 0),
    "copy": lambda kind: copy.copy(kind(Fake())),
    "forbidden": lambda kind: kind(Fake()).close(),
    "recv": lambda kind: kind(Fake()).recv(1),
    "bad": lambda kind: repr(kind(7)),
    "doc": lambda kind: bool(kind.__doc__),
    "names": lambda kind: sorted(
        name for name in dir(kind) if not name.startswith("__")),
    "module": lambda kind: (kind.__module__, kind.__qualname__),
}


@pytest.mark.parametrize("call", CALLS)
def test_calls(call):
    stock, ours = (outcome(CALLS[call], kind) for kind in KINDS)
    if call in ("new", "set", "attribute"):
        stock, ours = stock[0], ours[0]
    assert ours == stock


@pytest.mark.parametrize("family", ["tcp", "udp", "unix"])
def test_repr(family):
    if family == "unix":
        sock, other = socket.socketpair()
    else:
        kind = socket.SOCK_STREAM if family == "tcp" else socket.SOCK_DGRAM
        sock, other = (socket.socket(socket.AF_INET, kind) for _ in range(2))
        sock.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        if family == "udp":
            sock.connect(other.getsockname())
    shown = [kind(sock) for kind in KINDS]
    assert repr(shown[0]) == repr(shown[1])
    sock.close()
    assert repr(shown[0]) == repr(shown[1])
    other.close()


def test_signatures():
    for name, method in vars(Stock).items():
        if inspect.isfunction(method) and not name.startswith("__"):
            ours, stock = (str(inspect.signature(getattr(kind(Fake()), name)))
                           for kind in reversed(KINDS))
            assert ours == stock, name


def test_subclass():
    class Mine(_ouro.TransportSocket):
        def fileno(self):
            return -1
    assert "laddr" not in repr(Mine(Fake()))
    assert repr(Mine(Fake())).startswith("<asyncio.TransportSocket fd=-1,")


def test_from_transports():
    async def scenario(loop, log):
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        shown = [server.sockets[0]]
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *shown[0].getsockname())
        endpoint, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, ("127.0.0.1", 0))
        shown += [each.get_extra_info("socket")
                  for each in (transport, endpoint)]
        for each in shown:
            log.append((type(each).__name__, each.family, each.type,
                        each.fileno() >= 0, each.gettimeout()))
        transport.close()
        endpoint.close()
        server.close()
        await asyncio.sleep(0.01)
        log.append([each.fileno() for each in shown])
    same(scenario)
