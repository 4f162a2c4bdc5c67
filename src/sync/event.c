/* event.c - asyncio.Event: a flag that tasks wait for.
 *
 * set() wakes all who wait, in the order of their coming.  Each takes itself
 * out of the line when its turn comes.
 */
#include "sync/event.h"

#include "base/rooms.h"

static EventObject *
as_event(PyObject *self)
{
    return (EventObject *)self;
}

static int
event_is_set(EventObject *event)
{
    return ouro_attribute_truth(event, event->value, "_value");
}

static int
event_wake_all(EventObject *event)
{
    ouro_ring_pass pass = ouro_ring_begin(&event->waiters);
    PyObject *fut;
    int result = 0;
    while (result >= 0 && (result = ouro_ring_next(&pass, &fut)) > 0) {
        result = ouro_waiter_wake(event->base.st, fut, Py_True);
        Py_DECREF(fut);
    }
    ouro_ring_end(&pass);
    return result < 0 ? -1 : 0;
}

int
ouro_event_set(EventObject *event)
{
    int set = event_is_set(event);
    if (set != 0) {
        return set < 0 ? -1 : 0;
    }
    Py_SETREF(event->value, Py_NewRef(Py_True));
    return event_wake_all(event);
}

/* ---- wait() ------------------------------------------------------------- */

static await_status
event_wait_poll(AwaitObject *self, PyObject **ret)
{
    EventObject *event = as_event(self->owner);
    if (self->step == STEP_WAITING) {
        if (ouro_ring_remove(event->base.st, &event->waiters,
                             ouro_await_parked(self))
            < 0) {
            return AWAIT_ERROR;
        }
    }
    else {
        int set = event_is_set(event);
        if (set == 0) {
            bool plain = ouro_plain(&event->base, &event->base.st->sync.Event);
            return ouro_park_await(self, plain, &event->waiters, ret);
        }
        if (set < 0) {
            return AWAIT_ERROR;
        }
    }
    *ret = Py_NewRef(Py_True);
    return AWAIT_RETURN;
}

static await_status
event_wait_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    EventObject *event = as_event(self->owner);
    PyObject *exception = PyErr_GetRaisedException();
    return ouro_handled(exception,
                        ouro_ring_remove(event->base.st, &event->waiters,
                                         ouro_await_parked(self)));
}

static const await_kind event_wait_kind = {
    "wait", "Event.wait", event_wait_poll, event_wait_abort, .small = true};

PyObject *
ouro_event_wait(EventObject *event)
{
    return (PyObject *)ouro_await_new(event->base.st, &event_wait_kind,
                                      (PyObject *)event);
}

static PyObject *
event_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    if (ouro_parse_none("Event.wait", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_event_wait(as_event(self));
}

static const ouro_async_def event_async_methods[] = {
    {"wait", event_wait,
     "wait($self)\n--\n\n"
     "Return True as soon as the flag is set: at once if it is."},
    {NULL},
};

/* ---- methods and attributes --------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Event.__init__", .skip_self = 1, .names = {NULL}};

static PyObject *
event_method_is_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    if (ouro_parse_none("Event.is_set", args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *value = as_event(self)->value;
    return value != NULL ? Py_NewRef(value)
                         : ouro_no_attribute(self, "_value");
}

static PyObject *
event_method_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    if (ouro_parse_none("Event.set", args, nargs, kwnames) < 0
        || ouro_event_set(as_event(self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
event_method_clear(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    if (ouro_parse_none("Event.clear", args, nargs, kwnames) < 0) {
        return NULL;
    }
    ouro_event_clear(as_event(self));
    Py_RETURN_NONE;
}

static PyMethodDef event_methods[] = {
    OURO_METHOD("is_set", event_method_is_set,
                "is_set($self)\n--\n\nReturn True if the flag is set."),
    OURO_METHOD("set", event_method_set,
                "set($self)\n--\n\n"
                "Set the flag and wake all who wait for it."),
    OURO_METHOD(
        "clear", event_method_clear,
        "clear($self)\n--\n\n"
        "Clear the flag: who calls wait() from now on waits for set()."),
    {NULL},
};

static PyObject *
event_get_waiters(PyObject *self, void *Py_UNUSED(closure))
{
    EventObject *event = as_event(self);
    return ouro_ring_share(event->base.st, &event->waiters);
}

static int
event_set_waiters(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    ouro_ring_assign(&as_event(self)->waiters, value);
    return 0;
}

static PyGetSetDef event_getset[] = {
    {"_waiters", event_get_waiters, event_set_waiters, NULL, NULL},
    {NULL},
};

static PyMemberDef event_members[] = {
    {"_value", T_OBJECT_EX, offsetof(EventObject, value), 0, NULL},
    {NULL},
};

static PyObject *
event_repr(PyObject *self)
{
    EventObject *event = as_event(self);
    int set = event_is_set(event);
    PyObject *extra =
        set < 0 ? NULL : PyUnicode_FromString(set ? "set" : "unset");
    return ouro_waiters_repr(event, event->base.st->types.Event, extra,
                             &event->waiters);
}

/* ---- life --------------------------------------------------------------- */

static int
event_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (ouro_parse_init(&init_signature, args, kwargs, NULL) < 0) {
        return -1;
    }
    ouro_ring_clear(&as_event(self)->waiters);
    ouro_event_clear(as_event(self));
    return 0;
}

PyObject *
ouro_event_new(ouro_state *st)
{
    PyObject *self = ouro_loop_bound_new(st->types.Event, NULL, NULL);
    if (self != NULL) {
        ouro_event_clear(as_event(self));
    }
    return self;
}

static int
event_traverse(PyObject *self, visitproc visit, void *arg)
{
    EventObject *event = as_event(self);
    Py_VISIT(event->value);
    int stop = ouro_ring_traverse(&event->waiters, visit, arg);
    return stop != 0 ? stop
                     : ouro_loop_bound_traverse(&event->base, visit, arg);
}

static int
event_clear(PyObject *self)
{
    EventObject *event = as_event(self);
    ouro_ring_clear(&event->waiters);
    Py_CLEAR(event->value);
    ouro_loop_bound_clear(&event->base);
    return 0;
}

PyDoc_STRVAR(event_doc, "Event()\n--\n\n\
A flag that tasks wait for.\n\n\
It starts cleared.  wait() returns once it is set; set() wakes all tasks\n\
that wait.");

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)event_doc},
    {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_init, event_init},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_repr, event_repr},
    {Py_tp_methods, event_methods},
    {Py_tp_getset, event_getset},
    {Py_tp_members, event_members},
    {0, NULL},
};

static PyType_Spec event_spec = {
    .name = "asyncio.locks.Event",
    .basicsize = sizeof(EventObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = event_slots,
};

int
ouro_event_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_primitive(module, &event_spec, false, NULL,
                           event_async_methods, &st->types.Event)
        < 0) {
        return -1;
    }
    return ouro_intact_init(&st->sync.Event, st->types.Event);
}
