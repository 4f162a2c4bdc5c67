"""An echo server and 100 clients, over streams."""

import asyncio

CLIENTS, REQUESTS = 100, 20


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def client(number, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = 0
    for request in range(REQUESTS):
        line = f"client {number}, request {request}\n".encode()
        writer.write(line)
        await writer.drain()
        answers += await reader.readline() == line
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    return answers


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answers = await asyncio.gather(
            *(client(number, port) for number in range(CLIENTS)))
    print("clients:", len(answers), "answers:", sum(answers))


asyncio.run(main())
