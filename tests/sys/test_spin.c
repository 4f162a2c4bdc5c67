/* When it pays to look before sleeping. */
#include "check.h"
#include "sys/clock.h"
#include "sys/spin.h"

static ou_spin
after(int rounds, double there, double back)
{
    ou_spin spin;
    ou_spin_init(&spin);
    spin.possible = true;
    for (int i = 0; i < rounds; i++) {
        ou_spin_round(&spin);
        ou_spin_took(&spin.there, there);
        ou_spin_took(&spin.back, back);
    }
    return spin;
}

TEST(short_rounds_alone)
{
    ou_spin spin = after(0, 0, 0);
    CHECK(!ou_spin_pays(&spin)); /* not known yet */
    spin = after(30, 2e-6, 2e-6);
    CHECK(ou_spin_pays(&spin));
    spin.possible = false;
    CHECK(!ou_spin_pays(&spin));
    spin = after(30, 1e-3, 2e-6);
    CHECK(!ou_spin_pays(&spin));
    spin = after(30, 2e-6, 1e-3);
    CHECK(!ou_spin_pays(&spin));
}

TEST(a_long_pause_is_soon_forgotten)
{
    ou_spin spin = after(30, 2e-6, 2e-6);
    ou_spin_took(&spin.back, 3600.0);
    CHECK(!ou_spin_pays(&spin));
    int rounds = 0;
    while (!ou_spin_pays(&spin)) {
        ou_spin_took(&spin.back, 2e-6);
        rounds++;
    }
    CHECK(rounds < 10);
}

static int
rounds_until_it_pays(ou_spin *spin)
{
    int rounds = 0;
    while (!ou_spin_pays(spin)) {
        ou_spin_round(spin);
        rounds++;
    }
    return rounds;
}

TEST(who_looks_in_vain_waits_longer_each_time)
{
    ou_spin spin = after(30, 2e-6, 2e-6);
    int last = 0;
    for (int i = 0; i < 7; i++) {
        ou_spin_looked(&spin, false);
        int rounds = rounds_until_it_pays(&spin);
        CHECK(rounds > last);
        last = rounds;
    }
    ou_spin_looked(&spin, false);
    CHECK_EQUAL(rounds_until_it_pays(&spin), last); /* up to here */
    for (int i = 0; i < 7; i++) {
        ou_spin_looked(&spin, true);
    }
    ou_spin_looked(&spin, false);
    CHECK(rounds_until_it_pays(&spin) < 20);
}

TEST(looking_ends)
{
    atomic_int word = 1;
    ou_spin_while(&word, 0, 60.0); /* it is another already */
    double start = ou_clock_now();
    ou_spin_while(&word, 1, 1e-3);
    CHECK(ou_clock_now() - start >= 1e-3);
}

int
main(void)
{
    RUN(short_rounds_alone);
    RUN(a_long_pause_is_soon_forgotten);
    RUN(who_looks_in_vain_waits_longer_each_time);
    RUN(looking_ends);
    return check_report();
}
