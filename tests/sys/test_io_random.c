/* Watches whose owners do anything to each other, at any time. */
#include <errno.h>

#include "check.h"
#include "loop_fixture.h"

enum { OWNERS = 40 };

typedef struct owner {
    ou_io io;
    int refs; /* the engine's, and one of the table below */
    int peer; /* the other end */
    long sent;
    long received;
} owner;

static owner *owners[OWNERS];
static const ou_job_kind owner_in_kind;
static const ou_job_kind owner_out_kind;

static void
owner_release(owner *self)
{
    if (--self->refs == 0) {
        CHECK(!ou_io_started(&self->io));
        free(self);
    }
}

static void
owner_new(int i)
{
    int pair[2];
    make_pair(pair);
    owner *self = calloc(1, sizeof(owner));
    REQUIRE(self != NULL);
    ou_io_init(&self->io, &owner_in_kind, &owner_out_kind);
    self->refs = 1;
    self->peer = pair[1];
    REQUIRE(ou_io_start(&loop, &self->io, pair[0], (unsigned)rand() % 4,
                        rand() % 2 ? OU_EDGE : OU_LEVEL)
            == 0);
    owners[i] = self;
}

static void
owner_replace(int i)
{
    owner *old = owners[i];
    int fd = old->io.fd;
    int how = rand() % 3;
    if (how == 0) { /* too early */
        close(fd);
    }
    ou_io_stop(&loop, &old->io);
    if (how != 0) {
        close(fd);
    }
    close(old->peer);
    owner_release(old);
    owner_new(i); /* most likely by the same number */
}

static int
anything(void)
{
    for (int count = rand() % 3; count > 0; count--) {
        int i = rand() % OWNERS;
        owner *other = owners[i];
        switch (rand() % 8) {
        case 0:
            owner_replace(i);
            break;
        case 1:
        case 2:
        case 3:
            CHECK_EQUAL(ou_io_want(&loop, &other->io, (unsigned)rand() % 4),
                        0);
            break;
        default:
            other->sent += write(other->peer, "xyz", 3) == 3 ? 3 : 0;
            ou_loop_note_io(&loop);
        }
    }
    return rand() % 20 == 0 ? -1 : 0;
}

static int
owner_in_run(ou_job *job)
{
    owner *self = PROBE_OF(job, owner, io.in);
    char data[4];
    int result = 0;
    if (ou_io_take(&self->io, OU_IN)) {
        ssize_t n = ou_sock_recv(self->io.fd, data, sizeof(data));
        CHECK(n > 0 || n == -EAGAIN);
        self->received += n > 0 ? n : 0;
        if (n < (ssize_t)sizeof(data)) {
            ou_io_drained(&self->io, OU_IN);
        }
        else if (self->io.trigger == OU_EDGE) {
            ou_io_again(&loop, &self->io, OU_IN);
        }
        result = anything();
    }
    owner_release(self);
    return result;
}

static int
owner_out_run(ou_job *job)
{
    owner *self = PROBE_OF(job, owner, io.out);
    int result = 0;
    if (ou_io_take(&self->io, OU_OUT)) {
        result = anything();
    }
    owner_release(self);
    return result;
}

static void
owner_in_drop(ou_job *job)
{
    owner_release(PROBE_OF(job, owner, io.in));
}

static void
owner_in_hold(ou_job *job)
{
    PROBE_OF(job, owner, io.in)->refs++;
}

static void
owner_out_drop(ou_job *job)
{
    owner_release(PROBE_OF(job, owner, io.out));
}

static void
owner_out_hold(ou_job *job)
{
    PROBE_OF(job, owner, io.out)->refs++;
}

static const ou_job_kind owner_in_kind = {
    .run = owner_in_run,
    .drop = owner_in_drop,
    .hold = owner_in_hold,
};

static const ou_job_kind owner_out_kind = {
    .run = owner_out_run,
    .drop = owner_out_drop,
    .hold = owner_out_hold,
};

TEST(random_owners)
{
    srand(99);
    for (int run = 0; run < 5; run++) {
        begin();
        for (int i = 0; i < OWNERS; i++) {
            owner_new(i);
        }
        static probe push;
        push = probe_make('p', &loop);
        for (int step = 0; step < 5000; step++) {
            if (rand() % 4 == 0 && !ou_job_queued(&push.job)) {
                probe_push(&push); /* the queue in place of the array */
            }
            anything();
            (void)probe_turn(&loop);
            probe_forget();
        }
        /* No edge has been lost: all that was sent is found. */
        for (int i = 0; i < OWNERS; i++) {
            CHECK_EQUAL(ou_io_want(&loop, &owners[i]->io, OU_IN), 0);
            CHECK_EQUAL(write(owners[i]->peer, "!", 1) == 1, 1);
            owners[i]->sent++;
        }
        bool all = false;
        for (int step = 0; step < 100000 && !all; step++) {
            ou_loop_note_io(&loop);
            (void)probe_turn(&loop);
            all = true;
            for (int i = 0; i < OWNERS; i++) {
                ou_io_want(&loop, &owners[i]->io, OU_IN);
                all = all && owners[i]->sent == owners[i]->received;
            }
        }
        CHECK(all);
        int fds[OWNERS];
        for (int i = 0; i < OWNERS; i++) {
            fds[i] = owners[i]->io.fd;
            close(owners[i]->peer);
            if (i % 2) {
                ou_io_stop(&loop, &owners[i]->io);
            }
            owner_release(owners[i]);
        }
        end(); /* LeakSanitizer looks whether all are gone */
        for (int i = 0; i < OWNERS; i++) {
            close(fds[i]);
        }
    }
}

int
main(void)
{
    RUN(random_owners);
    return check_report();
}
