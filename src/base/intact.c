/* intact.c - compares a class with the snapshot of it. */
#include "base/intact.h"

/* The attributes of the class and its bases, the root of all left out. */
int
ouro_intact_init(ouro_intact *intact, PyTypeObject *type)
{
    intact->type = type;
    intact->version = 0;
    intact->same = false;
    intact->made = PyDict_New();
    if (intact->made == NULL) {
        return -1;
    }
    PyObject *mro = type->tp_mro;
    for (Py_ssize_t i = PyTuple_GET_SIZE(mro) - 2; i >= 0; i--) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (PyDict_Update(intact->made, base->tp_dict) < 0) {
            return -1;
        }
    }
    return 0;
}

bool
ouro_intact_compare(ouro_intact *intact)
{
    PyObject *name, *value;
    Py_ssize_t position = 0;
    intact->same = true;
    while (PyDict_Next(intact->made, &position, &name, &value)) {
        if (_PyType_Lookup(intact->type, name) != value) {
            intact->same = false;
        }
    }
    /* The look-ups have given the type a new tag, if it can have one. */
    intact->version = intact->type->tp_version_tag;
    return intact->same;
}
