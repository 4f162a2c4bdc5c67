/* Datagrams: single ones and batches, and the queue of those to be sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>

#include "check.h"
#include "loop_fixture.h"
#include "sys/dgram.h"

static int here, there; /* two sockets on the loopback interface */
static ou_address to_here, to_there;
static ou_dgram_queue queue;
static int released;

static void
release(void *owner)
{
    CHECK(owner == &released);
    released++;
}

static int
udp(ou_address *ret_address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    REQUIRE(fd >= 0);
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    REQUIRE(ou_address_of_socket(ret_address, fd) == 0);
    return fd;
}

static void
begin_pair(void)
{
    begin();
    here = udp(&to_here);
    there = udp(&to_there);
    queue = (ou_dgram_queue){.release = release};
    released = 0;
}

static void
end_pair(void)
{
    ou_dgram_queue_clear(&queue);
    close(here);
    close(there);
    end();
}

static void
readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    REQUIRE(poll(&poll_fd, 1, 5000) == 1);
}

/* A datagram with one number in it. */
static void
send_number(int number)
{
    CHECK_EQUAL(ou_dgram_send(there, &number, sizeof(number), &to_here), 0);
}

static bool
is_number(const ou_dgram *datagram, int number)
{
    int got;
    if (datagram->size != sizeof(got)) {
        return false;
    }
    memcpy(&got, datagram->data, sizeof(got));
    return got == number;
}

static bool
is_from(const ou_dgram *datagram, const ou_address *address)
{
    return datagram->from_length == address->length
           && memcmp(datagram->from, address->words, address->length) == 0;
}

TEST(one_at_a_time)
{
    begin_pair();
    const ou_dgram *got;
    CHECK_EQUAL(ou_dgram_receive(&loop, here, NULL, &got), -EAGAIN);
    send_number(1);
    CHECK_EQUAL(ou_dgram_send(there, NULL, 0, &to_here), 0);
    CHECK_EQUAL(ou_dgram_receive(&loop, here, NULL, &got), 1);
    CHECK(is_number(got, 1));
    CHECK(is_from(got, &to_there));
    CHECK_EQUAL(ou_dgram_receive(&loop, here, NULL, &got), 1);
    CHECK_EQUAL(got->size, 0);
    CHECK(is_from(got, &to_there));
    CHECK_EQUAL(ou_dgram_receive(&loop, here, NULL, &got), -EAGAIN);
    end_pair();
}

TEST(single_ones_are_read_singly)
{
    begin_pair();
    ou_dgram_pace pace = {.singles = 0};
    const ou_dgram *got;
    for (int i = 0; i < 5 * OU_DGRAM_PROBE; i++) {
        send_number(i);
        CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), 1);
        CHECK(is_number(got, i));
        CHECK(!pace.batches);
    }
    end_pair();
}

TEST(many_are_read_together)
{
    begin_pair();
    ou_dgram_pace pace = {.singles = 0};
    const ou_dgram *got;
    int sent = 3 * OU_DGRAM_BATCH;
    for (int i = 0; i < sent; i++) {
        send_number(i);
    }
    int next = 0;
    while (next < sent) {
        int n = ou_dgram_receive(&loop, here, &pace, &got);
        REQUIRE(n > 0);
        CHECK_EQUAL(n, next < OU_DGRAM_PROBE           ? 1
                       : next + OU_DGRAM_BATCH <= sent ? OU_DGRAM_BATCH
                                                       : sent - next);
        for (int i = 0; i < n; i++) {
            CHECK(is_number(&got[i], next++));
            CHECK(is_from(&got[i], &to_there));
        }
    }
    /* The last one of a batch alone: back to single ones. */
    CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), -EAGAIN);
    CHECK(!pace.batches);
    end_pair();
}

TEST(the_largest_fit)
{
    begin_pair();
    static char data[65507];
    memset(data, 'x', sizeof(data));
    ou_dgram_pace pace = {.singles = OU_DGRAM_PROBE};
    const ou_dgram *got;
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(ou_dgram_send(there, data, sizeof(data), &to_here), 0);
    }
    CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), 2);
    CHECK_EQUAL(got[0].size, sizeof(data));
    CHECK_EQUAL(got[1].size, sizeof(data));
    CHECK(memcmp(got[1].data, data, sizeof(data)) == 0);
    end_pair();
}

TEST(names_of_the_file_system)
{
    begin();
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    const ou_dgram *got;
    CHECK_EQUAL(ou_dgram_send(pair[0], "abc", 3, NULL), 0);
    CHECK_EQUAL(ou_dgram_receive(&loop, pair[1], NULL, &got), 1);
    CHECK_EQUAL(got->size, 3);
    CHECK_EQUAL(got->from_length, 0);
    close_pair(pair);
    end();
}

static void
queue_number(const int *number)
{
    CHECK_EQUAL(ou_dgram_queue_push(&queue, number, sizeof(*number), &released,
                                    &to_here, false),
                0);
}

TEST(a_queue_is_sent_in_order)
{
    begin_pair();
    int numbers[2 * OU_DGRAM_BATCH + 1];
    int count = sizeof(numbers) / sizeof(numbers[0]);
    for (int i = 0; i < count; i++) {
        numbers[i] = i;
        queue_number(&numbers[i]);
    }
    CHECK_EQUAL(queue.count, count);
    CHECK_EQUAL(queue.size, sizeof(numbers));
    CHECK_EQUAL(ou_dgram_queue_send(&queue, there), 0);
    CHECK(ou_dgram_queue_empty(&queue));
    CHECK_EQUAL(queue.count, 0);
    CHECK_EQUAL(queue.size, 0);
    CHECK_EQUAL(released, count);
    const ou_dgram *got;
    for (int i = 0; i < count; i++) {
        REQUIRE(ou_dgram_receive(&loop, here, NULL, &got) == 1);
        CHECK(is_number(got, i));
    }
    end_pair();
}

TEST(what_is_foreign_is_left)
{
    begin_pair();
    int numbers[] = {1, 2, 3};
    queue_number(&numbers[0]);
    CHECK_EQUAL(ou_dgram_queue_push(&queue, "abc", 3, &released, NULL, true),
                0);
    queue_number(&numbers[2]);
    CHECK_EQUAL(ou_dgram_queue_send(&queue, there), 0);
    CHECK_EQUAL(queue.count, 2);
    CHECK(queue.head->foreign);
    ou_dgram_queue_drop(&queue);
    CHECK_EQUAL(ou_dgram_queue_send(&queue, there), 0);
    CHECK(ou_dgram_queue_empty(&queue));
    CHECK_EQUAL(released, 3);
    end_pair();
}

TEST(what_is_refused_stays)
{
    begin_pair();
    static char large[70000]; /* larger than a datagram can be */
    int numbers[] = {1, 2};
    queue_number(&numbers[0]);
    CHECK_EQUAL(ou_dgram_queue_push(&queue, large, sizeof(large), &released,
                                    &to_here, false),
                0);
    queue_number(&numbers[1]);
    CHECK_EQUAL(ou_dgram_queue_send(&queue, there), -EMSGSIZE);
    CHECK_EQUAL(queue.count, 2);
    CHECK_EQUAL(released, 1);
    ou_dgram_queue_drop(&queue);
    CHECK_EQUAL(ou_dgram_queue_send(&queue, there), 0);
    CHECK_EQUAL(released, 3);
    end_pair();
}

TEST(a_full_socket)
{
    begin();
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    queue = (ou_dgram_queue){.release = release};
    released = 0;
    int pushed = 0;
    int result = 0;
    while (result == 0) {
        REQUIRE(pushed < 100000);
        pushed++;
        CHECK_EQUAL(
            ou_dgram_queue_push(&queue, "abc", 3, &released, NULL, false), 0);
        result = ou_dgram_queue_send(&queue, pair[0]);
    }
    CHECK_EQUAL(result, -EAGAIN);
    CHECK_EQUAL(queue.count, 1);
    CHECK_EQUAL(released, pushed - 1);
    const ou_dgram *got;
    CHECK_EQUAL(ou_dgram_receive(&loop, pair[1], NULL, &got), 1);
    CHECK_EQUAL(ou_dgram_queue_send(&queue, pair[0]), 0);
    CHECK_EQUAL(released, pushed);
    close_pair(pair);
    end();
}

TEST(errors_of_the_socket)
{
    begin_pair();
    ou_dgram_pace pace = {.singles = OU_DGRAM_PROBE};
    const ou_dgram *got;
    close(there);
    REQUIRE(connect(here, (struct sockaddr *)to_there.words, to_there.length)
            == 0);
    CHECK_EQUAL(ou_dgram_send(here, "a", 1, NULL), 0);
    readable(here);
    CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), -ECONNREFUSED);
    CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), -EAGAIN);
    CHECK_EQUAL(ou_dgram_receive(&loop, -1, &pace, &got), -EBADF);
    there = -1;
    end_pair();
}

TEST(no_memory_changes_nothing)
{
    begin_pair();
    ou_dgram_pace pace = {.singles = OU_DGRAM_PROBE};
    const ou_dgram *got;
    for (int i = 0; i < 4; i++) {
        send_number(i);
    }
    /* The loop's place for datagrams; the scratch, for single ones. */
    check_alloc_left = 0;
    CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), -ENOMEM);
    check_alloc_left = 1;
    CHECK_EQUAL(ou_dgram_receive(&loop, here, NULL, &got), -ENOMEM);
    check_alloc_left = 0;
    CHECK_EQUAL(ou_dgram_receive(&loop, here, &pace, &got), 4);
    CHECK_EQUAL(
        ou_dgram_queue_push(&queue, "a", 1, &released, &to_here, false),
        -ENOMEM);
    check_alloc_left = -1;
    CHECK(is_number(got, 0));
    CHECK(ou_dgram_queue_empty(&queue));
    CHECK_EQUAL(released, 0);
    end_pair();
}

int
main(void)
{
    RUN(one_at_a_time);
    RUN(single_ones_are_read_singly);
    RUN(many_are_read_together);
    RUN(the_largest_fit);
    RUN(names_of_the_file_system);
    RUN(a_queue_is_sent_in_order);
    RUN(what_is_foreign_is_left);
    RUN(what_is_refused_stays);
    RUN(a_full_socket);
    RUN(errors_of_the_socket);
    RUN(no_memory_changes_nothing);
    return check_report();
}
