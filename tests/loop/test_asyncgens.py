"""Asynchronous generators: the running loop finalizes them."""

import asyncio
import gc
import sys
import threading
import warnings


def make(trace, name="fin", error=None):
    async def generator():
        try:
            yield 1
            yield 2
        finally:
            trace.append(name)
            if error is not None:
                raise error
    return generator()


def test_finalized_by_the_loop(same):
    def program(loop, trace):
        async def main():
            async for _ in make(trace):
                break
            gc.collect()
            await asyncio.sleep(0)
            trace.append("|")
            await asyncio.sleep(0)

        loop.run_until_complete(main())
        trace.append(tuple(sys.get_asyncgen_hooks()))
        trace.append(len(loop._asyncgens))

    assert "fin" in same(program)


def test_shutdown(same):
    def program(loop, trace):
        async def main():
            generators = [make(trace, 1), make(trace, 2, ValueError("x")),
                          make(trace, 3)]
            for generator in generators:
                await generator.__anext__()
            trace.append(len(loop._asyncgens))
            return generators

        keep = loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
        trace[1:4] = sorted(trace[1:4])
        trace.append((len(loop._asyncgens), len(keep),
                      loop._asyncgens_shutdown_called))
        loop.run_until_complete(loop.shutdown_asyncgens())

        async def late():
            async for _ in make(trace):
                pass

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.run_until_complete(late())
        trace.extend(each.category for each in caught)

    same(program)


def test_dropped_in_another_thread(same):
    def program(loop, trace):
        box = []

        async def main():
            box.append(make(trace))
            await box[0].__anext__()
            thread = threading.Thread(target=lambda: (box.clear(),
                                                      gc.collect()))
            thread.start()
            await asyncio.sleep(0.05)
            thread.join()

        loop.run_until_complete(main())

    assert same(program) == ["fin"]


def test_dropped_after_the_loop_was_closed(same):
    def program(loop, trace):
        async def main():
            generator = make(trace)
            await generator.__anext__()
            return generator

        generator = loop.run_until_complete(main())
        loop.close()
        del generator
        gc.collect()

    same(program)


def test_hooks_of_others_come_back(same):
    def program(loop, trace):
        old = sys.get_asyncgen_hooks()
        hooks = trace.append, trace.append
        sys.set_asyncgen_hooks(*hooks)
        loop.run_until_complete(asyncio.sleep(0))
        trace.append(tuple(sys.get_asyncgen_hooks()) == hooks)
        sys.set_asyncgen_hooks(*old)

    assert same(program) == [True]
