#include "lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void bench_stop(const char *what, const kw_error *error)
{
    fprintf(stderr, "bench: %s%s%s\n", what, error != NULL ? ": " : "", error != NULL ? error->message : "");
    exit(2);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    pthread_barrier_wait(lane->barrier);
    lane->started = now();
    for (unsigned long i = 0; i < lane->operations && !lane->failed; i++)
        lane->failed = !lane->operate(lane->user);
    lane->finished = now();
    return NULL;
}

double lanes_time(struct lane *lanes, unsigned threads, unsigned long operations)
{
    pthread_t handles[LANES_MAXIMUM];
    pthread_barrier_t barrier;
    if (threads == 0 || threads > LANES_MAXIMUM || pthread_barrier_init(&barrier, NULL, threads) != 0)
        bench_stop("no barrier", NULL);
    for (unsigned i = 0; i < threads; i++) {
        lanes[i].operations = operations;
        lanes[i].barrier = &barrier;
        if (pthread_create(&handles[i], NULL, run_lane, &lanes[i]) != 0)
            bench_stop("no thread", NULL);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    pthread_barrier_destroy(&barrier);
    double started = lanes[0].started, finished = lanes[0].finished;
    for (unsigned i = 0; i < threads; i++) {
        if (lanes[i].failed)
            bench_stop("an operation failed", NULL);
        started = lanes[i].started < started ? lanes[i].started : started;
        finished = lanes[i].finished > finished ? lanes[i].finished : finished;
    }
    return finished - started;
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void lanes_print_head(void)
{
    printf("%-26s %7s %12s %8s %8s %8s %7s\n", "operation", "threads", "us/op", "quarter", "median", "quarter",
           "limit");
}

/* So many that the bare side takes half a round at least; and both sides are warm then. */
static unsigned long calibrate(const struct comparison *comparison)
{
    unsigned long operations = 16;
    while (lanes_time(comparison->bare, comparison->threads, operations) < comparison->round_nanoseconds / 2)
        operations *= 2;
    lanes_time(comparison->ours, comparison->threads, operations);
    return operations;
}

/* Our throughput over the bare one in two turns that follow one another; `cost` is our time. */
static double turn(const struct comparison *comparison, unsigned long operations, bool ours_first, double *cost)
{
    const double first = lanes_time(ours_first ? comparison->ours : comparison->bare, comparison->threads, operations);
    const double second = lanes_time(ours_first ? comparison->bare : comparison->ours, comparison->threads, operations);
    *cost = ours_first ? first : second;
    return ours_first ? second / first : first / second;
}

/* `ratios` and `costs` have a place for each round. */
static bool print_row(const struct comparison *comparison, double *ratios, double *costs)
{
    const unsigned rounds = comparison->rounds;
    const double ratio = median(ratios, rounds), limit = comparison->limit;
    printf("%-26s %7u %12.2f %8.3f %8.3f %8.3f %7.2f  %s\n", comparison->name, comparison->threads,
           median(costs, rounds), ratios[rounds / 4], ratio, ratios[rounds * 3 / 4], limit,
           ratio >= limit ? "ok" : "BELOW");
    return ratio >= limit;
}

static bool measure_rounds(const struct comparison *one, const struct comparison *many)
{
    const unsigned rounds = many->rounds;
    double *ratios = calloc(rounds, sizeof(*ratios)), *costs = calloc(rounds, sizeof(*costs));
    if (rounds == 0 || ratios == NULL || costs == NULL)
        bench_stop("no rounds", NULL);
    const unsigned long operations = calibrate(many), alone = one != NULL ? calibrate(one) : 0;
    for (unsigned round = 0; round < rounds; round++) {
        double unused;
        ratios[round] = turn(many, operations, round % 2 == 0, &costs[round]);
        costs[round] /= (double)operations * 1000;
        if (one != NULL)
            ratios[round] /= turn(one, alone, round % 2 == 0, &unused);
    }
    const bool good = print_row(many, ratios, costs);
    free(ratios);
    free(costs);
    return good;
}

bool lanes_compare(const struct comparison *comparison)
{
    return measure_rounds(NULL, comparison);
}

bool lanes_compare_gain(const struct comparison *one, const struct comparison *many)
{
    return measure_rounds(one, many);
}
