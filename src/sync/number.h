/* number.h - counters that are Python numbers: _value, _maxsize, ...
 *
 * asyncio takes what supports the arithmetic: Semaphore(1.5) works, and
 * Queue(maxsize="a") fails at the first comparison.  Ints that fit are
 * counted in C, everything else with the operators of Python.
 */
#ifndef OURO_NUMBER_H
#define OURO_NUMBER_H

#include "base/ouro.h"

typedef struct ouro_number {
    long long n;      /* the value, if it is an int of moderate size */
    PyObject *object; /* the value otherwise, or NULL */
    bool set;         /* the attribute exists */
} ouro_number;

static inline bool
ouro_number_plain(const ouro_number *number)
{
    return number->object == NULL && number->set;
}

static inline void
ouro_number_set_int(ouro_number *number, long long n)
{
    number->n = n;
    number->set = true;
    Py_CLEAR(number->object);
}

/* value: any object. */
void ouro_number_set(ouro_number *number, PyObject *value);

/* A new reference; AttributeError if it is not set. */
PyObject *ouro_number_get(const ouro_number *number, PyObject *owner,
                          const char *name);

/* The truth of `number op n` (op: Py_LT, ...), or -1. */
int ouro_number_compare(const ouro_number *number, long long n, int op);

/* The truth of `n >= number`, or -1. */
int ouro_number_reached(const ouro_number *number, long long n);

/* number += 1, number -= 1. */
int ouro_number_increment(ouro_number *number);
int ouro_number_decrement(ouro_number *number);

/* The body of a tp_getset setter for it. */
int ouro_number_assign(ouro_number *number, PyObject *value, const char *name);

#endif
