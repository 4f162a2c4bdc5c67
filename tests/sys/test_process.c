/* The ends of children: by pidfd and by thread. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"
#include "loop_fixture.h"
#include "sys/process.h"

typedef struct child {
    ou_process process;
    int refs;
    int code; /* what the reaping told */
    int result;
    bool ended;
} child;

static int ends;

static child *
child_of(ou_job *job)
{
    return PROBE_OF(job, child, process.io.in);
}

static int
child_run(ou_job *job)
{
    child *self = child_of(job);
    self->refs--;
    if (ou_process_take(&self->process)) {
        self->result = ou_process_reap(&self->process, &self->code);
        self->ended = true;
        ends++;
        ou_process_stop(&loop, &self->process);
    }
    return 0;
}

static void
child_drop(ou_job *job)
{
    child_of(job)->refs--;
}

static void
child_hold(ou_job *job)
{
    child_of(job)->refs++;
}

static const ou_job_kind child_kind = {
    .run = child_run,
    .drop = child_drop,
    .hold = child_hold,
    .visit = probe_visit,
};

typedef int (*starter)(ou_loop *, ou_process *, pid_t);

/* A child that ends by itself, or waits to be killed. */
static pid_t
spawn(int status)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        if (status < 0) {
            for (;;) {
                pause();
            }
        }
        _exit(status);
    }
    return pid;
}

static void
watch(child *self, pid_t pid, starter start)
{
    *self = (child){.code = -1000};
    ou_process_init(&self->process, &child_kind);
    CHECK_EQUAL(start(&loop, &self->process, pid), 0);
}

static void
wait_for_ends(int count)
{
    while (ends < count) {
        probe_wait_turn(&loop);
    }
}

static void
begin_watching(void)
{
    begin();
    ends = 0;
}

static void
tells_the_status(starter start)
{
    begin_watching();
    child seven, killed;
    watch(&seven, spawn(7), start);
    pid_t pid = spawn(-1);
    watch(&killed, pid, start);
    wait_for_ends(1);
    CHECK(seven.ended && !killed.ended);
    CHECK_EQUAL(seven.result, 0);
    CHECK_EQUAL(seven.code, 7);
    kill(pid, SIGKILL);
    wait_for_ends(2);
    CHECK_EQUAL(killed.result, 0);
    CHECK_EQUAL(killed.code, -SIGKILL);
    CHECK_EQUAL(seven.refs + killed.refs, 0);
    end();
}

TEST(status_by_pidfd)
{
    tells_the_status(ou_process_start);
}

TEST(status_by_thread)
{
    tells_the_status(ou_process_start_thread);
}

/* It has ended before anybody watches. */
static void
late(starter start)
{
    begin_watching();
    pid_t pid = spawn(3);
    siginfo_t info;
    REQUIRE(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    child self;
    watch(&self, pid, start);
    wait_for_ends(1);
    CHECK_EQUAL(self.code, 3);
    CHECK_EQUAL(self.refs, 0);
    end();
}

TEST(late_by_pidfd)
{
    late(ou_process_start);
}

TEST(late_by_thread)
{
    late(ou_process_start_thread);
}

/* Somebody else has reaped it, before or while it is watched. */
static void
reaped_elsewhere(starter start)
{
    begin_watching();
    child before, meanwhile;
    pid_t pid = spawn(0);
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    watch(&before, pid, start);
    wait_for_ends(1);
    CHECK_EQUAL(before.result, -ECHILD);
    pid = spawn(-1);
    watch(&meanwhile, pid, start);
    kill(pid, SIGTERM);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    wait_for_ends(2);
    CHECK_EQUAL(meanwhile.result, -ECHILD);
    CHECK_EQUAL(before.refs + meanwhile.refs, 0);
    end();
}

TEST(reaped_elsewhere_by_pidfd)
{
    reaped_elsewhere(ou_process_start);
}

TEST(reaped_elsewhere_by_thread)
{
    reaped_elsewhere(ou_process_start_thread);
}

/* Noted first, and then reaped by somebody else. */
static void
noted(starter start)
{
    begin_watching();
    child self;
    pid_t pid = spawn(-1);
    watch(&self, pid, start);
    ou_process_note(&self.process);
    CHECK(!self.process.noted);
    kill(pid, SIGTERM);
    siginfo_t info;
    REQUIRE(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    ou_process_note(&self.process);
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    wait_for_ends(1);
    CHECK_EQUAL(self.result, 0);
    CHECK_EQUAL(self.code, -SIGTERM);
    CHECK_EQUAL(self.refs, 0);
    end();
}

TEST(noted_by_pidfd)
{
    noted(ou_process_start);
}

TEST(noted_by_thread)
{
    noted(ou_process_start_thread);
}

static void
many(starter start)
{
    enum { COUNT = 100 };
    static child children[COUNT];
    begin_watching();
    for (int i = 0; i < COUNT; i++) {
        watch(&children[i], spawn(i), start);
    }
    wait_for_ends(COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQUAL(children[i].code, i);
        CHECK_EQUAL(children[i].refs, 0);
    }
    end();
}

TEST(many_by_pidfd)
{
    many(ou_process_start);
}

TEST(many_by_thread)
{
    many(ou_process_start_thread);
}

/* A watch that is stopped, and one that the loop's end stops. */
static void
stopped(starter start)
{
    begin_watching();
    child one, two;
    pid_t pid_one = spawn(-1), pid_two = spawn(-1);
    watch(&one, pid_one, start);
    watch(&two, pid_two, start);
    ou_process_stop(&loop, &one.process);
    ou_process_stop(&loop, &one.process);
    CHECK_EQUAL(one.refs, 0);
    CHECK(!ou_process_take(&one.process));
    end();
    CHECK_EQUAL(two.refs, 0);
    ou_process_free(&two.process);
    CHECK_EQUAL(two.process.pidfd, -1);
    kill(pid_one, SIGKILL);
    kill(pid_two, SIGKILL);
    int status;
    CHECK_EQUAL(waitpid(pid_one, &status, 0), pid_one);
    CHECK_EQUAL(waitpid(pid_two, &status, 0), pid_two);
    CHECK_EQUAL(ends, 0);
}

TEST(stopped_by_pidfd)
{
    stopped(ou_process_start);
}

TEST(stopped_by_thread)
{
    stopped(ou_process_start_thread);
}

/* Stopped between its end and its job. */
static void
stopped_after_its_end(starter start)
{
    begin_watching();
    child self;
    pid_t pid = spawn(0);
    watch(&self, pid, start);
    siginfo_t info;
    REQUIRE(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    ou_loop_collect(&loop, ou_loop_wait(&loop, 1.0));
    ou_process_stop(&loop, &self.process);
    (void)ou_loop_dispatch(&loop);
    CHECK_EQUAL(ends, 0);
    end();
    CHECK_EQUAL(self.refs, 0);
    int status;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
}

TEST(stopped_after_its_end_by_pidfd)
{
    stopped_after_its_end(ou_process_start);
}

TEST(stopped_after_its_end_by_thread)
{
    stopped_after_its_end(ou_process_start_thread);
}

/* No descriptor is left: a thread takes over. */
TEST(without_descriptors)
{
    begin_watching();
    pid_t pid = spawn(5);
    struct rlimit before, none;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    child self;
    watch(&self, pid, ou_process_start);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_EQUAL(self.process.pidfd, -1);
    wait_for_ends(1);
    CHECK_EQUAL(self.code, 5);
    CHECK_EQUAL(self.refs, 0);
    end();
}

TEST(bad_arguments)
{
    begin_watching();
    child self = {0};
    ou_process_init(&self.process, &child_kind);
    CHECK_EQUAL(ou_process_start(&loop, &self.process, 0), -ESRCH);
    CHECK_EQUAL(ou_process_start_thread(&loop, &self.process, -1), -ESRCH);
    CHECK_EQUAL(self.refs, 0);
    end();
}

TEST(without_memory)
{
    begin_watching();
    pid_t pid = spawn(0);
    child self = {0};
    ou_process_init(&self.process, &child_kind);
    check_alloc_left = 0;
    int result = ou_process_start_thread(&loop, &self.process, pid);
    check_alloc_left = -1;
    CHECK_EQUAL(result, -ENOMEM);
    CHECK_EQUAL(self.refs, 0);
    CHECK(!ou_process_started(&self.process));
    CHECK_EQUAL(ou_process_start(&loop, &self.process, pid), 0);
    wait_for_ends(1);
    CHECK_EQUAL(self.code, 0);
    end();
}

/* In the child of a fork the watch is dead, and the parent's lives on. */
static void
forked(starter start)
{
    begin_watching();
    child self;
    pid_t pid = spawn(-1);
    watch(&self, pid, start);
    pid_t copy = fork();
    REQUIRE(copy >= 0);
    if (copy == 0) {
        child other = {0};
        ou_process_init(&other.process, &child_kind);
        bool refused = start(&loop, &other.process, getppid()) == -EBADF;
        ou_loop_close(&loop);
        ou_process_free(&self.process);
        _exit(refused && self.refs == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK_EQUAL(waitpid(copy, &status, 0), copy);
    CHECK_EQUAL(status, 0);
    kill(pid, SIGKILL);
    wait_for_ends(1);
    CHECK_EQUAL(self.code, -SIGKILL);
    CHECK_EQUAL(self.refs, 0);
    end();
}

TEST(forked_by_pidfd)
{
    forked(ou_process_start);
}

TEST(forked_by_thread)
{
    forked(ou_process_start_thread);
}

int
main(void)
{
    RUN(status_by_pidfd);
    RUN(status_by_thread);
    RUN(late_by_pidfd);
    RUN(late_by_thread);
    RUN(reaped_elsewhere_by_pidfd);
    RUN(reaped_elsewhere_by_thread);
    RUN(noted_by_pidfd);
    RUN(noted_by_thread);
    RUN(many_by_pidfd);
    RUN(many_by_thread);
    RUN(stopped_by_pidfd);
    RUN(stopped_by_thread);
    RUN(stopped_after_its_end_by_pidfd);
    RUN(stopped_after_its_end_by_thread);
    RUN(without_descriptors);
    RUN(bad_arguments);
    RUN(without_memory);
    RUN(forked_by_pidfd);
    RUN(forked_by_thread);
    return check_report();
}
