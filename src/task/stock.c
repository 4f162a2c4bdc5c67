/* stock.c - what the running asyncio's futures and tasks do (base/probe.h). */
#include "base/ouro.h"
#include "base/probe.h"
#include "base/rooms.h"

static bool
futures(const char *path, const char *word)
{
    return ouro_probe("asyncio.futures", path, word);
}

static bool
tasks(const char *path, const char *word)
{
    return ouro_probe("asyncio.tasks", path, word);
}

static bool
group(const char *method, const char *word)
{
    return ouro_probe("asyncio.taskgroups", method, word);
}

/* What leaves a TaskGroup is decided in one function or in two. */
static bool
group_exit(const char *word)
{
    return group("TaskGroup.__aexit__", word)
           || group("TaskGroup._aexit", word);
}

static void
find_future_features(ouro_features *has)
{
    ouro_task_features *task = &has->task;
    has->wraps_stopiteration =
        futures("_PyFuture.set_exception", "RuntimeError");
    task->refuses_second_init = futures("_PyFuture.__init__", "RuntimeError");
    task->chain_asks_running_loop =
        futures("_chain_future", "_get_running_loop");
    task->chain_snapshots = futures("_copy_future_state", "_get_snapshot");
    task->convert_keeps_traceback =
        futures("_convert_future_exc", "with_traceback");
    task->convert_timeout = futures("_convert_future_exc", "TimeoutError");
}

static void
find_task_features(ouro_features *has)
{
    ouro_task_features *task = &has->task;
    has->uncancel_clears = tasks("_PyTask.uncancel", "_must_cancel");
    task->checks_context = tasks("_PyTask.__init__", "Context");
    task->quiet_after_failed_start = has->minor >= 15;
    task->create_kwargs = tasks("create_task", "kwargs");
    task->names_by_function = tasks("create_task", "_set_task_name");
    has->create_task_takes_name = !task->names_by_function;
    has->sleep_refuses_nan = tasks("sleep", "isnan");
    has->waitfor_is_timeout = tasks("wait_for", "timeouts");
    task->gather_on_running_loop = tasks("gather", "_get_running_loop");
    task->shield_forgets = tasks("shield", "_clear_awaited_by_callback");
    task->completed_object =
        ouro_probe_exists("asyncio.tasks", "_AsCompletedIterator");
    task->completed_restores =
        tasks("_AsCompletedIterator._wait_for_one", "_todo_left");
    task->factory_kwargs = tasks("eager_task_factory", "kwargs");
    task->factory_eager_start = tasks("eager_task_factory", "eager_start");
    task->race_by_callbacks =
        ouro_probe("asyncio.staggered", "staggered_race", "on_completed_fut");
    task->wrapper_is_generator = has->minor < 12;
    task->iscoroutine_generators = has->minor < 12;
    task->deprecates_iscoroutinefunction =
        ouro_probe("asyncio.coroutines", "iscoroutinefunction", "_deprecated");
}

static void
find_group_features(ouro_features *has)
{
    ouro_task_features *task = &has->task;
    has->timeout_matches_subclasses =
        ouro_probe("asyncio.timeouts", "Timeout.__aexit__", "issubclass");
    has->group_matches_subclasses = group_exit("issubclass");
    has->group_uncancels_late = group_exit("cancelling");
    has->group_closes_refused = group("TaskGroup.create_task", "close");
    task->group_kwargs = group("TaskGroup.create_task", "kwargs");
    task->group_name = group("TaskGroup.create_task", "name");
    task->group_cancels_late = group("TaskGroup.create_task", "cancel");
    task->group_always_watches =
        task->group_cancels_late || !group("TaskGroup.create_task", "done");
    task->group_forgets =
        ouro_probe_exists("asyncio.taskgroups", "TaskGroup._aexit");
    task->group_cancel =
        ouro_probe_exists("asyncio.taskgroups", "TaskGroup.cancel");
    task->group_keeps_cancellation = group_exit("pending_cancellation_error");
    task->group_passes_exit = group_exit("GeneratorExit");
}

int
ouro_task_stock_setup(PyObject *module, ouro_state *st)
{
    find_future_features(&st->has);
    find_task_features(&st->has);
    find_group_features(&st->has);
    return 0;
}
