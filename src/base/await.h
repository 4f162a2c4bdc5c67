/* await.h - coroutines in C: what q.get() or lock.acquire() return.
 *
 * An AwaitObject is to a function of ours what a coroutine object is to an
 * `async def`: it has send/throw/close/__await__ and the cr_* attributes, is
 * a Coroutine to collections.abc, warns when it is never awaited, and cannot
 * be awaited twice.  Calling the function only makes it; its body runs at the
 * first send.
 *
 * A body is a small state machine of two functions.  poll() runs it from
 * where it stands (self->step) to its end or to where it must wait; abort()
 * is called instead when an exception is thrown in at the place where it
 * waits (a cancellation, or the error of what it waited for), and cleans up.
 *
 * Waiting is done on a real future (asyncio's or ours: anything with
 * _asyncio_future_blocking), or on another awaitable, whose result is then in
 * self->value.  A body that need not wait returns at once: no future is made.
 */
#ifndef OURO_AWAIT_H
#define OURO_AWAIT_H

#include "base/args.h"
#include "base/ouro.h"

typedef struct AwaitObject AwaitObject;

typedef enum await_status {
    AWAIT_ERROR = -1,   /* an exception is set: the body is finished */
    AWAIT_RETURN = 0,   /* *ret is the result (owned): the body is finished */
    AWAIT_FUTURE = 1,   /* *ret is a future (owned) to wait for; then poll()
                           with its result in self->value, or abort() with
                           its exception set */
    AWAIT_DELEGATE = 2, /* the same for any awaitable, e.g. a coroutine, which
                           is driven to its end */
    AWAIT_YIELD = 3,    /* give way for one turn, as a bare yield does */
} await_status;

typedef struct await_kind {
    const char *name;     /* "get" */
    const char *qualname; /* "Queue.get" */
    await_status (*poll)(AwaitObject *self, PyObject **ret);
    /* The exception is set.  To let it pass: clean up, return AWAIT_ERROR
     * with it (or another) set.  May also swallow it and return as poll()
     * does.  NULL: there is nothing to clean up. */
    await_status (*abort)(AwaitObject *self, PyObject **ret);
    /* The body has owner and step, and no other field.  There is no value for
     * it; poll() and abort() have the future in ouro_await_parked(). For what
     * many tasks do at the same time: such a coroutine takes half the
     * memory. */
    bool small;
    /* While it waits for a future itself: the function in which asyncio's
     * would (which has a name, a qualname and this field only), for call
     * graphs.  NULL: in this one. */
    const struct await_kind *inside;
} await_kind;

/* Bodies use owner, a, b, c (owned references or NULL; the collector sees
 * them), n, deadline and step as they like; all start as zero.  The driver
 * holds the coroutine while it runs, and nobody clears the fields meanwhile:
 * what they hold may be borrowed across calls as long as the body itself does
 * not set them again. */
struct AwaitObject {
    PyObject_HEAD
    PyObject *owner;
    PyObject *waiting; /* what it waits for; a small one: has waited for */
    PyObject *weakrefs;
    int32_t kind; /* ouro_await_kind() */
    int16_t step;
    uint8_t state;       /* await.c's */
    bool small : 1;      /* it ends before `a` */
    bool on_future : 1;  /* `waiting` is an exact future of ours; else it is
                            an iterator, of a small one (iterator, object) */
    bool has_extras : 1; /* see coroutine_attrs.c */
    /* Not in a small one: */
    PyObject *a;
    PyObject *b;
    PyObject *c;
    PyObject *value; /* the result of what it waited for last */
    double deadline;
    Py_ssize_t n;
};

/* Kinds are static and lie in this module: how far from this one fits in 32
 * bits. */
extern const await_kind ouro_await_origin_kind;

static inline const await_kind *
ouro_await_kind(const AwaitObject *self)
{
    uintptr_t origin = (uintptr_t)&ouro_await_origin_kind;
    return (const await_kind *)(origin + (intptr_t)self->kind);
}

static inline void
ouro_await_set_kind(AwaitObject *self, const await_kind *kind)
{
    uintptr_t origin = (uintptr_t)&ouro_await_origin_kind;
    self->kind = (int32_t)((intptr_t)kind - (intptr_t)origin);
}

/* Whether it is a coroutine in C. */
static inline bool
ouro_await_check(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.Await
           || Py_TYPE(object) == st->types.SmallAwait;
}

/* The future that a small body has waited for, borrowed. */
PyObject *ouro_await_parked(AwaitObject *self);

/* A new coroutine whose body will run at its first send.  owner is taken a
 * reference of; may be NULL. */
AwaitObject *ouro_await_new(ouro_state *st, const await_kind *kind,
                            PyObject *owner);

/* The poll() of a body that says `return await owner`. */
await_status ouro_await_owner(AwaitObject *self, PyObject **ret);

/* What a method without parameters returns that has such a body; NULL: a
 * TypeError. */
static inline PyObject *
ouro_await_call(ouro_state *st, const await_kind *kind, PyObject *self,
                PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return ouro_parse_none(kind->qualname, args, nargs, kwnames) < 0
               ? NULL
               : (PyObject *)ouro_await_new(st, kind, self);
}

/* What self.__aexit__(type, value, traceback) returns: the body has the type
 * in a, the value in b. */
PyObject *ouro_await_exit(const await_kind *kind, PyObject *self,
                          const ouro_signature *signature,
                          PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);

/* What tp_iternext returns at the end of an await: NULL, with the value
 * (stolen) in a StopIteration, or if it is None with nothing. */
PyObject *ouro_await_end(ouro_state *st, PyObject *value);

/* Async methods and functions.  Adds to a type (or module) one descriptor
 * each, with METHOD_DESCRIPTOR and vectorcall, settable attributes, and the
 * mark by which asyncio.iscoroutinefunction() and inspect's know it. */
typedef struct ouro_async_def {
    const char *name;
    /* METH_FASTCALL | METH_KEYWORDS; checks the arguments alone and returns
     * an AwaitObject. For functions self is the module. */
    PyCFunctionFastWithKeywords call;
    const char *doc; /* with the text signature: "get($self, /)\n--\n\n..." */
} ouro_async_def;

int ouro_add_async_methods(ouro_state *st, PyTypeObject *type,
                           const ouro_async_def *methods);
int ouro_add_async_functions(ouro_state *st, PyObject *module,
                             const ouro_async_def *functions);

int ouro_await_setup(PyObject *module, ouro_state *st);
int ouro_asyncmethod_setup(PyObject *module, ouro_state *st);
int ouro_await_end_setup(PyObject *module, ouro_state *st);

#endif
