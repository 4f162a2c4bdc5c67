"""Options of what connects, serves, resolves and starts: each by its effect,
or the error that it is, in both worlds."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys

import pytest
from worlds import same


def comparable(what):
    text = re.sub(r"('(127\.0\.0\.1|::1?)'), \d+", r"\1, PORT", repr(what))
    text = re.sub(r"'(127\.0\.0\.1|::1?)', \d+", r"\1, PORT", text)
    text = re.sub(r"(bind on address )\('[^']*', \w+", r"\1(HOST, PORT", text)
    return re.sub(r"/tmp/\S*?/(?=[a-z])", "FOLDER/", text)


async def attempt(world, awaitable):
    """Note the result, or the error with its cause and its errno."""
    try:
        result = await awaitable()
    except BaseException as error:
        world.note(type(error).__name__, comparable(error.args),
                   getattr(error, "errno", None),
                   type(error.__cause__).__name__)
        for one in getattr(error, "exceptions", ()):
            world.note(type(one).__name__, comparable(one.args))
        return None
    return result


def run(world, main):
    world.loop.run_until_complete(main())


# ---- names -----------------------------------------------------------------

NAMES = [
    ("127.0.0.1", 80), ("127.0.0.1", "80"), ("127.0.0.1", None),
    ("127.0.0.1", "http"), ("127.0.0.1", b"80"), ("127.0.0.1", 65536),
    ("127.0.0.1", -1), ("127.0.0.1", "no-such-service"), ("127.0.0.1", 1.5),
    ("::1", 80), ("fe80::1%lo", 80), (None, 80), ("", 80),
    (b"127.0.0.1", 80), (None, None), ("localhost", 80),
    ("127.1", 80), ("0x7f.1", 80), ("a" * 64 + ".x", 80), ("\ud800", 80),
    (5, 80), ("127.0.0.1\0", 80),
]

HINTS = [
    {}, {"type": socket.SOCK_STREAM}, {"type": socket.SOCK_DGRAM},
    {"family": socket.AF_INET}, {"family": socket.AF_INET6},
    {"family": socket.AF_UNIX}, {"family": -1}, {"family": 99},
    {"type": 99}, {"type": socket.SOCK_RAW}, {"proto": socket.IPPROTO_TCP},
    {"proto": socket.IPPROTO_UDP, "type": socket.SOCK_STREAM},
    {"flags": socket.AI_PASSIVE}, {"flags": socket.AI_NUMERICHOST},
    {"flags": socket.AI_CANONNAME}, {"flags": 1 << 30},
    {"family": "x"}, {"type": None}, {"flags": 1.5},
    {"type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICSERV},
]


@pytest.mark.parametrize("host, port", NAMES)
def test_getaddrinfo(host, port):
    def program(world):
        async def main():
            for hints in HINTS:
                found = await attempt(world, lambda: world.loop.getaddrinfo(
                    host, port, **hints))
                world.note(hints, found)

        run(world, main)

    same(program)


@pytest.mark.parametrize("flags", [
    0, socket.NI_NUMERICHOST, socket.NI_NUMERICSERV,
    socket.NI_NUMERICHOST | socket.NI_NUMERICSERV, socket.NI_NAMEREQD,
    socket.NI_DGRAM | socket.NI_NUMERICHOST, 1 << 30, -1, None, "x"])
def test_getnameinfo(flags):
    def program(world):
        async def main():
            for address in (("127.0.0.1", 80), ("::1", 80), ("::1", 80, 0, 0),
                            ("::1", 80, 1, 2), ("127.0.0.1", "80"),
                            ("127.0.0.1",), (), ("127.0.0.1", 99999),
                            ("127.0.0.1", -1), ("127.0.0.1", 80, 0),
                            ("x y", 80), (b"127.0.0.1", 80), "127.0.0.1",
                            None, ["127.0.0.1", 80]):
                world.note(address, await attempt(
                    world, lambda: world.loop.getnameinfo(address, flags)))

        run(world, main)

    same(program)


# ---- connections -----------------------------------------------------------

CONNECTING = [
    {}, {"host": "127.0.0.1"}, {"port": 80}, {"sock": None},
    {"host": "127.0.0.1", "port": "x"}, {"host": "127.0.0.1", "port": 99999},
    {"host": "127.0.0.1", "port": 80, "sock": 5},
    {"host": "h", "port": 1, "server_hostname": "x"},
    {"sock": 5, "ssl": True}, {"sock": 5, "server_hostname": ""},
    {"host": "h", "port": 1, "ssl_handshake_timeout": 1},
    {"host": "h", "port": 1, "ssl_shutdown_timeout": 1},
    {"host": "127.0.0.1", "port": 1, "ssl": True,
     "ssl_handshake_timeout": 0},
    {"host": "127.0.0.1", "port": 1, "ssl": True,
     "ssl_shutdown_timeout": -1},
    {"host": "127.0.0.1", "port": 1, "ssl": "x"},
    {"host": "127.0.0.1", "port": 1, "family": socket.AF_INET6},
    {"host": "127.0.0.1", "port": 1, "family": socket.AF_UNIX},
    {"host": "127.0.0.1", "port": 1, "flags": 1 << 30},
    {"host": "127.0.0.1", "port": 1, "proto": socket.IPPROTO_UDP},
    {"host": "127.0.0.1", "port": 1, "local_addr": ("::1", 0)},
    {"host": "127.0.0.1", "port": 1, "local_addr": ("192.0.2.1", 0)},
    {"host": "127.0.0.1", "port": 1, "local_addr": "x"},
    {"host": "127.0.0.1", "port": 1, "local_addr": ("127.0.0.1",)},
    {"host": "127.0.0.1", "port": 1, "happy_eyeballs_delay": 0.01},
    {"host": "127.0.0.1", "port": 1, "happy_eyeballs_delay": "x"},
    {"host": "127.0.0.1", "port": 1, "interleave": 1},
    {"host": "localhost", "port": 1, "interleave": -1},
    {"host": "127.0.0.1", "port": 1, "all_errors": True},
    {"host": "127.0.0.1", "port": 1, "nonsense": True},
]


@pytest.mark.parametrize("options", CONNECTING, ids=str)
def test_create_connection(options):
    def program(world):
        async def main():
            await attempt(world, lambda: world.loop.create_connection(
                world.k.Protocol, **options))

        run(world, main)

    assert same(program)


SERVING = [
    {}, {"host": "127.0.0.1"}, {"port": 80, "sock": 5}, {"sock": 5},
    {"host": "127.0.0.1", "port": 0, "ssl": True},
    {"host": "127.0.0.1", "port": 0, "ssl": "x"},
    {"host": "127.0.0.1", "port": 0, "ssl_handshake_timeout": 1},
    {"host": "127.0.0.1", "port": 0, "ssl_shutdown_timeout": 1},
    {"host": "192.0.2.1", "port": 0}, {"host": "127.0.0.1", "port": 99999},
    {"host": "127.0.0.1", "port": "x"}, {"host": 5, "port": 0},
    {"host": [], "port": 0}, {"host": ["127.0.0.1", 5], "port": 0},
    {"host": "127.0.0.1", "port": 0, "family": socket.AF_INET6},
    {"host": "127.0.0.1", "port": 0, "family": socket.AF_UNIX},
    {"host": "127.0.0.1", "port": 0, "flags": 1 << 30},
    {"host": "127.0.0.1", "port": 0, "backlog": "x"},
    {"host": "127.0.0.1", "port": 0, "reuse_port": True, "nonsense": 1},
]


@pytest.mark.parametrize("options", SERVING, ids=str)
def test_create_server(options):
    def program(world):
        async def main():
            server = await attempt(world, lambda: world.loop.create_server(
                world.k.Protocol, **options))
            if server is not None:
                world.note(sorted(sock.family for sock in server.sockets))
                server.close()

        run(world, main)

    same(program)


SET = [(socket.SOL_SOCKET, socket.SO_REUSEADDR),
       (socket.SOL_SOCKET, socket.SO_REUSEPORT),
       (socket.SOL_SOCKET, socket.SO_KEEPALIVE)]


@pytest.mark.parametrize("options", [
    {}, {"reuse_address": True}, {"reuse_address": False},
    {"reuse_port": True}, {"reuse_port": False}, {"backlog": 1},
    {"backlog": 0}, {"start_serving": False}, {"keep_alive": True},
    {"host": None}, {"host": ""}, {"host": ["127.0.0.1", "127.0.0.1"]},
    {"host": ("127.0.0.1", "::1")}], ids=str)
def test_what_a_server_sets(options):
    def program(world):
        async def main():
            server = await attempt(world, lambda: world.loop.create_server(
                world.k.Protocol, **{"host": "127.0.0.1", "port": 0,
                                     **options}))
            if server is None:
                return
            for sock in server.sockets:
                world.note(sock.family, sock.type, sock.getsockname()[0],
                           *(sock.getsockopt(*name) for name in SET))
            world.note(server.is_serving())
            server.close()

        run(world, main)

    assert same(program)


@pytest.mark.parametrize("options", [
    {}, {"local_addr": ("127.0.0.1", 0)}, {"remote_addr": ("127.0.0.1", 9)},
    {"local_addr": "x"}, {"local_addr": ("127.0.0.1",)},
    {"local_addr": ("127.0.0.1", 0), "family": socket.AF_INET6},
    {"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 9)},
    {"family": socket.AF_INET}, {"family": 99}, {"sock": 5},
    {"local_addr": ("127.0.0.1", 0), "reuse_port": True},
    {"local_addr": ("127.0.0.1", 0), "allow_broadcast": True},
    {"family": socket.AF_UNIX, "local_addr": 5},
    {"family": socket.AF_UNIX, "local_addr": "/no/such/folder/x"},
    {"local_addr": ("192.0.2.1", 0)},
    {"local_addr": ("127.0.0.1", 0), "nonsense": 1},
    {"local_addr": ("127.0.0.1", 0), "reuse_address": True},
], ids=str)
def test_create_datagram_endpoint(options):
    def program(world):
        async def main():
            made = await attempt(
                world, lambda: world.loop.create_datagram_endpoint(
                    world.k.DatagramProtocol, **options))
            if made is None:
                return
            transport = made[0]
            sock = transport.get_extra_info("socket")
            world.note(sock.family, sock.type, *(
                sock.getsockopt(*name) for name in SET),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))
            world.note(comparable(transport.get_extra_info("peername")))
            transport.close()

        run(world, main)

    assert same(program)


@pytest.mark.parametrize("call", [
    lambda loop, k: loop.create_unix_connection(k.Protocol),
    lambda loop, k: loop.create_unix_connection(k.Protocol, "/no/such"),
    lambda loop, k: loop.create_unix_connection(k.Protocol, 5),
    lambda loop, k: loop.create_unix_connection(k.Protocol, "x", sock=5),
    lambda loop, k: loop.create_unix_connection(k.Protocol, "x", ssl=True),
    lambda loop, k: loop.create_unix_connection(
        k.Protocol, "x", server_hostname="h"),
    lambda loop, k: loop.create_unix_server(k.Protocol),
    lambda loop, k: loop.create_unix_server(k.Protocol, "/no/such/folder"),
    lambda loop, k: loop.create_unix_server(k.Protocol, "x", sock=5),
    lambda loop, k: loop.create_unix_server(k.Protocol, "x" * 200),
    lambda loop, k: loop.create_unix_server(k.Protocol, "x", ssl=True),
    lambda loop, k: loop.create_unix_server(k.Protocol, "a\0b"),
    lambda loop, k: loop.connect_accepted_socket(k.Protocol, None),
    lambda loop, k: loop.connect_accepted_socket(k.Protocol, 5),
    lambda loop, k: loop.start_tls(None, None, None),
    lambda loop, k: loop.start_tls(None, None, ssl.create_default_context()),
    lambda loop, k: loop.connect_read_pipe(k.Protocol, 5),
    lambda loop, k: loop.connect_read_pipe(k.Protocol, open(__file__)),
    lambda loop, k: loop.connect_write_pipe(k.BaseProtocol, None),
    lambda loop, k: loop.connect_read_pipe(None, None),
    lambda loop, k: loop.sendfile(None, None),
    lambda loop, k: loop.sock_sendfile(None, None),
    lambda loop, k: loop.sock_connect(None, None),
    lambda loop, k: loop.sock_recv(None, 1),
    lambda loop, k: k.open_connection("127.0.0.1", limit=0),
    lambda loop, k: k.open_connection("127.0.0.1", "x"),
    lambda loop, k: k.start_server(None, "127.0.0.1", 0, limit=0, ssl=True),
    lambda loop, k: k.open_unix_connection("/no/such"),
    lambda loop, k: k.start_unix_server(None, "/no/such/folder"),
], ids=range(29))
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_errors(call):
    def program(world):
        async def main():
            made = await attempt(world, lambda: call(world.loop, world.k))
            assert made is None

        run(world, main)

    assert same(program)


# ---- processes -------------------------------------------------------------

PYTHON = (sys.executable, "-c")

TELL = """
import os, signal, sys
print(os.getcwd() == "/", os.environ.get("TOLD"), os.getsid(0) == os.getpid(),
      os.getpgid(0) == os.getpid(), len(os.listdir("/proc/self/fd")),
      sys.argv[1:], signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN,
      oct(os.umask(0)))
print("error", file=sys.stderr)
"""


@pytest.mark.parametrize("options", [
    {}, {"cwd": "/"}, {"env": {"TOLD": "x"}}, {"start_new_session": True},
    {"process_group": 0}, {"close_fds": False}, {"restore_signals": False},
    {"umask": 0o077}, {"bufsize": 0}, {"pass_fds": (2,)},
    {"stderr": subprocess.STDOUT}, {"stderr": subprocess.DEVNULL},
    {"stdin": subprocess.DEVNULL}, {"executable": sys.executable},
    {"preexec_fn": lambda: os.umask(0o027)}, {"user": os.getuid()},
    {"creationflags": 0}, {"pipesize": 4096},
], ids=str)
def test_what_a_child_is_given(options):
    def program(world):
        async def main():
            process = await attempt(
                world, lambda: world.k.create_subprocess_exec(
                    *PYTHON, TELL, "an argument",
                    **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                       **options}))
            if process is not None:
                out, error = await process.communicate()
                world.note(out, error, process.returncode)

        run(world, main)

    assert same(program)


async def start_child(world, *arguments, **options):
    """In each of the four ways."""
    for make in (
        lambda: world.k.create_subprocess_exec(*arguments, **options),
        lambda: world.k.create_subprocess_shell(*arguments, **options),
        lambda: world.loop.subprocess_exec(
            world.k.SubprocessProtocol, *arguments, **options),
        lambda: world.loop.subprocess_shell(
            world.k.SubprocessProtocol, *arguments, **options),
    ):
        made = await attempt(world, make)
        if isinstance(made, tuple):
            await made[0]._wait()
            world.note(made[0].get_returncode())
            made[0].close()
        elif made is not None:
            world.note(await made.wait())


@pytest.mark.parametrize("options", [
    {"universal_newlines": True}, {"shell": True}, {"bufsize": 1},
    {"text": True}, {"encoding": "utf-8"}, {"errors": "strict"},
    {"cwd": "/no/such"}, {"cwd": 5}, {"env": {"a": 5}}, {"env": 5},
    {"executable": "/no/such"}, {"stdin": "x"}, {"stdout": -9},
    {"stdout": subprocess.STDOUT}, {"stderr": 10 ** 6},
    {"preexec_fn": lambda: 1 / 0}, {"pass_fds": (10 ** 6,)},
    {"user": "no-such-user"}, {"nonsense": True}, {"umask": "x"},
    {"limit": 0}, {"limit": "x"},
], ids=str)
def test_options_that_are_refused(options):
    def program(world):
        async def main():
            await start_child(world, "true", **options)

        run(world, main)

    same(program)


@pytest.mark.parametrize("arguments", [
    (), (5,), ("/no/such",), ("/",), ("true", 5), (b"true",), ("",),
    ("a\0b",), (["true"],), (None,)], ids=str)
def test_programs(arguments):
    def program(world):
        async def main():
            await start_child(world, *arguments)

        run(world, main)

    same(program)


@pytest.mark.parametrize("number", [
    signal.SIGTERM, 0, 99, -1, "x", None])
def test_signals_to_a_child(number):
    def program(world):
        async def main():
            process = await world.k.create_subprocess_exec(
                *PYTHON, "input()", stdin=subprocess.PIPE)
            try:
                world.note(process.send_signal(number))
            except Exception as error:
                world.note(type(error).__name__, error)
            if number != signal.SIGTERM:
                process.kill()
            world.note(await process.wait())

        run(world, main)

    same(program)
