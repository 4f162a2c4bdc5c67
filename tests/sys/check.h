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

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int check_passed;
static int check_failed;
static int check_broken; /* failed checks of the test that runs */

#define TEST(name) static void test_##name(void)

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            check_broken++;                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                   \
    } while (0)

#define CHECK_EQUAL(got, wanted)                                       \
    do {                                                               \
        long long got_ = (long long)(got);                             \
        long long wanted_ = (long long)(wanted);                       \
        if (got_ != wanted_) {                                         \
            check_broken++;                                            \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, \
                    __LINE__, #got, got_, wanted_);                    \
        }                                                              \
    } while (0)

/* Go no further in this program: what follows would make no sense. */
#define REQUIRE(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);   \
            printf("%d passed, %d failed\n", check_passed, check_failed + 1); \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

#define RUN(name) check_run(#name, test_##name)

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

#endif
