/* fork.c - a mark that the child of a fork finds wiped (see fork.h). */
#include "sys/fork.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* One page, the least that can be wiped: the kernel rounds up. */
enum { MARK_SIZE = sizeof(bool) };

void
ou_fork_mark_set(ou_fork_mark *mark)
{
    mark->pid = getpid();
    mark->here = NULL;
    bool *page = mmap(NULL, MARK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return;
    }
    if (madvise(page, MARK_SIZE, MADV_WIPEONFORK) < 0) { /* before 4.14 */
        munmap(page, MARK_SIZE);
        return;
    }
    *page = true;
    mark->here = page;
}

void
ou_fork_mark_free(ou_fork_mark *mark)
{
    if (mark->here != NULL) {
        munmap((void *)mark->here, MARK_SIZE);
        mark->here = NULL;
    }
}

bool
ou_forked(const ou_fork_mark *mark)
{
    return mark->here != NULL ? !*mark->here : getpid() != mark->pid;
}
