/* check.h - the harness of the engine's tests: one program a unit.
 *
 *     TEST(heap_orders) { CHECK(...); }
 *     int main(void) { RUN(heap_orders); return check_report(); }
 *
 * Each test runs to its end, counting one pass or one failure; a program that
 * hangs is killed after a minute.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int check_passed;
static int check_failed;
static int check_broken; /* failed checks of the test that runs */

#define TEST(name) static void test_##name(void)
#define RUN(name)  check_run(#name, test_##name)

#define CHECK(condition)                                                      \
    check_true((condition) != 0, __FILE__, __LINE__, #condition)

/* Integers. */
#define CHECK_EQUAL(got, wanted)                                              \
    check_equal((long long)(got), (long long)(wanted), __FILE__, __LINE__,    \
                #got)

/* Go no further in this program: what follows would make no sense. */
#define REQUIRE(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            check_true(false, __FILE__, __LINE__, #condition);                \
            printf("%d passed, %d failed\n", check_passed, check_failed + 1); \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

static inline void
check_true(int is_true, const char *file, int line, const char *text)
{
    if (!is_true) {
        check_broken++;
        fprintf(stderr, "%s:%d: not %s\n", file, line, text);
    }
}

static inline void
check_equal(long long got, long long wanted, const char *file, int line,
            const char *text)
{
    if (got != wanted) {
        check_broken++;
        fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, text, got,
                wanted);
    }
}

static inline void
check_run(const char *name, void (*test)(void))
{
    alarm(60);
    check_broken = 0;
    test();
    if (check_broken == 0) {
        check_passed++;
    }
    else {
        check_failed++;
        fprintf(stderr, "FAILED %s\n", name);
    }
}

static inline int
check_report(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0;
}

/* Allocation failures: the programs are linked with --wrap=malloc, calloc
 * (compilers make one of malloc() and zeroing) and realloc.  The allocation
 * after `check_alloc_left` more ones fails (and those after it); < 0: none
 * does. */
static long check_alloc_left = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

static inline int
check_alloc_fails(void)
{
    if (check_alloc_left > 0) {
        check_alloc_left--;
        return 0;
    }
    return check_alloc_left == 0;
}

void *
__wrap_malloc(size_t size)
{
    return check_alloc_fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return check_alloc_fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *block, size_t size)
{
    return check_alloc_fails() ? NULL : __real_realloc(block, size);
}

#endif
