"""The echo server once more, with transports and protocols."""

import asyncio

CLIENTS, REQUESTS = 100, 20


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(asyncio.Protocol):
    def __init__(self):
        self.answers = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"x" * 1000)
        self.missing = 1000

    def data_received(self, data):
        self.missing -= len(data)
        if self.missing:
            return
        self.answers += 1
        if self.answers == REQUESTS:
            self.transport.close()
        else:
            self.missing = 1000
            self.transport.write(b"x" * 1000)

    def connection_lost(self, error):
        self.done.set_result((self.answers, error))


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        pairs = [await loop.create_connection(Client, *address)
                 for _ in range(CLIENTS)]
        results = await asyncio.gather(*(each.done for _, each in pairs))
    print("clients:", len(results), "answers:", sum(n for n, _ in results))
    print("errors:", {error for _, error in results})


asyncio.run(main())
