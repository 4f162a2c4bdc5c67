/* compat.h - the one place that knows which CPython this is compiled for.
 *
 * Layouts and spellings of the C API only.  What asyncio does differently is a
 * matter of the Python that runs, and stands in features.h.
 */
#ifndef OURO_COMPAT_H
#define OURO_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>

#if PY_VERSION_HEX < 0x030b0000
#    error "ouro needs CPython 3.11 or newer"
#endif

/* For functions that are rarely called: not inlined, and placed apart from hot
 * code. */
#define OURO_COLD __attribute__((cold, noinline))
#define OURO_RARE __attribute__((cold)) /* the same for inline functions */

/* 3.12 has the *_exception pairs; 3.11 the triples. */
#if PY_VERSION_HEX < 0x030c0000

/* The current exception, owned and with its traceback set, or NULL; it is
 * no longer current. */
static inline OURO_RARE PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

/* Makes an exception current; steals the reference. */
static inline OURO_RARE void
PyErr_SetRaisedException(PyObject *exception)
{
    if (exception == NULL) {
        PyErr_Restore(NULL, NULL, NULL);
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
}

static inline PyCodeObject *
PyGen_GetCode(PyGenObject *generator)
{
    return (PyCodeObject *)Py_NewRef(generator->gi_code);
}

#endif

#if PY_VERSION_HEX < 0x030d0000

#    define PyLong_AsInt _PyLong_AsInt

typedef _PyCFunctionFastWithKeywords PyCFunctionFastWithKeywords;

static inline int
PyObject_GetOptionalAttr(PyObject *object, PyObject *name, PyObject **ret)
{
    return _PyObject_LookupAttr(object, name, ret);
}

static inline int
PyDict_GetItemRef(PyObject *dict, PyObject *key, PyObject **ret)
{
    *ret = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    if (*ret != NULL) {
        return 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

static inline int
PyWeakref_GetRef(PyObject *reference, PyObject **ret)
{
    PyObject *object = PyWeakref_GetObject(reference);
    if (object == NULL) {
        *ret = NULL;
        return -1;
    }
    *ret = object == Py_None ? NULL : Py_NewRef(object);
    return *ret != NULL;
}

static inline Py_hash_t
Py_HashPointer(const void *pointer)
{
    return _Py_HashPointer(pointer);
}

static inline int
Py_IsFinalizing(void)
{
    return _Py_IsFinalizing();
}

static inline PyObject *
PyList_GetItemRef(PyObject *list, Py_ssize_t index)
{
    return Py_XNewRef(PyList_GetItem(list, index));
}

#endif

/* Whether dicts have a version tag, which changes with each change; from 3.12
 * on they can be watched instead. */
#if PY_VERSION_HEX < 0x030c0000
#    define OURO_DICT_VERSIONS 1
#else
#    define OURO_DICT_VERSIONS 0
#endif

/* The dict of the thread's state, borrowed, or NULL: it has none yet. */
static inline PyObject *
ouro_thread_dict(void)
{
#if PY_VERSION_HEX < 0x030e0000
    return PyThreadState_Get()->dict;
#else
    return PyThreadState_GetDict();
#endif
}

/* The __dict__ that an object of ours is born with, an empty one: 3.11's
 * interpreter does not specialize method calls on an object that has not got
 * one yet.  Later ones do; there it is made when it is needed. 0 or -1. */
static inline int
ouro_dict_at_birth(PyObject **dict)
{
#if PY_VERSION_HEX < 0x030c0000
    *dict = PyDict_New();
    return *dict == NULL ? -1 : 0;
#else
    return 0;
#endif
}

/* The code object of the Python frame on top of this thread (borrowed), and
 * the offset in bytes of its current instruction.  NULL: there is no frame, or
 * its execution is observed, by a trace function or by sys.monitoring (which
 * marks the code for good).  Always NULL on 3.11, where SEND uses am_send and
 * nobody needs to know. */
static inline PyCodeObject *
ouro_unwatched_code(int *ret_offset)
{
#if PY_VERSION_HEX < 0x030c0000
    return NULL;
#else
    PyThreadState *thread = PyThreadState_Get();
#    if PY_VERSION_HEX < 0x030d0000
    struct _PyInterpreterFrame *frame = thread->cframe->current_frame;
#    else
    struct _PyInterpreterFrame *frame = thread->current_frame;
#    endif
    if (frame == NULL || thread->c_tracefunc != NULL) {
        return NULL;
    }
    PyCodeObject *code =
        (PyCodeObject *)PyUnstable_InterpreterFrame_GetCode(frame);
    Py_DECREF(code); /* the frame has it */
    if (!PyCode_Check(code) || code->_co_monitoring != NULL) {
        return NULL;
    }
    *ret_offset = PyUnstable_InterpreterFrame_GetLasti(frame);
    return code;
#endif
}

/* Whether a coroutine (of exactly that type) certainly has not begun; from
 * 3.14 on its state is hidden. */
static inline bool
ouro_coroutine_is_new(PyObject *coroutine)
{
#if PY_VERSION_HEX < 0x030d0000
    return ((PyCoroObject *)coroutine)->cr_frame_state == -2;
#elif PY_VERSION_HEX < 0x030e0000
    return ((PyCoroObject *)coroutine)->cr_frame_state == -3;
#else
    return false;
#endif
}

/* Give a freed object, which owns nothing, its next life. */
static inline void
ouro_revive(PyObject *object, PyTypeObject *type)
{
#if defined(Py_REF_DEBUG) || defined(Py_TRACE_REFS)
    PyObject_Init(object, type);
#else
    Py_SET_TYPE(object, (PyTypeObject *)Py_NewRef((PyObject *)type));
    Py_SET_REFCNT(object, 1);
#endif
}

/* A reused object must not carry the collector's "finalized" mark over to
 * its next life: the word before the object that holds it. */
static inline void
ouro_gc_forget_finalized(PyObject *object)
{
    ((uintptr_t *)object)[-1] = 0;
}

/* The definition and the state of a module are needed several times in each
 * await: here by two loads, where CPython's functions are two calls. */
#if PY_VERSION_HEX < 0x030f0000
typedef struct ouro_module_head {
    PyObject_HEAD
    PyObject *dict;
    PyModuleDef *def;
    void *state;
} ouro_module_head;

#    define OURO_MODULE_DEF(module)   (((ouro_module_head *)(module))->def)
#    define OURO_MODULE_STATE(module) (((ouro_module_head *)(module))->state)
#else
#    define OURO_MODULE_DEF(module)   PyModule_GetDef(module)
#    define OURO_MODULE_STATE(module) PyModule_GetState(module)
#endif

/* Declared again as cold: so the compiler takes every branch that ends in an
 * exception for an unlikely one. */
PyAPI_FUNC(void) PyErr_SetString(PyObject *, const char *) OURO_COLD;
PyAPI_FUNC(PyObject *) PyErr_Format(PyObject *, const char *, ...) OURO_COLD;
PyAPI_FUNC(PyObject *) PyErr_NoMemory(void) OURO_COLD;
PyAPI_FUNC(void) PyErr_WriteUnraisable(PyObject *) OURO_COLD;

/* The bytes of an object that nobody else has are about to change. */
static inline void
ouro_bytes_forget_hash(PyObject *bytes)
{
    /* clang-format off */
    _Py_COMP_DIAG_PUSH
    _Py_COMP_DIAG_IGNORE_DEPR_DECLS
    ((PyBytesObject *)bytes)->ob_shash = -1;
    _Py_COMP_DIAG_POP
    /* clang-format on */
}

/* Whether current tasks live in the thread's state. */
#if PY_VERSION_HEX >= 0x030e0000
#    define OURO_TASKS_PER_THREAD 1
#else
#    define OURO_TASKS_PER_THREAD 0
#endif

#endif
