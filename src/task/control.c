/* control.c - module functions about the task room itself.
 *
 * They are private: install() tells that it is in force, and the tests ask
 * whether the fast path was taken.
 */
#include "base/ouro.h"
#include "base/rooms.h"

PyDoc_STRVAR(set_installed_doc, "_set_installed(installed, /)\n--\n\n\
Note whether install() is in force (then our futures show their own\n\
__class__).");

static PyObject *
control_set_installed(PyObject *module, PyObject *installed)
{
    int truth = PyObject_IsTrue(installed);
    if (truth < 0) {
        return NULL;
    }
    ouro_module_state(module)->installed = truth;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fast_steps_doc, "_fast_steps()\n--\n\n\
The number of task steps so far that the engine ran directly.");

static PyObject *
control_fast_steps(PyObject *module, PyObject *unused)
{
    return PyLong_FromUnsignedLongLong(ouro_module_state(module)->fast_steps);
}

static PyMethodDef control_functions[] = {
    {"_set_installed", control_set_installed, METH_O, set_installed_doc},
    {"_fast_steps", control_fast_steps, METH_NOARGS, fast_steps_doc},
    {NULL},
};

int
ouro_control_setup(PyObject *module, ouro_state *st)
{
    return PyModule_AddFunctions(module, control_functions);
}
