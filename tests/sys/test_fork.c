/* The mark that tells the child of a fork. */
#include <sys/wait.h>

#include "check.h"
#include "sys/fork.h"

static bool
forked_in_a_child(const ou_fork_mark *mark)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        bool in_child = ou_forked(mark);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            _exit(ou_forked(mark) ? 0 : 1);
        }
        int status = -1;
        waitpid(grandchild, &status, 0);
        _exit(in_child && status == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status == 0;
}

TEST(true_in_children_alone)
{
    ou_fork_mark mark;
    ou_fork_mark_set(&mark);
    CHECK(mark.here != NULL); /* Linux has had this since 4.14 */
    CHECK(!ou_forked(&mark));
    CHECK(forked_in_a_child(&mark));
    CHECK(!ou_forked(&mark));
    ou_fork_mark_free(&mark);
}

TEST(without_the_kernels_help)
{
    ou_fork_mark mark = {.here = NULL, .pid = getpid()};
    CHECK(!ou_forked(&mark));
    CHECK(forked_in_a_child(&mark));
    ou_fork_mark_free(&mark);
}

TEST(a_mark_set_in_the_child_is_the_childs)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ou_fork_mark mark;
        ou_fork_mark_set(&mark);
        bool right = !ou_forked(&mark) && forked_in_a_child(&mark);
        ou_fork_mark_free(&mark);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQUAL(status, 0);
}

int
main(void)
{
    RUN(true_in_children_alone);
    RUN(without_the_kernels_help);
    RUN(a_mark_set_in_the_child_is_the_childs);
    return check_report();
}
