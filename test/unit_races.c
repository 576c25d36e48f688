/* SPDX-License-Identifier: MIT */
/*
 * The lock-free parts of lib/base and lib/executor with several threads at them: the queue of many producers, claims of
 * slots, timers that are set, cancelled and fired at once, and the hand-over between work and turns. Threads count what is
 * wrong; the main thread looks when they are done.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "base/mpsc.h"
#include "executor/executor.h"

#define THREADS 4

static atomic_int wrong, running;

struct worker {
	pthread_t thread;
	struct random random;
	int index;
};

static struct worker workers[THREADS];

static void start_workers(const char *test, int count, void *(*main)(void *arg))
{
	struct random random = unit_random(test);

	atomic_store(&wrong, 0);
	atomic_store(&running, count);
	for (int i = 0; i < count; i++) {
		workers[i].index = i;
		workers[i].random.state = faas__random_next(&random);
		assert_int_equal(0, pthread_create(&workers[i].thread, NULL, main, &workers[i]));
	}
}

static void join_workers(int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(0, pthread_join(workers[i].thread, NULL));
	assert_int_equal(0, atomic_load(&wrong));
}

static void check(bool holds)
{
	if (!holds)
		atomic_fetch_add(&wrong, 1);
}

/* ---- The queue of many producers ----------------------------------------------------------------------------------- */

#define NODES 64 /* of each producer, used again and again */
#define PUSHES 20000

struct item {
	struct mpsc_node node;
	atomic_int is_queued;
	int producer, number;
};

static struct mpsc_in queue_in;
static struct mpsc_out queue_out;
static struct item items[THREADS][NODES];

static void *produce(void *arg)
{
	struct worker *worker = arg;

	for (int n = 0; n < PUSHES; n++) {
		struct item *item = &items[worker->index][n % NODES];

		while (atomic_load(&item->is_queued))
			sched_yield();
		item->producer = worker->index;
		item->number = n;
		atomic_store(&item->is_queued, 1);
		faas__mpsc_push(&queue_in, &item->node);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* Each producer's nodes come in the order in which it pushed them, each once. */
static void a_queue_keeps_each_producers_order(void **state)
{
	int next[THREADS] = {0}, left = THREADS * PUSHES;

	(void)state;
	memset(items, 0, sizeof(items));
	faas__mpsc_init(&queue_in, &queue_out);
	assert_null(faas__mpsc_pop(&queue_in, &queue_out));
	start_workers("queue", THREADS, produce);
	while (left > 0) {
		struct mpsc_node *node = faas__mpsc_pop(&queue_in, &queue_out);
		struct item *item = (struct item *)node;

		if (!node) {
			sched_yield();
			continue;
		}
		check(item->number == next[item->producer]++);
		left--;
		atomic_store(&item->is_queued, 0);
	}
	assert_null(faas__mpsc_pop(&queue_in, &queue_out));
	join_workers(THREADS);
}

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

#define RUNS 20000
#define CLAIMANTS 2
#define CLAIMS 2000

/* An attempt as a claimant sees it. The fields are plain: while a claimant looks, the owner must not write. */
struct attempt {
	uint64_t number;
	int is_running;
	int64_t deadline;
	atomic_int claims; /* now */
};

static struct slot slot;
static struct attempt attempts[2];
static atomic_ullong claimed, due;

static void look_at(void *found, bool is_due)
{
	struct attempt *attempt = found;

	check(atomic_fetch_add(&attempt->claims, 1) == 0);
	check(attempt->is_running && (!is_due || attempt->deadline <= 1000));
	atomic_fetch_add(is_due ? &due : &claimed, 1);
	atomic_fetch_sub(&attempt->claims, 1);
	faas__slot_let_go(&slot);
}

static void *claim(void *arg)
{
	struct worker *worker = arg;

	while (atomic_load(&running) > 0) {
		void *found = NULL;

		if (worker->index == 0 && faas__slot_claim_due(&slot, 1000, &found))
			look_at(found, true);
		else if (worker->index != 0 && faas__slot_claim(&slot, &found))
			look_at(found, false);
		else
			sched_yield();
	}
	return NULL;
}

/* What a claimant sees was begun and has not ended; the owner does not pass the end of a claimed one. */
static void claims_hold_the_owner(void **state)
{
	struct random random = unit_random("slot runs");

	(void)state;
	memset(&slot, 0, sizeof(slot));
	memset(attempts, 0, sizeof(attempts));
	atomic_store(&claimed, 0);
	atomic_store(&due, 0);
	start_workers("slots", CLAIMANTS, claim);
	/* However long it takes until claimants have come so often. */
	for (uint64_t run = 0; run < RUNS || atomic_load(&claimed) < CLAIMS || atomic_load(&due) < CLAIMS; run++) {
		struct attempt *attempt = &attempts[run % COUNT_OF(attempts)];

		attempt->number = run;
		attempt->deadline = unit_below(&random, 2) ? 500 : TIME_NEVER;
		attempt->is_running = 1;
		faas__slot_begin(&slot, attempt, attempt->deadline);
		for (volatile uint64_t i = unit_below(&random, 50); i > 0; i--)
			continue;
		if (run % 64 == 0)
			sched_yield();
		faas__slot_end(&slot);
		check(atomic_load(&attempt->claims) == 0);
		attempt->is_running = 0;
	}
	atomic_store(&running, 0);
	join_workers(CLAIMANTS);
}

/* ---- Timers ------------------------------------------------------------------------------------------------------ */

#define TIMERS 16
#define CHANGES 20000

static struct executor executor;

static struct test_timer {
	struct timer timer;
	atomic_int sets, cancels, fires;
} timers[TIMERS];

static void open_executor(int64_t near_ns)
{
	const struct executor_config config = {
		.allocator = &unit_allocator, .thread_name = "unit", .thread_idle_ns = TIME_NEVER};

	assert_int_equal(FAAS_OK, faas__executor_init(&executor, &config));
	executor.run_queue.near_ns = near_ns;
}

static void fire(struct timer *timer, int64_t now)
{
	struct test_timer *fired = (struct test_timer *)timer;

	(void)now;
	atomic_fetch_add(&fired->fires, 1);
	/* As a worker's timer does: sets itself once in a while. */
	if (atomic_load(&fired->fires) % 8 == 0 && faas__timer_set(&executor, timer, now + 5))
		atomic_fetch_add(&fired->sets, 1);
}

static void *change_timers(void *arg)
{
	struct worker *worker = arg;

	for (int i = 0; i < CHANGES; i++) {
		struct test_timer *timer = &timers[unit_below(&worker->random, TIMERS)];

		if (worker->index == 0)
			faas__timers_fire(&executor, i);
		else if (unit_below(&worker->random, 3) == 0)
			atomic_fetch_add(&timer->cancels, faas__timer_cancel(&executor, &timer->timer));
		else
			atomic_fetch_add(&timer->sets, faas__timer_set(&executor, &timer->timer,
			                                               i + (int64_t)unit_below(&worker->random, 40) - 20));
	}
	return NULL;
}

/* Whoever set one gets either its firing or a cancel that says so: that is what carries its reference. */
static void each_set_timer_fires_or_is_cancelled(void **state)
{
	(void)state;
	open_executor(0);
	memset(timers, 0, sizeof(timers));
	for (size_t i = 0; i < TIMERS; i++)
		timers[i].timer.fire = fire;
	start_workers("timers", THREADS, change_timers);
	join_workers(THREADS);
	for (size_t i = 0; i < TIMERS; i++)
		atomic_fetch_add(&timers[i].cancels, faas__timer_cancel(&executor, &timers[i].timer));
	for (size_t i = 0; i < TIMERS; i++)
		assert_int_equal(timers[i].sets, timers[i].cancels + timers[i].fires);
	assert_int_equal(TIME_NEVER, faas__timers_next(&executor));
	faas__executor_deinit(&executor);
}

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

#define TURNS 5
#define FEW_TURNS 2 /* of which one is often alone */
#define WORK 20000 /* of each producer */
#define TAKERS 2

/* Work for a turn, and a limit that blocks it: as a function's queue and its concurrency. */
static struct site {
	struct turn turn;
	struct mutex mu;
	atomic_llong work; /* not yet begun */
	int slots;         /* under mu: free */
	int taken;         /* under mu: begun */
	atomic_int takers; /* between taking the turn and saying how it goes on */
} sites[TURNS];
static int turn_count;

static atomic_llong done;

/* What a taker does: begins one piece of work if a slot is free, and says how the turn goes on. */
static bool begin_one(struct site *site)
{
	bool begun = false, goes_on = false;

	check(atomic_fetch_add(&site->takers, 1) == 0);
	faas__mutex_lock(&site->mu);
	if (site->slots > 0 && load_seq_cst(&site->work) > 0) {
		site->slots--;
		site->taken++;
		sub_seq_cst(&site->work, 1);
		begun = true;
	}
	atomic_fetch_sub(&site->takers, 1);
	if (load_seq_cst(&site->work) == 0) {
		faas__turn_idle(&site->turn);
		if (load_seq_cst(&site->work) > 0)
			faas__turn_kick(&executor, &site->turn);
	} else if (site->slots == 0) {
		faas__turn_block(&site->turn);
	} else {
		goes_on = true;
	}
	faas__mutex_unlock(&site->mu);
	if (goes_on)
		faas__turn_again(&executor, &site->turn, NULL, true);
	return begun;
}

static void end_one(struct site *site)
{
	faas__mutex_lock(&site->mu);
	site->slots++;
	faas__turn_unblock(&executor, &site->turn);
	faas__mutex_unlock(&site->mu);
	atomic_fetch_add(&done, 1);
}

static void *make_or_take(void *arg)
{
	struct worker *worker = arg;

	if (worker->index >= TAKERS) {
		for (int i = 0; i < WORK; i++) {
			struct site *site = &sites[unit_below(&worker->random, (uint32_t)turn_count)];

			add_seq_cst(&site->work, 1);
			faas__turn_kick(&executor, &site->turn);
		}
		return NULL;
	}
	while (atomic_load(&done) < (long long)(THREADS - TAKERS) * WORK) {
		struct turn *turn = faas__turn_next(&executor);
		struct site *site = (struct site *)turn;

		if (!turn)
			sched_yield();
		else if (begin_one(site))
			end_one(site);
	}
	return NULL;
}

/* No work is forgotten: between a producer that kicks and a taker that goes idle or blocks, one sees the other. */
static void no_work_is_left_without_a_turn(void **state)
{
	open_executor(*(int64_t *)*state);
	turn_count = *(int64_t *)*state == 0 ? TURNS : FEW_TURNS;
	memset(sites, 0, sizeof(sites));
	for (int i = 0; i < turn_count; i++) {
		faas__turn_init(&sites[i].turn, NULL, 100);
		assert_int_equal(FAAS_OK, faas__mutex_init(&sites[i].mu));
		sites[i].slots = 1 + i % 2;
	}
	atomic_store(&done, 0);
	start_workers("turns", THREADS, make_or_take);
	join_workers(THREADS);
	for (int i = 0; i < turn_count; i++) {
		assert_int_equal(0, atomic_load(&sites[i].work));
		assert_int_equal(1 + i % 2, sites[i].slots);
		faas__mutex_deinit(&sites[i].mu);
	}
	while (faas__turn_next(&executor))
		continue;
	assert_false(faas__run_queue_has_turns(&executor.run_queue));
	faas__executor_deinit(&executor);
}

#define ROUNDS 100000

static atomic_uint ready_rounds; /* odd: two turns were made ready, and one at most was taken */

static void *look_for_turns(void *arg)
{
	(void)arg;
	for (;;) {
		unsigned round = atomic_load(&ready_rounds);
		bool seen = faas__run_queue_has_turns(&executor.run_queue);

		if (round >= 2 * ROUNDS)
			return NULL;
		if (round % 2 == 1 && !seen)
			check(atomic_load(&ready_rounds) != round);
	}
}

/* Nobody may fall asleep over a turn that somebody else moves from the stack to the heap. */
static void a_ready_turn_is_seen_wherever_it_stands(void **state)
{
	struct turn turns[2], *first;

	open_executor(*(int64_t *)*state);
	for (int i = 0; i < 2; i++)
		faas__turn_init(&turns[i], NULL, 100);
	atomic_store(&ready_rounds, 0);
	start_workers("ready", 1, look_for_turns);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 2; i++)
			faas__turn_kick(&executor, &turns[i]);
		atomic_fetch_add(&ready_rounds, 1);
		first = faas__turn_next(&executor);
		check(first == &turns[0]);
		atomic_fetch_add(&ready_rounds, 1);
		check(faas__turn_next(&executor) == &turns[1]);
		check(!faas__run_queue_has_turns(&executor.run_queue));
		for (int i = 0; i < 2; i++)
			faas__turn_idle(&turns[i]);
	}
	join_workers(1);
	faas__executor_deinit(&executor);
}

/* In manual mode turns stand in the heap; with threads in a list, and one that is alone is taken past both. */
static int64_t manual_ns = 0, threads_ns = 20000;

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_keeps_each_producers_order),
		cmocka_unit_test(claims_hold_the_owner),
		cmocka_unit_test(each_set_timer_fires_or_is_cancelled),
		cmocka_unit_test_prestate(no_work_is_left_without_a_turn, &manual_ns),
		{"no_work_is_left_without_a_turn (near)", no_work_is_left_without_a_turn, NULL, NULL, &threads_ns},
		cmocka_unit_test_prestate(a_ready_turn_is_seen_wherever_it_stands, &manual_ns),
		{"a_ready_turn_is_seen_wherever_it_stands (near)", a_ready_turn_is_seen_wherever_it_stands, NULL, NULL, &threads_ns},
	};

	return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}
