/* number.c - counts in C where it can, in Python where it must. */
#include "sync/number.h"

/* So far from the limits that no counting reaches them. */
#define LARGEST (1LL << 60)

void
ouro_number_set(ouro_number *number, PyObject *value)
{
    int overflow = 1;
    long long n = 0;
    if (PyLong_CheckExact(value)) {
        n = PyLong_AsLongLongAndOverflow(value, &overflow);
    }
    if (overflow == 0 && n < LARGEST && n > -LARGEST) {
        ouro_number_set_int(number, n);
        return;
    }
    number->set = true;
    Py_XSETREF(number->object, Py_NewRef(value));
}

PyObject *
ouro_number_get(const ouro_number *number, PyObject *owner, const char *name)
{
    if (!number->set) {
        return ouro_no_attribute(owner, name);
    }
    return number->object != NULL ? Py_NewRef(number->object)
                                  : PyLong_FromLongLong(number->n);
}

static int
compare_plain(long long a, long long b, int op)
{
    switch (op) {
    case Py_LT:
        return a < b;
    case Py_LE:
        return a <= b;
    case Py_EQ:
        return a == b;
    case Py_GT:
        return a > b;
    default:
        return a >= b;
    }
}

/* The truth of `left op right`. */
static int
compare_objects(PyObject *left, PyObject *right, int op)
{
    PyObject *result = PyObject_RichCompare(left, right, op);
    if (result == NULL) {
        return -1;
    }
    int truth = PyObject_IsTrue(result);
    Py_DECREF(result);
    return truth;
}

static int
compare_object(const ouro_number *number, long long n, int op, bool reached)
{
    PyObject *other = PyLong_FromLongLong(n);
    if (other == NULL) {
        return -1;
    }
    /* (A comparison in Python may set the number anew.) */
    PyObject *object = Py_NewRef(number->object);
    int truth = reached ? compare_objects(other, object, op)
                        : compare_objects(object, other, op);
    Py_DECREF(object);
    Py_DECREF(other);
    return truth;
}

int
ouro_number_compare(const ouro_number *number, long long n, int op)
{
    return number->object == NULL ? compare_plain(number->n, n, op)
                                  : compare_object(number, n, op, false);
}

int
ouro_number_reached(const ouro_number *number, long long n)
{
    return number->object == NULL ? n >= number->n
                                  : compare_object(number, n, Py_GE, true);
}

static int
count_object(ouro_number *number, binaryfunc operation)
{
    PyObject *one = PyLong_FromLong(1);
    if (one == NULL) {
        return -1;
    }
    PyObject *object = Py_NewRef(number->object);
    PyObject *result = operation(object, one);
    Py_DECREF(object);
    Py_DECREF(one);
    if (result == NULL) {
        return -1;
    }
    ouro_number_set(number, result);
    Py_DECREF(result);
    return 0;
}

int
ouro_number_increment(ouro_number *number)
{
    if (number->object != NULL) {
        return count_object(number, PyNumber_InPlaceAdd);
    }
    number->n++;
    return 0;
}

int
ouro_number_decrement(ouro_number *number)
{
    if (number->object != NULL) {
        return count_object(number, PyNumber_InPlaceSubtract);
    }
    number->n--;
    return 0;
}

int
ouro_number_assign(ouro_number *number, PyObject *value, const char *name)
{
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "cannot delete attribute '%s'",
                     name);
        return -1;
    }
    ouro_number_set(number, value);
    return 0;
}
