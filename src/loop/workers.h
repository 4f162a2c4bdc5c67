/* workers.h - the default executor of our own: threads that call functions.
 *
 * What concurrent.futures.ThreadPoolExecutor does, with a queue in C and
 * results that come back to the loop as jobs.
 */
#ifndef OURO_WORKERS_H
#define OURO_WORKERS_H

#include "base/ouro.h"
#include "sys/inbox.h"

/* threading.Thread(**keywords), started (owned); the keywords are stolen, and
 * NULL, with an exception set, gives NULL. */
PyObject *ouro_thread_start(ouro_state *st, PyObject *keywords);

/* A new pool of threads, none of them started yet. */
PyObject *ouro_workers_new(ouro_state *st);

/* Whether the pool can be used: it is not another process's. */
bool ouro_workers_usable(PyObject *workers);

/* Call func(*args, **kwargs) in one of the threads, within context (NULL: the
 * thread's own).  Returns a future of the result, on `loop`, which must be
 * fast and open.  args: a tuple; kwargs: a dict or NULL. */
PyObject *ouro_workers_submit(PyObject *workers, PyObject *loop,
                              PyObject *func, PyObject *args, PyObject *kwargs,
                              PyObject *context);

/* The result of a call has arrived in the loop. */
void ouro_workers_delivered(PyObject *workers);

/* Have the threads end once they have done what is queued. */
void ouro_workers_end(PyObject *workers);

/* The same, and wait for them. 0/-1. */
int ouro_workers_join(PyObject *workers);

int ouro_workers_setup(PyObject *module, ouro_state *st);
int ouro_calls_setup(PyObject *module, ouro_state *st);

/* ---- calls.c: what the threads do -------------------------------------- */

/* A call on its way into a thread and back; its job has a reference. */
ou_job *ouro_call_new(ouro_state *st, PyObject *loop, PyObject *future,
                      PyObject *func, PyObject *args, PyObject *kwargs,
                      PyObject *context);

/* The inbox of its loop; asked without the interpreter's lock. */
ou_inbox *ouro_call_inbox(ou_job *job);

/* Make the call, and store its result in the job.  Returns its loop (owned),
 * whose inbox has been entered: post the job there, then leave.  NULL: there
 * is nothing to post, and the job's reference has been dropped. */
PyObject *ouro_call_run(ouro_state *st, ou_job *job);

#endif
