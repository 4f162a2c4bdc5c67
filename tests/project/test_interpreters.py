"""Sub-interpreters: with the main one's lock, and with one of their own."""

import sys

import pytest

PROGRAM = """
import asyncio
import ouro

async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname())
    writer.write(b"line\\n")
    assert await reader.read() == b"line\\n"
    writer.close()
    server.close()
    tasks = [asyncio.create_task(asyncio.sleep(.001, i)) for i in range(9)]
    assert await asyncio.gather(*tasks) == list(range(9))
    assert await asyncio.to_thread(len, "four") == 4
    assert len(asyncio.all_tasks()) == 1
    return type(asyncio.current_task())

ouro.install()
assert asyncio.run(main()) is ouro.Task
"""


def test_with_the_lock_of_the_main_one(python, tmp_path):
    pytest.importorskip("_testcapi")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = python("-c", f"""
import asyncio, gc, sys, _testcapi
sys.path.append({str(tmp_path)!r})
for _ in range(3):
    import program
    code = "import sys; sys.path[:] = " + repr(sys.path)
    assert _testcapi.run_in_subinterp(code + "\\nimport program") == 0
    assert asyncio.run(program.main()) is asyncio.Task
    gc.collect()
""")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12+")
def test_with_a_lock_of_its_own(python):
    done = python("-c", """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import os, sys
interpreters.run_string(interpreters.create(), f'''
import sys
sys.path[:] = {sys.path!r}
try:
    import ouro
except ImportError as error:
    print(error, flush=True)
''')
os._exit(0)     # (3.12.1 crashes at the end of one that imported asyncio.)
""")
    assert done.stdout == (
        "module ouro._ouro does not support loading in subinterpreters\n")
    assert (done.returncode, done.stderr) == (0, "")
