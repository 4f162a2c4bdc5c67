/* staggered.c - asyncio.staggered.staggered_race(): the first of several
 * coroutine functions that succeeds; the next one is started when the last
 * one has failed or has taken too long.
 *
 * Each entrant of the race is a task (the `entrant` body here), which starts
 * the task of the next one before it runs its own coroutine.  All share one
 * list, the race.  The body of staggered_race() itself waits for all tasks:
 * with wait(), or, in newer versions, for a future that the last task's
 * callback completes.
 */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/future.h"

/* What all have in common: a list, with None for what is not set. */
enum {
    RACE_ENTRANTS, /* enumerate(coro_fns) */
    RACE_DELAY,
    RACE_LOOP,
    RACE_RESULT,
    RACE_WINNER, /* its index */
    RACE_EXCEPTIONS,
    RACE_TASKS, /* a list; by callbacks: a set */
    /* By callbacks alone: */
    RACE_PARENT,    /* the task that runs the race */
    RACE_UNHANDLED, /* what tasks have ended with */
    RACE_COMPLETED, /* a future: all tasks are done */
    RACE_CANCELLED, /* the cancellation that is to be passed on */
    RACE_MODULE,
    RACE_PLACES,
};

static PyObject *
race_get(PyObject *race, int place)
{
    return PyList_GET_ITEM(race, place);
}

/* Takes the reference over. */
static void
race_set(PyObject *race, int place, PyObject *value)
{
    PyObject *old = PyList_GET_ITEM(race, place);
    PyList_SET_ITEM(race, place, value);
    Py_DECREF(old);
}

/* ---- small services ---------------------------------------------------- */

static PyObject *
new_event(ouro_state *st)
{
    return PyObject_CallMethod(st->stock.locks, "Event", NULL);
}

static int
set_event(PyObject *event)
{
    return ouro_drop_result(PyObject_CallMethod(event, "set", NULL));
}

/* future_add_to_awaited_by(task, parent), or its contrary. 0 or -1. */
static int
edge(ouro_state *st, const char *function, PyObject *task, PyObject *race)
{
    if (!st->has.call_graph) {
        return 0;
    }
    return ouro_drop_result(PyObject_CallMethod(
        st->stock.futures, function, "OO", task, race_get(race, RACE_PARENT)));
}

/* tasks.current_task(loop) */
static PyObject *
current_task(ouro_state *st, PyObject *race)
{
    return PyObject_CallMethod(st->stock.tasks, "current_task", "O",
                               race_get(race, RACE_LOOP));
}

/* task.cancel(*args); args NULL: none. */
static int
cancel_task(ouro_state *st, PyObject *task, PyObject *args)
{
    PyObject *cancel = PyObject_GetAttr(task, st->str.cancel);
    PyObject *result = cancel == NULL ? NULL
                       : args == NULL ? PyObject_CallNoArgs(cancel)
                                      : PyObject_CallObject(cancel, args);
    Py_XDECREF(cancel);
    return ouro_drop_result(result);
}

/* Cancel all tasks of the race but one (or NULL).  0 or -1. */
static int
cancel_tasks(ouro_state *st, PyObject *race, PyObject *but, PyObject *args)
{
    PyObject *all = PySequence_List(race_get(race, RACE_TASKS));
    int result = all == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(all); i++) {
        PyObject *task = PyList_GET_ITEM(all, i);
        if (task != but) {
            result = cancel_task(st, task, args);
        }
    }
    Py_XDECREF(all);
    return result;
}

/* ---- by callbacks: a task is done -------------------------------------- */

/* Were all of them, the race is over. */
static int
note_completed(ouro_state *st, PyObject *race)
{
    PyObject *completed = race_get(race, RACE_COMPLETED);
    if (completed == Py_None
        || PySet_GET_SIZE(race_get(race, RACE_TASKS)) > 0) {
        return 0;
    }
    int done = ouro_anyfuture_done(st, completed);
    return done != 0 ? (done < 0 ? -1 : 0)
                     : ouro_anyfuture_set_result(st, completed, Py_None);
}

/* What the task has ended with, but for a cancellation. */
static int
note_unhandled(ouro_state *st, PyObject *race, PyObject *task)
{
    int cancelled = ouro_anyfuture_cancelled(st, task);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *exception = ouro_anyfuture_exception(st, task);
    if (exception == NULL) {
        return -1;
    }
    int result =
        exception == Py_None
            ? 0
            : PyList_Append(race_get(race, RACE_UNHANDLED), exception);
    Py_DECREF(exception);
    return result;
}

/* The race ends first: the rest may fail for want of memory. */
static PyObject *
task_done(PyObject *race, PyObject *task)
{
    ouro_state *st = ouro_module_state(race_get(race, RACE_MODULE));
    if (PySet_Discard(race_get(race, RACE_TASKS), task) < 0
        || note_completed(st, race) < 0 || note_unhandled(st, race, task) < 0
        || edge(st, "future_discard_from_awaited_by", task, race) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef task_done_def = {"task_done", task_done, METH_O, NULL};

/* ---- an entrant -------------------------------------------------------- */

/* The body's fields: owner the race's loop, a the race, b the event of the
 * one before it having failed (or NULL), then that of its own failing; c (by
 * callbacks) the event of its being registered; n its index. */
enum {
    ENTRANT_START,
    ENTRANT_REGISTERED,
    ENTRANT_ITS_TURN,
    ENTRANT_RUNNING,
};

static const await_kind entrant_kind;

/* The race would wait for ever for a task that it does not hear of; one that
 * it does not know must not run.  The exception that is set stays. */
static void
abandon_entrant(ouro_state *st, PyObject *race, PyObject *task)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *tasks = race_get(race, RACE_TASKS);
    if ((PySet_Check(tasks) && PySet_Discard(tasks, task) < 0)
        || cancel_task(st, task, NULL) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(exception);
}

/* Make the task of the next entrant. 0 or -1. */
static int
start_entrant(ouro_state *st, PyObject *race, PyObject *previous_failed)
{
    bool by_callbacks = st->has.task.race_by_callbacks;
    PyObject *loop = race_get(race, RACE_LOOP);
    PyObject *registered = by_callbacks ? new_event(st) : NULL;
    PyObject *task = NULL, *callback = NULL;
    int result = -1;
    AwaitObject *entrant = by_callbacks && registered == NULL
                               ? NULL
                               : ouro_await_new(st, &entrant_kind, loop);
    if (entrant == NULL) {
        goto done;
    }
    entrant->a = Py_NewRef(race);
    entrant->b = Py_XNewRef(previous_failed);
    entrant->c = Py_XNewRef(registered);
    task = PyObject_CallMethodOneArg(loop, st->str.create_task,
                                     (PyObject *)entrant);
    Py_DECREF(entrant);
    if (task == NULL) {
        goto done;
    }
    if (!by_callbacks) {
        result = PyList_Append(race_get(race, RACE_TASKS), task);
        goto done;
    }
    callback = PyCFunction_New(&task_done_def, race);
    if (callback == NULL
        || edge(st, "future_add_to_awaited_by", task, race) < 0
        || PySet_Add(race_get(race, RACE_TASKS), task) < 0) {
        goto done;
    }
    PyObject *added =
        PyObject_CallMethodOneArg(task, st->str.add_done_callback, callback);
    Py_XDECREF(added);
    result = added == NULL ? -1 : set_event(registered);
done:
    if (result < 0 && task != NULL) {
        abandon_entrant(st, race, task);
    }
    Py_XDECREF(registered);
    Py_XDECREF(task);
    Py_XDECREF(callback);
    return result;
}

/* await event.wait() */
static PyObject *
wait_for_event(PyObject *event)
{
    return PyObject_CallMethod(event, "wait", NULL);
}

/* await wait_for(previous_failed.wait(), delay) */
static await_status
entrant_wait(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *wait = wait_for_event(self->b);
    if (wait == NULL) {
        return AWAIT_ERROR;
    }
    self->step = ENTRANT_ITS_TURN;
    *ret = PyObject_CallMethod(st->stock.tasks, "wait_for", "OO", wait,
                               race_get(self->a, RACE_DELAY));
    Py_DECREF(wait);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* The entrant's own coroutine has failed. */
static await_status
entrant_failed(AwaitObject *self, PyObject **ret)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit)
        || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result =
        PyList_SetItem(race_get(self->a, RACE_EXCEPTIONS), self->n, exception);
    if (result < 0 || set_event(self->b) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

/* Take the next function, start the task of the one after it, begin. */
static await_status
entrant_begin(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *race = self->a;
    PyObject *pair = PyIter_Next(race_get(race, RACE_ENTRANTS));
    if (pair == NULL) {
        *ret = PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
    await_status status = AWAIT_ERROR;
    PyObject *exceptions = race_get(race, RACE_EXCEPTIONS);
    PyObject *failed = new_event(st);
    self->n = PyLong_AsSsize_t(PyTuple_GET_ITEM(pair, 0));
    Py_XSETREF(self->b, failed);
    if (failed != NULL && start_entrant(st, race, failed) == 0
        && PyList_Append(exceptions, Py_None) == 0) {
        self->step = ENTRANT_RUNNING;
        *ret = PyObject_CallNoArgs(PyTuple_GET_ITEM(pair, 1));
        status = *ret == NULL ? entrant_failed(self, ret) : AWAIT_DELEGATE;
    }
    Py_DECREF(pair);
    return status;
}

/* All others need not run any more.  (A task that is cancelled by itself
 * would not know whether it is.) */
static int
cancel_others(ouro_state *st, AwaitObject *self)
{
    PyObject *race = self->a;
    PyObject *own = current_task(st, race);
    int result = own == NULL ? -1 : cancel_tasks(st, race, own, NULL);
    Py_XDECREF(own);
    return result;
}

static await_status
entrant_won(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *index = PyLong_FromSsize_t(self->n);
    if (index == NULL) {
        return AWAIT_ERROR;
    }
    if (st->has.streams.asserts && race_get(self->a, RACE_WINNER) != Py_None) {
        Py_DECREF(index);
        PyErr_SetNone(PyExc_AssertionError);
        return AWAIT_ERROR;
    }
    race_set(self->a, RACE_WINNER, index);
    race_set(self->a, RACE_RESULT, Py_NewRef(self->value));
    *ret = cancel_others(st, self) < 0 ? NULL : Py_NewRef(Py_None);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
entrant_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    switch (self->step) {
    case ENTRANT_START:
        if (self->c != NULL) {
            self->step = ENTRANT_REGISTERED;
            *ret = wait_for_event(self->c);
            return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
        }
        /* fallthrough */
    case ENTRANT_REGISTERED:
        if (self->b != NULL) {
            return entrant_wait(st, self, ret);
        }
        /* fallthrough */
    case ENTRANT_ITS_TURN:
        return entrant_begin(st, self, ret);
    default:
        return entrant_won(st, self, ret);
    }
}

static await_status
entrant_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (self->step == ENTRANT_RUNNING) {
        return entrant_failed(self, ret);
    }
    if (self->step == ENTRANT_ITS_TURN
        && PyErr_ExceptionMatches(st->stock.TimeoutError)) {
        PyErr_Clear();
        return entrant_begin(st, self, ret);
    }
    return AWAIT_ERROR;
}

static const await_kind entrant_kind = {
    .name = "run_one_coro",
    .qualname = "staggered_race.<locals>.run_one_coro",
    .poll = entrant_poll,
    .abort = entrant_abort,
};

/* ---- the race ---------------------------------------------------------- */

/* The body's fields: a the race; b what must be raised when all is over. */
enum { STEP_START, STEP_WAITING };

static await_status
race_result(PyObject *race, PyObject **ret)
{
    *ret = PyTuple_Pack(3, race_get(race, RACE_RESULT),
                        race_get(race, RACE_WINNER),
                        race_get(race, RACE_EXCEPTIONS));
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

/* How the wait() variant ends, in any case: no task is left running.  An
 * exception that is set stays. */
static await_status
leave_waiting(ouro_state *st, AwaitObject *self, await_status status,
              PyObject **ret)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (cancel_tasks(st, self->a, NULL, NULL) < 0) {
        Py_XDECREF(exception);
        if (status == AWAIT_RETURN) {
            Py_CLEAR(*ret);
        }
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(exception);
    return status;
}

/* Raise what a task has ended with: a defect of its function's. 0 or -1. */
static int
check_done(ouro_state *st, PyObject *done)
{
    PyObject *all = PySequence_List(done);
    int result = all == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(all); i++) {
        PyObject *task = PyList_GET_ITEM(all, i);
        int cancelled = ouro_anyfuture_cancelled(st, task);
        if (cancelled != 0) {
            result = cancelled < 0 ? -1 : 0;
            continue;
        }
        PyObject *exception = ouro_anyfuture_exception(st, task);
        if (exception != NULL && exception != Py_None) {
            ouro_raise(exception);
        }
        result = exception == Py_None ? 0 : -1;
        Py_XDECREF(exception);
    }
    Py_XDECREF(all);
    return result;
}

/* wait() has returned (done, pending). */
static await_status
race_waited(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *tasks = race_get(self->a, RACE_TASKS);
    Py_ssize_t count = 0;
    if (self->value != NULL && self->step == STEP_WAITING) {
        PyObject *done = PySequence_GetItem(self->value, 0);
        count = done == NULL ? -1 : PyObject_Size(done);
        bool failed =
            count < 0 || (st->has.streams.asserts && check_done(st, done) < 0);
        Py_XDECREF(done);
        if (failed) {
            return leave_waiting(st, self, AWAIT_ERROR, ret);
        }
    }
    self->step = STEP_WAITING;
    if (count == PyList_GET_SIZE(tasks)) {
        return leave_waiting(st, self, race_result(self->a, ret), ret);
    }
    *ret = PyObject_CallMethod(st->stock.tasks, "wait", "O", tasks);
    return *ret == NULL ? leave_waiting(st, self, AWAIT_ERROR, ret)
                        : AWAIT_DELEGATE;
}

/* ExceptionGroup("staggered race failed", unhandled) */
static await_status
raise_unhandled(ouro_state *st, PyObject *race)
{
    PyObject *group = PyObject_CallFunction(st->stock.ExceptionGroup, "sO",
                                            "staggered race failed",
                                            race_get(race, RACE_UNHANDLED));
    if (group != NULL) {
        ouro_raise(group);
        Py_DECREF(group);
    }
    return AWAIT_ERROR;
}

/* By callbacks: wait until no task is left. */
static await_status
race_go_on(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *race = self->a;
    self->step = STEP_WAITING;
    race_set(race, RACE_COMPLETED, Py_NewRef(Py_None));
    if (PySet_GET_SIZE(race_get(race, RACE_TASKS)) > 0) {
        PyObject *completed = PyObject_CallMethodNoArgs(
            race_get(race, RACE_LOOP), st->str.create_future);
        if (completed == NULL) {
            return AWAIT_ERROR;
        }
        race_set(race, RACE_COMPLETED, Py_NewRef(completed));
        *ret = completed;
        return AWAIT_DELEGATE;
    }
    if (st->has.streams.asserts
        && PyList_GET_SIZE(race_get(race, RACE_UNHANDLED)) > 0) {
        return raise_unhandled(st, race);
    }
    PyObject *cancelled = race_get(race, RACE_CANCELLED);
    if (cancelled != Py_None) {
        ouro_raise(cancelled);
        race_set(race, RACE_CANCELLED, Py_NewRef(Py_None));
        return AWAIT_ERROR;
    }
    return race_result(race, ret);
}

static await_status
race_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *race = self->a;
    PyObject *loop = race_get(race, RACE_LOOP);
    int given = PyObject_IsTrue(loop);
    if (given == 0) {
        loop = PyObject_CallMethod(st->stock.events, "get_running_loop", NULL);
        if (loop != NULL) {
            race_set(race, RACE_LOOP, loop);
        }
    }
    PyObject *entrants =
        given < 0 || loop == NULL
            ? NULL
            : PyObject_CallOneArg((PyObject *)&PyEnum_Type,
                                  race_get(race, RACE_ENTRANTS));
    if (entrants == NULL) {
        return AWAIT_ERROR;
    }
    race_set(race, RACE_ENTRANTS, entrants);
    if (!st->has.task.race_by_callbacks) {
        return start_entrant(st, race, NULL) < 0 ? AWAIT_ERROR
                                                 : race_waited(st, self, ret);
    }
    PyObject *parent = current_task(st, race);
    if (parent == NULL) {
        return AWAIT_ERROR;
    }
    race_set(race, RACE_PARENT, parent);
    return start_entrant(st, race, NULL) < 0 ? AWAIT_ERROR
                                             : race_go_on(st, self, ret);
}

static await_status
race_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (self->step == STEP_START) {
        return race_start(st, self, ret);
    }
    return st->has.task.race_by_callbacks ? race_go_on(st, self, ret)
                                          : race_waited(st, self, ret);
}

static await_status
race_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (!st->has.task.race_by_callbacks) {
        return leave_waiting(st, self, AWAIT_ERROR, ret);
    }
    if (!PyErr_ExceptionMatches(st->stock.CancelledError)) {
        return AWAIT_ERROR;
    }
    /* The cancellation goes to all tasks first, and then on. */
    PyObject *cancelled = PyErr_GetRaisedException();
    PyObject *args = PyObject_GetAttrString(cancelled, "args");
    race_set(self->a, RACE_CANCELLED, cancelled);
    int result = args == NULL ? -1 : cancel_tasks(st, self->a, NULL, args);
    Py_XDECREF(args);
    return result < 0 ? AWAIT_ERROR : race_go_on(st, self, ret);
}

static const await_kind race_kind = {
    .name = "staggered_race",
    .qualname = "staggered_race",
    .poll = race_poll,
    .abort = race_abort,
};

/* ---- staggered_race() -------------------------------------------------- */

static PyObject *
new_race(ouro_state *st, PyObject *entrants, PyObject *delay, PyObject *loop)
{
    PyObject *race = PyList_New(RACE_PLACES);
    if (race == NULL) {
        return NULL;
    }
    for (int i = 0; i < RACE_PLACES; i++) {
        PyList_SET_ITEM(race, i, Py_NewRef(Py_None));
    }
    race_set(race, RACE_ENTRANTS, Py_NewRef(entrants));
    race_set(race, RACE_DELAY, Py_NewRef(delay));
    race_set(race, RACE_LOOP, Py_NewRef(loop == NULL ? Py_None : loop));
    race_set(race, RACE_MODULE, Py_NewRef(st->module));
    PyObject *exceptions = PyList_New(0);
    PyObject *unhandled = PyList_New(0);
    PyObject *tasks =
        st->has.task.race_by_callbacks ? PySet_New(NULL) : PyList_New(0);
    if (exceptions == NULL || unhandled == NULL || tasks == NULL) {
        Py_XDECREF(exceptions);
        Py_XDECREF(unhandled);
        Py_XDECREF(tasks);
        Py_DECREF(race);
        return NULL;
    }
    race_set(race, RACE_EXCEPTIONS, exceptions);
    race_set(race, RACE_UNHANDLED, unhandled);
    race_set(race, RACE_TASKS, tasks);
    return race;
}

static PyObject *
staggered_race(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "staggered_race",
        .positional = 2,
        .required = 2,
        .names = {"coro_fns", "delay", "loop"},
    };
    PyObject *a[3];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_module_state(module);
    PyObject *race = new_race(st, a[0], a[1], a[2]);
    AwaitObject *self =
        race == NULL ? NULL : ouro_await_new(st, &race_kind, NULL);
    if (self == NULL) {
        Py_XDECREF(race);
        return NULL;
    }
    self->a = race;
    return (PyObject *)self;
}

#define RACE_DOC(signature)                                                   \
    "staggered_race" signature "\n--\n\n"                                     \
    "Run coroutine functions with staggered start times and take the first\n" \
    "to finish.\n\n"                                                          \
    "The next one is started when the last one has failed, or after "         \
    "`delay`\n"                                                               \
    "seconds (None: never). Returns (result, index, exceptions); the "        \
    "first\n"                                                                 \
    "two are None if all have failed."

static const ouro_async_def functions[] = {
    {"staggered_race", staggered_race,
     RACE_DOC("(coro_fns, delay, *, loop=None)")},
    {NULL, NULL, NULL},
};

static const ouro_async_def functions_3_11[] = {
    {"staggered_race", staggered_race,
     RACE_DOC("(coro_fns: typing.Iterable[typing.Callable[[], "
              "typing.Awaitable]], delay: typing.Optional[float], *, loop: "
              "asyncio.events.AbstractEventLoop = None) -> typing.Tuple["
              "typing.Any, typing.Optional[int], typing.List["
              "typing.Optional[Exception]]]")},
    {NULL, NULL, NULL},
};

int
ouro_staggered_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_async_functions(
        st, module, st->has.minor < 13 ? functions_3_11 : functions);
}
