/* Threads that do the same thing at once, and two such sides that take turns: what benchmarks share. */
#ifndef KEYWRIGHT_BENCH_LANES_H
#define KEYWRIGHT_BENCH_LANES_H

#include <keywright/keywright.h>

#include <pthread.h>

#define LANES_MAXIMUM 16

/* One thread of one side. */
struct lane {
    bool (*operate)(void *user);
    void *user;

    /* lanes.c's */
    unsigned long operations;
    pthread_barrier_t *barrier;
    double started, finished;
    bool failed;
};

/* Ends the benchmark; `error` may be NULL. */
_Noreturn void bench_stop(const char *what, const kw_error *error);

/* Nanoseconds for all lanes to do their operations at once: from the first that begins to the last that ends, by their own clocks. */
double lanes_time(struct lane *lanes, unsigned threads, unsigned long operations);

struct comparison {
    const char *name;
    struct lane *ours, *bare;
    unsigned threads, rounds;
    double round_nanoseconds;
    double limit; /* of our throughput over the bare one */
};

/* The head of the rows that lanes_compare prints. */
void lanes_print_head(void);
/*
 * Both sides take turns in one run, and what counts is the median of the ratios of neighbours, since machines change their speed as they go.
 * Prints a row; false when it is below its limit.
 */
bool lanes_compare(const struct comparison *comparison);
/*
 * What more threads gain: the same two sides with one lane and with `many->threads`, all four in turn; the median of our gain over the bare one. Prints a row;
 * false when it is below many->limit.
 */
bool lanes_compare_gain(const struct comparison *one, const struct comparison *many);

#endif
