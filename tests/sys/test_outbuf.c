/* What a socket has still to send: order, copies, references, system calls. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "check.h"
#include "sys/outbuf.h"
#include "sys/sock.h"

static ou_outpool pool;
static ou_outbuf buffer;
static int ours;
static int theirs;

/* System calls: the program is linked with --wrap=send and --wrap=sendmsg. */
static int send_calls;

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t
__wrap_send(int fd, const void *data, size_t size, int flags)
{
    send_calls++;
    return __real_send(fd, data, size, flags);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    send_calls++;
    return __real_sendmsg(fd, message, flags);
}

/* An owner of a block. */
static int released;

static void
release(void *owner)
{
    CHECK(owner == &released);
    released++;
}

static void
begin(void)
{
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    ours = pair[0];
    theirs = pair[1];
    ou_outbuf_init(&buffer, &pool);
    send_calls = 0;
    released = 0;
}

static void
end(void)
{
    close(ours);
    close(theirs);
    ou_outbuf_clear(&buffer);
    CHECK(ou_outbuf_empty(&buffer));
    CHECK_EQUAL(buffer.size, 0);
    ou_outpool_close(&pool);
    CHECK_EQUAL(pool.count, 0);
    pool = (ou_outpool){.count = 0};
}

static int
pieces(void)
{
    int count = 0;
    size_t size = 0;
    for (const ou_outpiece *at = buffer.head; at != NULL; at = at->next) {
        count++;
        size += at->size;
        CHECK(at->size > 0);
        CHECK(at->next != NULL || at == buffer.tail);
    }
    CHECK_EQUAL(size, buffer.size);
    return count;
}

/* A stream whose every byte can be told from its neighbours. */
static char
stream_byte(size_t at)
{
    return (char)((at * 2654435761u) >> 11);
}

static char *
stream_new(size_t from, size_t size)
{
    char *data = malloc(size);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < size; i++) {
        data[i] = stream_byte(from + i);
    }
    return data;
}

/* Receive what is there; it continues the stream at `from`. How much. */
static size_t
receive(size_t from)
{
    static char data[65536];
    size_t got = 0;
    ssize_t n;
    while ((n = ou_sock_recv(theirs, data, sizeof(data))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (data[i] != stream_byte(from + got + (size_t)i)) {
                CHECK(!"the stream goes on as it was written");
                return got;
            }
        }
        got += (size_t)n;
    }
    return got;
}

TEST(small_pieces_leave_in_one_call)
{
    begin();
    for (int i = 0; i < 100; i++) {
        char byte = stream_byte((size_t)i);
        CHECK_EQUAL(ou_outbuf_copy(&buffer, &byte, 1), 0);
    }
    CHECK_EQUAL(buffer.size, 100);
    CHECK_EQUAL(pieces(), 1);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, "", 0), 0);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    CHECK(ou_outbuf_empty(&buffer));
    CHECK_EQUAL(buffer.size, 0);
    CHECK_EQUAL(send_calls, 1);
    CHECK_EQUAL(receive(0), 100);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0); /* nothing to send */
    CHECK_EQUAL(send_calls, 1);
    end();
}

TEST(chunks_are_used_again)
{
    begin();
    ou_outpiece *chunk = NULL;
    for (int i = 0; i < 3; i++) {
        ou_outbuf_copy(&buffer, "x", 1);
        CHECK(chunk == NULL || buffer.head == chunk);
        chunk = buffer.head;
        CHECK_EQUAL(pool.count, 0);
        CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
        CHECK_EQUAL(pool.count, 1);
    }
    /* But not more than a few are kept. */
    ou_outbuf many[OU_OUT_POOL_CHUNKS + 5];
    for (int i = 0; i < OU_OUT_POOL_CHUNKS + 5; i++) {
        ou_outbuf_init(&many[i], &pool);
        ou_outbuf_copy(&many[i], "x", 1);
    }
    for (int i = 0; i < OU_OUT_POOL_CHUNKS + 5; i++) {
        ou_outbuf_clear(&many[i]);
    }
    CHECK_EQUAL(pool.count, OU_OUT_POOL_CHUNKS);
    end();
}

TEST(a_closed_pool_keeps_none)
{
    begin();
    ou_outbuf_copy(&buffer, "abc", 3);
    ou_outpool_close(&pool);
    ou_outbuf_clear(&buffer); /* the loop was closed before its transport */
    CHECK_EQUAL(pool.count, 0);
    CHECK(pool.chunks == NULL);
    ou_outbuf_copy(&buffer, "abc", 3);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    CHECK(pool.chunks == NULL);
    end();
}

TEST(copies_and_references_in_order)
{
    begin();
    char *data = stream_new(0, 60000);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data, 100), 0);
    CHECK_EQUAL(
        ou_outbuf_refer(&buffer, data + 100, 20000, &released, release), 0);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data + 20100, 50), 0);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data + 20150, 50), 0);
    CHECK_EQUAL(
        ou_outbuf_refer(&buffer, data + 20200, 20000, &released, release), 0);
    CHECK_EQUAL(
        ou_outbuf_refer(&buffer, data + 40200, 19800, &released, release), 0);
    CHECK_EQUAL(buffer.size, 60000);
    CHECK_EQUAL(pieces(), 5);
    CHECK_EQUAL(released, 0);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    CHECK_EQUAL(released, 3);
    CHECK_EQUAL(send_calls, 1);
    CHECK_EQUAL(receive(0), 60000);
    free(data);
    end();
}

TEST(a_small_block_that_stands_alone)
{
    begin();
    char *data = stream_new(0, 300);
    for (size_t at = 0; at < 200; at += 100) {
        ou_outbuf_refer(&buffer, data + at, 100, &released, release);
        CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    }
    CHECK_EQUAL(released, 2);
    CHECK_EQUAL(pool.block_count, 1);
    /* What comes behind it is sent with it as one piece. */
    ou_outbuf_refer(&buffer, data + 200, 60, &released, release);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data + 260, 40), 0);
    CHECK_EQUAL(released, 3);
    CHECK_EQUAL(pieces(), 1);
    CHECK_EQUAL(buffer.size, 100);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    CHECK_EQUAL(receive(0), 300);
    /* If there is no memory for that, it stays as it is. */
    ou_outpool_close(&pool);
    ou_outbuf_refer(&buffer, data, 10, &released, release);
    check_alloc_left = 0;
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data, 10), -ENOMEM);
    check_alloc_left = -1;
    CHECK_EQUAL(buffer.size, 10);
    CHECK_EQUAL(released, 3);
    ou_outbuf_clear(&buffer);
    CHECK_EQUAL(released, 4);
    CHECK_EQUAL(pool.block_count, 0);
    free(data);
    end();
}

TEST(a_header_before_each_block_takes_little)
{
    begin();
    static char block[OU_OUT_REFER_SIZE];
    char header[100] = {0};
    for (int i = 0; i < 50; i++) {
        ou_outbuf_copy(&buffer, header, sizeof(header));
        ou_outbuf_refer(&buffer, block, sizeof(block), &released, release);
    }
    size_t room = 0;
    for (ou_outpiece *at = buffer.head->next; at != NULL; at = at->next) {
        room += at->room;
    }
    CHECK(room <= 50 * 4096);
    ou_outbuf_clear(&buffer);
    CHECK_EQUAL(released, 50);
    CHECK_EQUAL(pool.count, 1); /* small ones are not pooled */
    end();
}

TEST(more_than_a_chunk)
{
    begin();
    enum { SIZE = 3 * OU_OUT_CHUNK_SIZE + 1000 };
    char *data = stream_new(0, SIZE);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data, 10), 0);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data + 10, SIZE - 10), 0);
    CHECK_EQUAL(buffer.size, SIZE);
    CHECK_EQUAL(pieces(), 4); /* the first is filled up */
    size_t got = 0;
    int result;
    while ((result = ou_outbuf_flush(&buffer, ours)) == -EAGAIN) {
        CHECK_EQUAL(pieces() > 0, 1);
        got += receive(got);
    }
    CHECK_EQUAL(result, 0);
    got += receive(got);
    CHECK_EQUAL(got, SIZE);
    free(data);
    end();
}

TEST(what_the_socket_refuses_stays)
{
    begin();
    size_t written = 0;
    while (ou_outbuf_flush(&buffer, ours) == 0) {
        char *data = stream_new(written, 30000);
        CHECK_EQUAL(ou_outbuf_copy(&buffer, data, 30000), 0);
        written += 30000;
        free(data);
    }
    CHECK(buffer.size > 0);
    int calls = send_calls;
    size_t left = buffer.size;
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), -EAGAIN);
    CHECK_EQUAL(send_calls, calls + 1);
    CHECK_EQUAL(buffer.size, left);
    char *data = stream_new(written, 500);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data, 500), 0);
    free(data);
    CHECK_EQUAL(receive(0), written - left);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    CHECK_EQUAL(receive(written - left), left + 500);
    end();
}

TEST(a_short_send_is_not_repeated)
{
    begin();
    enum { SIZE = 4 << 20 };
    char *data = stream_new(0, SIZE);
    ou_outbuf_refer(&buffer, data, SIZE, &released, release);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), -EAGAIN);
    CHECK_EQUAL(send_calls, 1);
    CHECK(buffer.size < SIZE);
    CHECK_EQUAL(released, 0);
    CHECK_EQUAL(receive(0), SIZE - buffer.size);
    ou_outbuf_clear(&buffer);
    CHECK_EQUAL(released, 1);
    free(data);
    end();
}

/* Random writes, a reader of varying speed, and every byte in its place. */
TEST(random_streams)
{
    srand(4711);
    for (int run = 0; run < 20; run++) {
        begin();
        int small = 8192 << (run % 4);
        setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        size_t written = 0;
        size_t got = 0;
        char *blocks[200];
        int block_count = 0;
        for (int step = 0; step < 200; step++) {
            size_t size =
                (size_t)(rand() % 4 == 0 ? rand() % 70000 : rand() % 300) + 1;
            char *data = stream_new(written, size);
            if (size >= OU_OUT_REFER_SIZE && rand() % 2) {
                ou_outbuf_refer(&buffer, data, size, &released, release);
                blocks[block_count++] = data;
            }
            else {
                ou_outbuf_copy(&buffer, data, size);
                free(data);
            }
            written += size;
            if (rand() % 3 == 0) {
                ou_outbuf_flush(&buffer, ours);
            }
            if (rand() % 5 == 0) {
                got += receive(got);
            }
            pieces();
        }
        while (ou_outbuf_flush(&buffer, ours) == -EAGAIN) {
            got += receive(got);
        }
        got += receive(got);
        CHECK_EQUAL(got, written);
        CHECK_EQUAL(released, block_count);
        while (block_count > 0) {
            free(blocks[--block_count]);
        }
        end();
    }
}

TEST(many_pieces_take_several_calls)
{
    begin();
    enum { COUNT = 150 };
    char *data = stream_new(0, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ou_outbuf_refer(&buffer, data + i, 1, &released, release);
    }
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), 0);
    CHECK_EQUAL(send_calls, 3);
    CHECK_EQUAL(released, COUNT);
    CHECK_EQUAL(receive(0), COUNT);
    free(data);
    end();
}

TEST(errors_leave_the_rest)
{
    begin();
    ou_outbuf_copy(&buffer, "abc", 3);
    ou_outbuf_refer(&buffer, "def", 3, &released, release);
    close(theirs);
    CHECK_EQUAL(ou_outbuf_flush(&buffer, ours), -EPIPE); /* and no signal */
    CHECK_EQUAL(buffer.size, 6);
    CHECK_EQUAL(released, 0);
    ou_outbuf_clear(&buffer);
    CHECK_EQUAL(released, 1);
    end();
}

TEST(no_memory_changes_nothing)
{
    begin();
    static char data[2 * OU_OUT_CHUNK_SIZE];
    for (int left = 0; left < 2; left++) {
        check_alloc_left = left;
        int result = ou_outbuf_copy(&buffer, data, sizeof(data));
        check_alloc_left = -1;
        CHECK_EQUAL(result, -ENOMEM);
        CHECK(ou_outbuf_empty(&buffer));
        CHECK_EQUAL(buffer.size, 0);
        ou_outpool_close(&pool);
        pool = (ou_outpool){.count = 0};
    }
    ou_outbuf_copy(&buffer, "abc", 3);
    check_alloc_left = 0;
    CHECK_EQUAL(ou_outbuf_copy(&buffer, data, sizeof(data)), -ENOMEM);
    CHECK_EQUAL(ou_outbuf_refer(&buffer, data, 5, &released, release),
                -ENOMEM);
    CHECK_EQUAL(ou_outbuf_copy(&buffer, "def", 3), 0); /* there is room */
    check_alloc_left = -1;
    CHECK_EQUAL(buffer.size, 6);
    CHECK_EQUAL(pieces(), 1);
    CHECK_EQUAL(released, 0);
    end();
}

int
main(void)
{
    RUN(small_pieces_leave_in_one_call);
    RUN(chunks_are_used_again);
    RUN(a_closed_pool_keeps_none);
    RUN(copies_and_references_in_order);
    RUN(a_small_block_that_stands_alone);
    RUN(a_header_before_each_block_takes_little);
    RUN(more_than_a_chunk);
    RUN(what_the_socket_refuses_stays);
    RUN(a_short_send_is_not_repeated);
    RUN(random_streams);
    RUN(many_pieces_take_several_calls);
    RUN(errors_leave_the_rest);
    RUN(no_memory_changes_nothing);
    return check_report();
}
