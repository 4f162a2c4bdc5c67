/* unix.h - the files of Unix servers' sockets. */
#ifndef OURO_UNIX_H
#define OURO_UNIX_H

#include "base/ouro.h"

/* Before a listening socket is closed: is its file to be removed (3.13+)?
 * 1 with its path and inode (owned), 0 with NULLs, -1. */
int ouro_unix_forget(PyObject *loop, PyObject *sock, PyObject **ret_path,
                     PyObject **ret_inode);

/* Before a bind() to path: the socket of a server that is no more is
 * removed; what hinders that is logged. 0 or -1. */
int ouro_remove_stale_socket(ouro_state *st, PyObject *path);

/* Afterwards: remove it, if it is still the same. Consumes both, which may
 * be NULL. 0 or -1. */
int ouro_unix_remove(ouro_state *st, PyObject *path, PyObject *inode);

#endif
