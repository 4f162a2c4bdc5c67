/* probe.h - what does the running asyncio do?  Look at its code.
 *
 * Some behaviour came and went within one minor version, so the version does
 * not tell.  What a function of asyncio's mentions does.
 */
#ifndef OURO_PROBE_H
#define OURO_PROBE_H

#include "base/compat.h"

#include <stdbool.h>

/* Whether the Python function at `path` in a module, say "Timeout.when" in
 * "asyncio.timeouts", mentions a word: a parameter, a variable, a global or
 * an attribute, in itself or in a function that it defines.  False where
 * there is no such function; never fails. */
bool ouro_probe(const char *module, const char *path, const char *word);

/* Whether it sets an attribute of this name, which it may mention anyway. */
bool ouro_probe_sets(const char *module, const char *path, const char *name);

/* Whether there is such an object at all. */
bool ouro_probe_exists(const char *module, const char *path);

#endif
