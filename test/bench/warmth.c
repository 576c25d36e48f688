/* SPDX-License-Identifier: MIT */
/*
 * How many cold starts, and how many warm worker-seconds, each warmth policy costs under four kinds of load: an hour of
 * a manual clock, in manual mode, so that the table is the same on every machine.
 *
 * Handlers take 200 ms and inits a second of that clock, and many are busy at a time. So each call of faas_run has a
 * thread of its own (a carrier), whose handler sleeps until the clock has reached its end; of all threads only one runs
 * at any moment, and they pass the turn to each other.
 *
 * usage: warmth [--check]     --check: also says whether the policies keep what they promise, and exits with 1 if not
 */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#endif

#include <faas.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define HANDLER_NS (SECOND / 5)
#define INIT_NS SECOND
#define CARRIERS 400
#define ARRIVALS_MAX 200000

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "warmth: %s\n", what);
	exit(1);
}

/* ---- Taking turns ------------------------------------------------------------------------------------------------ */

enum state { RESTING, STEPPING, SLEEPING };

struct carrier {
	pthread_t thread;
	pthread_cond_t wake;
	enum state state;
	int64_t until; /* SLEEPING */
	int steps;     /* of the last faas_run */
};

static struct {
	pthread_mutex_t mu;
	pthread_cond_t main_wake;
	struct carrier *running; /* NULL: the main thread */
	struct carrier carriers[CARRIERS];
	int started;
	bool is_over;
	faas_runtime *runtime;
	faas_clock *clock;
} stage = {.mu = PTHREAD_MUTEX_INITIALIZER, .main_wake = PTHREAD_COND_INITIALIZER};

static _Thread_local struct carrier *self;

/* On a carrier: gives the turn back to the main thread until that passes it on again. Under mu. */
static void give_back(enum state state)
{
	self->state = state;
	stage.running = NULL;
	pthread_cond_signal(&stage.main_wake);
	while (stage.running != self)
		pthread_cond_wait(&self->wake, &stage.mu);
}

static void sleep_for(int64_t duration)
{
	pthread_mutex_lock(&stage.mu);
	self->until = faas_clock_now(stage.clock) + duration;
	give_back(SLEEPING);
	self->state = STEPPING;
	pthread_mutex_unlock(&stage.mu);
}

static void *carry(void *arg)
{
	self = arg;
	pthread_mutex_lock(&stage.mu);
	while (stage.running != self)
		pthread_cond_wait(&self->wake, &stage.mu);
	while (!stage.is_over) {
		pthread_mutex_unlock(&stage.mu);
		self->steps = faas_run(stage.runtime, 1);
		pthread_mutex_lock(&stage.mu);
		give_back(RESTING);
	}
	stage.running = NULL;
	pthread_cond_signal(&stage.main_wake);
	pthread_mutex_unlock(&stage.mu);
	return NULL;
}

/* Passes the turn to a carrier, until it sleeps or rests. */
static void pass_to(struct carrier *carrier)
{
	pthread_mutex_lock(&stage.mu);
	stage.running = carrier;
	pthread_cond_signal(&carrier->wake);
	while (stage.running)
		pthread_cond_wait(&stage.main_wake, &stage.mu);
	pthread_mutex_unlock(&stage.mu);
}

static struct carrier *resting_carrier(void)
{
	struct carrier *carrier;

	for (int i = 0; i < stage.started; i++)
		if (stage.carriers[i].state == RESTING)
			return &stage.carriers[i];
	must(stage.started < CARRIERS, "more handlers at once than carriers");
	carrier = &stage.carriers[stage.started++];
	memset(carrier, 0, sizeof(*carrier));
	must(pthread_cond_init(&carrier->wake, NULL) == 0, "no condition variable");
	must(pthread_create(&carrier->thread, NULL, carry, carrier) == 0, "no thread");
	return carrier;
}

/* Runs what can run now: each on a carrier, until one says that there is nothing. */
static void run_all(void)
{
	struct carrier *carrier;

	do {
		carrier = resting_carrier();
		carrier->state = STEPPING;
		pass_to(carrier);
	} while (carrier->state == SLEEPING || carrier->steps > 0);
}

static struct carrier *first_sleeper(void)
{
	struct carrier *first = NULL;

	for (int i = 0; i < stage.started; i++)
		if (stage.carriers[i].state == SLEEPING && (!first || stage.carriers[i].until < first->until))
			first = &stage.carriers[i];
	return first;
}

static void dismiss_carriers(void)
{
	stage.is_over = true;
	for (int i = 0; i < stage.started; i++) {
		pass_to(&stage.carriers[i]);
		pthread_join(stage.carriers[i].thread, NULL);
		pthread_cond_destroy(&stage.carriers[i].wake);
	}
	stage.started = 0;
	stage.is_over = false;
}

/* ---- Load -------------------------------------------------------------------------------------------------------- */

static int64_t arrivals[ARRIVALS_MAX];
static int arrival_count;

static void arrive(int64_t at)
{
	must(arrival_count < ARRIVALS_MAX, "too many arrivals");
	arrivals[arrival_count++] = at;
}

/* The next gap of a Poisson process; -ln(u) by its series, since the C library's is another library. */
static int64_t gap(uint64_t *random, double per_second)
{
	double u, y, power, sum = 0;
	int halvings = 0;

	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	u = ((double)(*random >> 11) + 1) / 9007199254740993.0;
	while (u < 0.5) {
		u *= 2;
		halvings++;
	}
	y = (1 - u) / (1 + u);
	power = y;
	for (int k = 1; k < 40; k += 2) {
		sum += 2 * power / k;
		power *= y * y;
	}
	return (int64_t)((sum + halvings * 0.69314718055994531) / per_second * (double)SECOND);
}

static void steady(void)
{
	uint64_t random = 1;

	for (int64_t at = gap(&random, 10); at < HOUR; at += gap(&random, 10))
		arrive(at);
}

static void bursty(void)
{
	for (int64_t at = 60 * SECOND; at < HOUR; at += 300 * SECOND)
		for (int i = 0; i < 50; i++)
			arrive(at + i * (SECOND / 50));
}

/* Ten minutes of load, ten minutes of hardly any. */
static void periodic(void)
{
	uint64_t random = 2;

	for (int64_t at = 0; at < HOUR; at += gap(&random, at / (600 * SECOND) % 2 == 0 ? 10 : 0.05))
		arrive(at);
}

static void rare(void)
{
	for (int64_t at = 30 * SECOND; at < HOUR; at += 700 * SECOND)
		arrive(at);
}

/* ---- One run ----------------------------------------------------------------------------------------------------- */

struct cost {
	uint64_t served, cold, peak;
	double warm_seconds;
};

static int handle(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	sleep_for(HANDLER_NS);
	return 0;
}

static int init(faas_context *context, void **ret_state)
{
	(void)context;
	(void)ret_state;
	sleep_for(INIT_NS);
	return 0;
}

/* Moves the clock, and adds up what was warm meanwhile, second by second and at each step. */
static void move_to(int64_t at, faas_function *function, struct cost *cost)
{
	while (faas_clock_now(stage.clock) < at) {
		struct faas_function_stats s = {.struct_size = sizeof(s)};
		int64_t now = faas_clock_now(stage.clock), to = at < now + SECOND ? at : now + SECOND;

		must(faas_function_stats(function, &s) == FAAS_OK, "no stats");
		cost->warm_seconds += (double)s.warm * (double)(to - now) / (double)SECOND;
		must(faas_clock_advance(stage.clock, to - now) == FAAS_OK, "the clock does not move");
		run_all();
	}
}

static struct cost measure(void (*load)(void), const faas_function_config *policy)
{
	struct faas_function_stats s = {.struct_size = sizeof(s)};
	struct cost cost = {0};
	struct carrier *sleeper;
	faas_function *function;
	int next = 0;

	arrival_count = 0;
	load();
	must(faas_clock_new_manual(0, &stage.clock) == FAAS_OK, "no clock");
	must(faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = stage.clock), &stage.runtime) == FAAS_OK, "no runtime");
	must(faas_register_function(stage.runtime, "f", policy) == FAAS_OK, "no function");
	must(faas_function_find(stage.runtime, "f", &function) == FAAS_OK, "no function");
	run_all();
	while ((sleeper = first_sleeper()) != NULL || next < arrival_count) {
		if (sleeper && (next == arrival_count || sleeper->until <= arrivals[next])) {
			move_to(sleeper->until, function, &cost);
			pass_to(sleeper);
		} else {
			move_to(arrivals[next++], function, &cost);
			must(faas_function_invoke_async(function, NULL, NULL) == FAAS_OK, "refused");
		}
		run_all();
	}
	move_to(HOUR + 10 * SECOND, function, &cost);
	must(faas_function_stats(function, &s) == FAAS_OK, "no stats");
	cost.served = s.succeeded;
	cost.cold = s.cold_starts - s.provisioned_starts;
	cost.peak = s.workers_peak;
	must(cost.served == (uint64_t)arrival_count, "something was not served");
	faas_function_unref(function);
	dismiss_carriers();
	must(faas_close(stage.runtime, 0, 0) == FAAS_OK, "does not close");
	faas_clock_unref(stage.clock);
	return cost;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

#define POLICY(...) FAAS_FUNCTION(.handler = handle, .init = init, __VA_ARGS__)

/* Only one of them runs at a time, and a turn is passed three times as fast to a thread on the same core. */
static void stay_on_one_core(void)
{
#if defined(__linux__)
	cpu_set_t all, one;
	size_t cpu = 0;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return;
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
#endif
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*load)(void);
	} loads[] = {{"steady", steady}, {"bursty", bursty}, {"periodic", periodic}, {"rare", rare}};
	const struct {
		const char *name;
		const faas_function_config *config;
	} policies[] = {
		{"kept 10 min", POLICY(.keep_warm_ms = 600000)},
		{"kept 1 min", POLICY(.keep_warm_ms = 60000)},
		{"kept 30 s", POLICY(.keep_warm_ms = 30000)},
		{"4 provisioned, kept 1 min", POLICY(.keep_warm_ms = 60000, .provisioned = 4)},
		{"demand", POLICY(.warm_policy = FAAS_WARM_DEMAND)},
	};
	enum { LOADS = sizeof(loads) / sizeof(loads[0]), POLICIES = sizeof(policies) / sizeof(policies[0]) };
	struct cost costs[LOADS][POLICIES];
	bool check = argc > 1 && strcmp(argv[1], "--check") == 0, holds = true;

	stay_on_one_core();
	printf("%-9s %-26s %8s %12s %20s %13s\n", "load", "policy", "events", "cold starts", "warm worker-seconds",
	       "workers, most");
	for (size_t i = 0; i < LOADS; i++)
		for (size_t k = 0; k < POLICIES; k++) {
			struct cost *cost = &costs[i][k];

			*cost = measure(loads[i].load, policies[k].config);
			printf("%-9s %-26s %8llu %12llu %20.0f %13llu\n", loads[i].name, policies[k].name,
			       (unsigned long long)cost->served, (unsigned long long)cost->cold, cost->warm_seconds,
			       (unsigned long long)cost->peak);
		}
	if (!check)
		return 0;
	/* Under any load but a rare one demand has no more cold starts than keeping workers a minute, for less. */
	for (size_t i = 0; i < LOADS - 1; i++)
		holds = holds && costs[i][POLICIES - 1].cold <= costs[i][1].cold &&
		        costs[i][POLICIES - 1].warm_seconds < costs[i][1].warm_seconds;
	puts(holds ? "demand keeps its promise" : "demand does not keep its promise");
	return holds ? 0 : 1;
}
