"""Every short schedule: locks and queues on which tasks wait already.

From the same start, each sequence of a few steps (wake, cancel, come, a turn
of the loop) is lived through by asyncio's primitive and by ours; the traces
must be the same.  Some of the sequences are the ones that lose an item, a
permit or a notification if a waiter is cancelled in the turn of its wake-up.
"""

import itertools

import pytest
from syncactions import (
    SHUTDOWN,
    abort,
    acquire,
    clear,
    get,
    get_nowait,
    hold,
    join,
    notify,
    notify_all,
    put,
    put_nowait,
    release,
    reset,
    set_event,
    shutdown,
    task_done,
    wait,
    wait_with_lock,
    waiters,
)
from syncworlds import Twin

TURN = ("turn",)
CANCEL = [("cancel", number, None, False) for number in (0, 1)]
LATER = ("cancel", 0, "later", True)


def start(*what):
    return ("start", *what)


def now(*what):
    return ("now", *what)


def soon(*what):
    return ("soon", *what)


# name -> (make, the steps before, the steps to combine, how many of them)
SCHEDULES = {
    "lock": (
        lambda kit: kit.Lock(), [start(acquire)] * 3 + [TURN],
        [TURN, *CANCEL, LATER, now(release), start(hold, 1)], 5),
    "lock that is seen": (
        lambda kit: kit.Lock(),
        [start(acquire)] * 3 + [TURN, now(waiters)],
        [TURN, *CANCEL, now(release), start(acquire)], 4),
    "semaphore": (
        lambda kit: kit.Semaphore(1), [start(acquire)] * 4 + [TURN],
        [TURN, *CANCEL, LATER, now(release), start(hold, 1)], 5),
    "semaphore of two": (
        lambda kit: kit.BoundedSemaphore(2),
        [start(acquire)] * 5 + [TURN],
        [TURN, *CANCEL, now(release), soon(release)], 5),
    # Who comes while the first is on its way waits, though permits are left.
    "semaphore with permits for those to come": (
        lambda kit: kit.Semaphore(0),
        [start(acquire), TURN, start(acquire), start(acquire),
         *[now(release)] * 3],
        [TURN, *CANCEL, start(acquire), now(release)], 5),
    "event": (
        lambda kit: kit.Event(), [start(wait)] * 3 + [TURN],
        [TURN, *CANCEL, LATER, now(set_event), now(clear), start(wait)], 4),
    "condition": (
        lambda kit: kit.Condition(),
        [start(wait_with_lock, 0)] * 3 + [TURN, TURN],
        [TURN, *CANCEL, start(notify, 1), start(notify_all),
         start(hold, 2)], 5),
    "condition whose lock is taken": (
        lambda kit: kit.Condition(),
        [start(wait_with_lock, 0)] * 3 + [TURN, start(notify, 2),
                                          start(hold, 3), TURN],
        [TURN, *CANCEL, LATER, start(notify, 1)], 5),
    "barrier": (
        lambda kit: kit.Barrier(3), [start(wait)] * 2 + [TURN],
        [TURN, *CANCEL, start(wait), start(reset), start(abort)], 5),
    "empty queue": (
        lambda kit: kit.Queue(), [start(get)] * 3 + [TURN],
        [TURN, *CANCEL, LATER, now(put_nowait, 1), now(get_nowait),
         start(get)], 4),
    "empty queue with little room": (
        lambda kit: kit.Queue(1), [start(get)] * 2 + [TURN],
        [TURN, *CANCEL, start(put, 1), soon(put_nowait, 2)], 5),
    "full queue": (
        lambda kit: kit.Queue(1),
        [start(put, number) for number in range(4)] + [TURN],
        [TURN, *CANCEL, LATER, now(get_nowait), start(get)], 5),
    "full heap": (
        lambda kit: kit.PriorityQueue(2),
        [start(put, number) for number in (3, 1, 2, 0)] + [TURN],
        [TURN, *CANCEL, now(get_nowait), start(put, 1)], 4),
    "queue with work to do": (
        lambda kit: kit.LifoQueue(),
        [now(put_nowait, 1), now(put_nowait, 2), start(join), start(join),
         TURN],
        [TURN, *CANCEL, now(task_done), now(get_nowait)], 5),
}
if SHUTDOWN:
    SCHEDULES["queue that is shut down"] = (
        lambda kit: kit.Queue(1),
        [now(put_nowait, 1), start(put, 2), start(put, 3), start(join),
         TURN],
        [TURN, *CANCEL, now(get_nowait), now(shutdown, False),
         now(shutdown, True)], 4)
    SCHEDULES["empty queue that is shut down"] = (
        lambda kit: kit.Queue(1), [start(get)] * 2 + [TURN],
        [TURN, *CANCEL, now(put_nowait, 1), now(shutdown, False),
         now(shutdown, True)], 4)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("world", ["native", "native on asyncio's loop",
                                   "derived"])
def test_all_schedules(name, world):
    make, before, steps, count = SCHEDULES[name]
    twin = Twin(world)
    try:
        for chosen in itertools.product(steps, repeat=count):
            twin.make(make)
            for step in (*before, *chosen, TURN):
                twin.do(*step)
            twin.end()
    finally:
        twin.close()
