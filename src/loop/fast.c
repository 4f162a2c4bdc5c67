/* fast.c - whether the loop still behaves as it was written.
 *
 * Patches of an instance are noticed when they are made (attrs.c), those of
 * the class by base/intact.h.
 */
#include "loop/loop.h"

bool
ouro_loop_plain(LoopObject *self)
{
    ouro_state *st = self->core.st;
    return Py_TYPE(self) == st->types.Loop && !self->patched && !self->exposed
           && ouro_intact_check(&st->loop_intact);
}

int
ouro_loop_method_intact(LoopObject *self, PyObject *name)
{
    if (ouro_loop_plain(self)) {
        return 1;
    }
    if (self->core.dict != NULL) {
        int hidden = PyDict_Contains(self->core.dict, name);
        if (hidden != 0) {
            return hidden < 0 ? -1 : 0;
        }
    }
    PyObject *ours =
        PyDict_GetItemWithError(self->core.st->stock.loop_attributes, name);
    if (ours == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return _PyType_Lookup(Py_TYPE(self), name) == ours;
}

void
ouro_loop_refresh(LoopObject *self)
{
    bool plain = ouro_loop_plain(self);
    self->core.fast = plain && self->core.opened && !self->closed
                      && !self->core.debug && self->ready == NULL
                      && self->scheduled == NULL;
    if (self->core.opened) {
        bool own_clock = plain && self->clock == NULL;
        self->core.engine.clock = own_clock ? NULL : ouro_loop_clock;
        self->core.engine.clock_arg = self;
    }
}
