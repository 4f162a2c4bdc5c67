"""CPU of a request echoed over TLS, as a multiple of ouro's streams.

usage: tls_echo.py [--conns 32] [--size 1024] [--seconds 0.2] [--rounds 15]
                   [IMPL/KIND ...]

As echo.py: all servers are up at once, server and load share one CPU, and the
load comes in short slices, in shuffled order.  Each server has a load of its
own, which keeps its connections, so that no handshake is measured.  There is
no bare C here: the figures are divided by those of ouro/streams in the same
round.
"""

import itertools
import os
import pathlib
import random
import select
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

from echo import (
    HERE,
    WARM_UP,
    cpu_ns,
    on_one_cpu,
    parse_arguments,
    report,
    summarize,
)

BASE = "ouro/streams"
DEFAULT = [
    f"{implementation}/{kind}"
    for kind in ("streams", "lines", "protocol", "buffered")
    for implementation in ("ouro", "uvloop", "asyncio")
]


def make_certificate(folder):
    """Path of a file with a new key and its self-signed certificate."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "1", "-newkey", "ec",
         "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


# ---- the load, a process of its own ----------------------------------------


class Load:
    """Connections which each send a request, wait for the echo, repeat."""

    def __init__(self, port, conns, size):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.message = b"x" * (size - 1) + b"\n"
        self.poll = select.epoll()
        self.socks = {}
        for _ in range(conns):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = context.wrap_socket(sock)
            self.socks[sock.fileno()] = sock
            self.poll.register(sock, select.EPOLLIN)

    def run(self, seconds):
        """The number of requests that were answered."""
        end = time.monotonic() + seconds
        missing = dict.fromkeys(self.socks, 0)
        requests = 0
        for fd in self.socks:
            self._send(fd, missing)
        while any(missing.values()):
            for fd, _ in self.poll.poll():
                missing[fd] -= self._receive(self.socks[fd])
                if missing[fd] == 0:
                    requests += 1
                    if time.monotonic() < end:
                        self._send(fd, missing)
        return requests

    def _send(self, fd, missing):
        sock = self.socks[fd]
        missing[fd] = len(self.message)
        sock.setblocking(True)
        sock.sendall(self.message)
        sock.setblocking(False)

    def _receive(self, sock):
        got = 0
        try:
            while True:
                got += len(sock.recv(1 << 18))
                if not sock.pending():
                    return got
        except ssl.SSLWantReadError:
            return got


def serve_load(port, conns, size):
    load = Load(port, conns, size)
    print("ready", flush=True)
    for line in sys.stdin:
        print(load.run(float(line)), flush=True)


# ---- servers ---------------------------------------------------------------


class Server:
    def __init__(self, name, port, options, certificate):
        self.processes = []
        self.server = self._start(
            [HERE / "echo_server.py", *name.split("/"), port],
            SIZE=str(options.size), CERTIFICATE=str(certificate))
        self.load = self._start(
            [__file__, "--load", port, options.conns, options.size])

    def _start(self, command, **environment):
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **environment}, preexec_fn=on_one_cpu)
        self.processes.append(process)
        if not process.stdout.readline():
            self.stop()
            raise SystemExit(f"{command} did not start")
        return process

    def slice(self, seconds):
        """CPU ns a request over one slice of load."""
        before = cpu_ns(self.server.pid)
        print(seconds, file=self.load.stdin, flush=True)
        requests = int(self.load.stdout.readline())
        return (cpu_ns(self.server.pid) - before) / requests

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def run_round(servers, seconds):
    names = random.sample(list(servers), len(servers)) + [BASE]
    got = {}
    for name in names:
        got.setdefault(name, []).append(servers[name].slice(seconds))
    base = statistics.mean(got[BASE])
    return {
        name: (statistics.mean(ns), statistics.mean(ns) / base)
        for name, ns in got.items()
    }


def measure(names, options):
    ports = itertools.count(12000 + os.getpid() % 15000)
    servers = {}
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(pathlib.Path(folder))
        try:
            for name in dict.fromkeys([BASE, *names]):
                servers[name] = Server(name, next(ports), options,
                                       certificate)
            rounds = [
                run_round(servers, options.seconds)
                for _ in range(options.rounds + WARM_UP)
            ][WARM_UP:]
        finally:
            for server in servers.values():
                server.stop()
    return {name: summarize([r[name] for r in rounds]) for name in servers}


def main():
    if sys.argv[1:2] == ["--load"]:
        return serve_load(*map(int, sys.argv[2:]))
    options = parse_arguments(__doc__.split("\n")[0], 0.2)
    report(measure(options.names or DEFAULT, options), options, BASE)


if __name__ == "__main__":
    main()
