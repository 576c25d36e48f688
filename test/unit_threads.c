/* SPDX-License-Identifier: MIT */
/* Pool threads: whom a ready turn is left to, who is woken for it, and what happens where a thread is held up. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "executor/executor.h"
#include "faas/clock.h"

static struct executor executor;

static struct thread *thread_new(struct executor *of)
{
	struct thread *thread = faas__alloc_aligned(of->allocator, sizeof(*thread), FAAS_LINE);

	if (!thread)
		return NULL;
	memset(thread, 0, sizeof(*thread));
	if (faas__thread_init(thread, of, false) == FAAS_OK)
		return thread;
	faas__free_aligned(of->allocator, thread, sizeof(*thread), FAAS_LINE);
	return NULL;
}

static void thread_free(struct thread *thread)
{
	faas__thread_deinit(thread);
	faas__free_aligned(executor.allocator, thread, sizeof(*thread), FAAS_LINE);
}

static void do_nothing(struct thread *thread)
{
	(void)thread;
}

static bool is_never_ahead(struct thread *thread)
{
	(void)thread;
	return false;
}

static void trim_nothing(struct executor *of)
{
	(void)of;
}

static const struct executor_ops plain_ops = {
	.thread_new = thread_new,
	.thread_free = thread_free,
	.thread_begin = do_nothing,
	.thread_end = do_nothing,
	.thread_unlisted = do_nothing,
	.is_ahead = is_never_ahead,
	.hand_back = do_nothing,
	.trim = trim_nothing,
	.last_left = do_nothing,
};

static void open_with(int threads, int spin_us, faas_clock *clock)
{
	const struct executor_config config = {.ops = plain_ops, .allocator = &unit_allocator, .thread_name = "unit",
	                                       .thread_idle_ns = TIME_NEVER, .threads = threads, .max_threads = threads,
	                                       .spin_us = spin_us, .clock = clock};

	assert_int_equal(FAAS_OK, faas__executor_init(&executor, &config));
}

static void open_executor(int threads)
{
	open_with(threads, 0, NULL);
}

static void close_executor(void)
{
	faas__executor_stop(&executor);
	assert_int_equal(0, faas__executor_join(&executor, TIME_NEVER));
	faas__executor_quiesce(&executor);
	faas__executor_deinit(&executor);
}

/* Until so many are parked, and nobody is to come by. */
static void await_parked(uint32_t count)
{
	while (load_seq_cst(&executor.parked_count) != count || load_seq_cst(&executor.attentive) != 0)
		sched_yield();
}

/* ---- Held up ----------------------------------------------------------------------------------------------------- */

static atomic_int keeping, is_over, passed;

/* Keeps its thread, and a processor. */
static bool keep(struct turn *turn, struct thread *thread)
{
	(void)thread;
	faas__turn_idle(turn);
	atomic_fetch_add(&keeping, 1);
	while (!atomic_load(&is_over))
		continue;
	return true;
}

static bool pass(struct turn *turn, struct thread *thread)
{
	(void)thread;
	faas__turn_idle(turn);
	atomic_fetch_add(&passed, 1);
	return true;
}

/*
 * Each processor has a thread that will not come back for long, and nobody was called for a turn that was put back: then
 * the monitor calls one of those that are parked.
 */
static void a_turn_that_was_put_back_does_not_wait_for_threads_that_are_held_up(void **state)
{
	static struct turn keepers[64], last;
	const int cpus = faas__cpu_count() < 64 ? faas__cpu_count() : 64;

	(void)state;
	open_executor(cpus + 1);
	for (int i = 0; i < cpus; i++) {
		faas__turn_init(&keepers[i], keep, 100);
		faas__turn_kick(&executor, &keepers[i]);
		while (atomic_load(&keeping) <= i)
			sched_yield();
	}
	faas__turn_init(&last, pass, 100);
	faas__turn_kick(&executor, &last);
	while (atomic_load(&passed) == 0)
		sched_yield();
	await_parked(1);
	store_seq_cst(&last.state, TURN_READY);
	faas__turn_again(&executor, &last, NULL, false);
	while (atomic_load(&passed) == 1)
		sched_yield();
	atomic_store(&is_over, 1);
	close_executor();
}

/* ---- Who is woken ------------------------------------------------------------------------------------------------ */

/* Wakes one of three that are parked, the lowest of which slept on processor `cpu` (-1: on the waker's). Which one. */
static int wake_one_of_three(int cpu)
{
	struct thread *parked[3], *first;
	int here;

	do {
		await_parked(3);
		here = faas__thread_cpu();
		faas__mutex_lock(&executor.idle_mu);
		parked[0] = executor.parked;
		parked[1] = parked[0]->parked_below;
		parked[2] = parked[1]->parked_below;
		parked[0]->parked_cpu = parked[1]->parked_cpu = here;
		parked[2]->parked_cpu = cpu == -1 ? here : cpu;
		faas__mutex_unlock(&executor.idle_mu);
		faas__executor_wake(&executor);
	} while (faas__thread_cpu() != here);
	/* It finds nothing, and parks on top of the others. */
	await_parked(3);
	faas__mutex_lock(&executor.idle_mu);
	first = executor.parked;
	faas__mutex_unlock(&executor.idle_mu);
	return first == parked[0] ? 0 : first == parked[1] ? 1 : 2;
}

static void a_thread_that_slept_on_another_processor_is_woken_first(void **state)
{
	static struct turn keepers[3];

	(void)state;
	open_executor(3);
	atomic_store(&keeping, 0);
	atomic_store(&is_over, 0);
	for (int i = 0; i < 3; i++) {
		faas__turn_init(&keepers[i], keep, 100);
		faas__turn_kick(&executor, &keepers[i]);
		while (atomic_load(&keeping) <= i)
			sched_yield();
	}
	atomic_store(&is_over, 1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(2, wake_one_of_three(1000000));
		assert_int_equal(0, wake_one_of_three(-1));
	}
	close_executor();
}

/* ---- Whom others count on ----------------------------------------------------------------------------------------- */

/* Threads that are not there: they stand on the stack of those that are parked, and tell whether they were woken. */
static struct thread absent[2];

static void add_absent(struct thread *thread)
{
	memset(thread, 0, sizeof(*thread));
	assert_int_equal(FAAS_OK, faas__thread_init(thread, &executor, false));
	/* Whoever wakes it may keep it off a processor. */
	thread->handle.t = pthread_self();
	faas__mutex_lock(&executor.idle_mu);
	thread->is_parked = true;
	thread->parked_cpu = -1;
	thread->parked_below = executor.parked;
	executor.parked = thread;
	add_seq_cst(&executor.parked_count, 1);
	faas__mutex_unlock(&executor.idle_mu);
}

/* It does not do it itself: the thread that it stands for was kept off a processor. */
static void remove_absent(struct thread *thread)
{
	if (thread->kept_off != 0)
		faas__thread_let_go(&thread->handle, thread->kept_off - 1);
	faas__thread_deinit(thread);
}

static bool was_woken(struct thread *thread)
{
	return load_acquire(&thread->parking.word) == PARKING_WOKEN;
}

static void a_ready_turn_is_left_to_those_who_will_come_by(void **state)
{
	(void)state;
	open_executor(1);
	for (int i = 0; i < 2; i++)
		add_absent(&absent[i]);
	/* One looks around. */
	store_seq_cst(&executor.attentive, 1);
	faas__executor_wake(&executor);
	faas__executor_wake_more(&executor, NULL);
	assert_false(was_woken(&absent[1]));
	assert_int_equal(0, load_seq_cst(&executor.monitor.is_relied_on));
	/* One is at work, but not for long; until there is more than it can do. */
	store_seq_cst(&executor.attentive, THREAD_QUICK);
	faas__executor_wake(&executor);
	assert_false(was_woken(&absent[1]));
	faas__executor_wake_more(&executor, NULL);
	assert_true(was_woken(&absent[1]));
	assert_true(load_seq_cst(&executor.attentive) == THREAD_QUICK + THREAD_WOKEN);
	/* That one is on its way, and enough. */
	faas__executor_wake_more(&executor, NULL);
	assert_false(was_woken(&absent[0]));
	/* That one is gone to work for long, and so is the other. */
	store_seq_cst(&executor.attentive, 0);
	faas__executor_wake(&executor);
	assert_true(was_woken(&absent[0]));
	assert_true(load_seq_cst(&executor.attentive) == THREAD_WOKEN);
	assert_int_equal(0, load_seq_cst(&executor.parked_count));
	for (int i = 0; i < 2; i++)
		remove_absent(&absent[i]);
	close_executor();
}

static void one_that_is_on_its_way_is_enough(void **state)
{
	(void)state;
	open_executor(1);
	for (int i = 0; i < 2; i++)
		add_absent(&absent[i]);
	for (int i = 0; i < 3; i++)
		faas__executor_wake(&executor);
	assert_true(was_woken(&absent[1]));
	assert_false(was_woken(&absent[0]));
	faas__executor_stop(&executor);
	assert_true(was_woken(&absent[0]));
	for (int i = 0; i < 2; i++)
		remove_absent(&absent[i]);
	close_executor();
}

/* ---- How long they look around ----------------------------------------------------------------------------------- */

#define SPIN_NS 8000

static _Atomic(int64_t) now_ns;

static int64_t tell_now(void *user)
{
	(void)user;
	return atomic_load(&now_ns);
}

static void await_looking(void)
{
	while (faas__executor_looking(&executor) == 0)
		sched_yield();
	/* It looks at the clock first, now and then: by now it has. */
	for (uint32_t looks = load_relaxed(&executor.looks); load_relaxed(&executor.looks) < looks + 2;)
		sched_yield();
}

static void wake_in_vain(int64_t takes_ns)
{
	/* Not so soon that it should have waited for this. */
	atomic_fetch_add(&now_ns, SPIN_NS);
	faas__executor_wake(&executor);
	await_looking();
	atomic_fetch_add(&now_ns, takes_ns);
	await_parked(1);
}

/* Has a turn taken, by a thread that looks around then. */
static void pass_one(struct turn *turn)
{
	const int before = atomic_load(&passed);

	faas__turn_kick(&executor, turn);
	while (atomic_load(&passed) == before)
		sched_yield();
	await_looking();
}

static void one_that_looked_in_vain_often_looks_for_less_long(void **state)
{
	const faas_clock_config config = {.struct_size = sizeof(config), .monotonic_ns = tell_now};
	struct turn turn;
	faas_clock *clock;

	(void)state;
	atomic_store(&now_ns, 1);
	atomic_store(&passed, 0);
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &clock));
	open_with(1, SPIN_NS / 1000, clock);
	faas__turn_init(&turn, pass, 100);
	pass_one(&turn);
	for (int i = 0; i < 20; i++) {
		/* One that has found something is patient again. */
		if (i > 0) {
			faas__executor_wake(&executor);
			await_looking();
			pass_one(&turn);
		}
		atomic_fetch_add(&now_ns, SPIN_NS / 2);
		await_looking();
		atomic_fetch_add(&now_ns, SPIN_NS / 2);
		await_parked(1);
		for (int k = 1; k < 8; k++)
			wake_in_vain(SPIN_NS);
		wake_in_vain(SPIN_NS / 32);
		/* This comes so soon that more patience would have paid. */
		if (i % 2 == 1) {
			atomic_fetch_add(&now_ns, SPIN_NS / 2);
			pass_one(&turn);
			atomic_fetch_add(&now_ns, SPIN_NS / 2);
			await_looking();
			atomic_fetch_add(&now_ns, SPIN_NS / 2);
			await_parked(1);
			atomic_fetch_add(&now_ns, SPIN_NS);
		}
	}
	close_executor();
	faas_clock_unref(clock);
}

/* ---- What they say of themselves --------------------------------------------------------------------------------- */

static atomic_int wrong;

static void expect_state(struct thread *thread, uint64_t expected)
{
	if (load_relaxed(&thread->state) != expected || load_seq_cst(&executor.attentive) != (expected & ~THREAD_IDLE))
		atomic_fetch_add(&wrong, 1);
}

static bool pass_quickly(struct turn *turn, struct thread *thread)
{
	expect_state(thread, THREAD_QUICK);
	return pass(turn, thread);
}

static bool pass_slowly(struct turn *turn, struct thread *thread)
{
	expect_state(thread, THREAD_BUSY);
	return pass(turn, thread);
}

/* Known as quick, and it finds out that it will not be. */
static bool slow_down(struct turn *turn, struct thread *thread)
{
	expect_state(thread, THREAD_QUICK);
	faas__thread_slow_down(thread);
	expect_state(thread, THREAD_BUSY);
	return pass(turn, thread);
}

static bool wait_inside(struct turn *turn, struct thread *thread)
{
	expect_state(thread, THREAD_QUICK);
	faas__thread_wait_begin(thread);
	expect_state(thread, THREAD_BUSY);
	faas__thread_wait_end(thread);
	return pass(turn, thread);
}

static void a_thread_says_whether_it_will_come_by(void **state)
{
	static faas__take_fn *const takes[] = {pass_quickly, pass_slowly, slow_down, wait_inside};
	static struct turn turns[COUNT_OF(takes)];
	struct random random = unit_random("a_thread_says_whether_it_will_come_by");

	(void)state;
	open_executor(1);
	atomic_store(&wrong, 0);
	atomic_store(&passed, 0);
	for (size_t i = 0; i < COUNT_OF(turns); i++) {
		faas__turn_init(&turns[i], takes[i], 100);
		store_relaxed(&turns[i].expected_ns, i == 1 ? 0 : 300);
	}
	for (int round = 1; round <= 300; round++) {
		faas__turn_kick(&executor, &turns[unit_below(&random, COUNT_OF(turns))]);
		while (atomic_load(&passed) < round)
			sched_yield();
		if (round % 10 == 0)
			await_parked(1);
	}
	assert_int_equal(0, load_relaxed(&executor.run_queue.expected_ns));
	assert_int_equal(0, atomic_load(&wrong));
	close_executor();
}

static _Atomic(uint64_t) seen_state; /* of a thread at its turn */

/* Its handler was always fast, and this time it is not. */
static bool keep_attempt(struct turn *turn, struct thread *thread)
{
	/* Before the monitor can see it. */
	atomic_store(&seen_state, load_relaxed(&thread->state));
	faas__slot_begin(&thread->slots[0], NULL, TIME_NEVER);
	(void)keep(turn, thread);
	faas__slot_end(&thread->slots[0]);
	return true;
}

/* A turn is left to a thread that does not come by; another one takes it; and from then on nobody counts on the first. */
static void nobody_counts_for_long_on_a_thread_that_is_held_up(void **state)
{
	static struct turn keeper, other;

	(void)state;
	open_executor(2);
	atomic_store(&keeping, 0);
	atomic_store(&is_over, 0);
	atomic_store(&passed, 0);
	faas__turn_init(&keeper, keep_attempt, 100);
	faas__turn_init(&other, pass, 100);
	store_relaxed(&keeper.expected_ns, 300);
	faas__turn_kick(&executor, &keeper);
	while (atomic_load(&keeping) == 0)
		sched_yield();
	assert_true(atomic_load(&seen_state) == THREAD_QUICK);
	faas__turn_kick(&executor, &other);
	while (atomic_load(&passed) == 0 || load_seq_cst(&executor.attentive) != 0)
		sched_yield();
	atomic_store(&is_over, 1);
	await_parked(2);
	close_executor();
}

/* One comes back and finds more than it can do soon: many short turns, or one of which nothing is known. */
static void a_thread_calls_another_when_much_is_ready(void **state)
{
	static struct turn keeper, others[100];

	(void)state;
	for (int is_long = 0; is_long < 2; is_long++) {
		const int count = is_long ? 2 : (int)COUNT_OF(others);

		open_executor(1);
		atomic_store(&keeping, 0);
		atomic_store(&is_over, 0);
		atomic_store(&passed, 0);
		faas__turn_init(&keeper, keep, 100);
		store_relaxed(&keeper.expected_ns, 300);
		faas__turn_kick(&executor, &keeper);
		while (atomic_load(&keeping) == 0)
			sched_yield();
		add_absent(&absent[0]);
		for (int i = 0; i < count; i++) {
			faas__turn_init(&others[i], pass, 100);
			store_relaxed(&others[i].expected_ns, 300);
		}
		if (is_long) {
			/* It comes last, and yet it is not left to wait for the other. */
			store_relaxed(&others[0].expected_ns, 0);
			faas__turn_charge(&others[0], 1000000);
		}
		for (int i = 0; i < count; i++)
			faas__turn_kick(&executor, &others[i]);
		atomic_store(&is_over, 1);
		while (atomic_load(&passed) < count)
			sched_yield();
		assert_true(was_woken(&absent[0]));
		remove_absent(&absent[0]);
		close_executor();
	}
}

static struct turn beside;

/* It goes on with its turn while another is ready, which it does not know to be over soon. */
static bool go_on(struct turn *turn, struct thread *thread)
{
	bool was_quick = load_relaxed(&turn->expected_ns) != 0;

	expect_state(thread, was_quick ? THREAD_QUICK : THREAD_BUSY);
	add_absent(&absent[0]);
	store_seq_cst(&beside.state, TURN_READY);
	faas__turn_again(thread->executor, &beside, NULL, false);
	/* One that was quick calls somebody even so: those who made turns ready rely on it. */
	store_relaxed(&turn->expected_ns, 0);
	faas__thread_stays(thread, turn, !was_quick);
	if (!was_woken(&absent[0]) || load_relaxed(&thread->state) != THREAD_BUSY)
		atomic_fetch_add(&wrong, 1);
	return pass(turn, thread);
}

static void a_thread_that_goes_on_calls_another(void **state)
{
	static struct turn turn;

	(void)state;
	for (int is_quick = 0; is_quick < 2; is_quick++) {
		open_executor(1);
		atomic_store(&wrong, 0);
		atomic_store(&passed, 0);
		faas__turn_init(&turn, go_on, 100);
		faas__turn_init(&beside, pass, 100);
		store_relaxed(&turn.expected_ns, is_quick ? 300 : 0);
		faas__turn_kick(&executor, &turn);
		while (atomic_load(&passed) < 2)
			sched_yield();
		assert_int_equal(0, atomic_load(&wrong));
		remove_absent(&absent[0]);
		close_executor();
	}
}

static atomic_int before, after, asked, cpus_of_host;

/* Where it was kept off while it was started or woken, it may run again. */
static bool look_where_it_may_run(struct turn *turn, struct thread *thread)
{
	if (faas__cpu_count() != atomic_load(&cpus_of_host))
		atomic_fetch_add(&wrong, 1);
	return pass(turn, thread);
}

/* More is ready than it can do: it starts the other thread, or wakes it. */
static bool call_another(struct turn *turn, struct thread *thread)
{
	atomic_store(&before, (int)load_relaxed(&executor.thread_count));
	store_seq_cst(&beside.state, TURN_READY);
	faas__turn_again(&executor, &beside, thread, true);
	atomic_store(&after, (int)load_relaxed(&executor.thread_count));
	/* The monitor for one. */
	if (load_seq_cst(&executor.monitor.wants_thread) != 0)
		atomic_fetch_add(&asked, 1);
	/* Only the other one may take it. */
	while (faas__run_queue_has_turns(&executor.run_queue))
		sched_yield();
	return look_where_it_may_run(turn, thread);
}

/* Whoever would have to do it otherwise has to be given a processor first. */
static void a_thread_starts_the_next_one_by_itself(void **state)
{
	static struct turn turn;
	int started = 0;

	(void)state;
	atomic_store(&cpus_of_host, faas__cpu_count());
	atomic_store(&wrong, 0);
	/* Where the first one was slow to begin, the monitor may have started another, or be about to. */
	for (int rounds = 0; started < 20; rounds++) {
		assert_in_range(rounds, 0, 2000);
		open_executor(2);
		atomic_store(&passed, 0);
		faas__turn_init(&turn, call_another, 100);
		faas__turn_init(&beside, look_where_it_may_run, 100);
		faas__turn_kick(&executor, &turn);
		while (atomic_load(&passed) < 2)
			sched_yield();
		started += atomic_load(&before) == 1 && atomic_load(&after) == 2;
		/* Now the other one is asleep. */
		await_parked(2);
		faas__turn_kick(&executor, &turn);
		while (atomic_load(&passed) < 4)
			sched_yield();
		assert_int_equal(0, atomic_load(&wrong));
		close_executor();
	}
	/* As a rule it asks nobody: what is left is of the first event, whose emitter was slow to ask. */
	assert_in_range(atomic_load(&asked), 0, started - 1);
}

static void no_more_threads_are_started_than_there_may_be(void **state)
{
	static struct turn turn;

	(void)state;
	open_executor(1);
	atomic_store(&passed, 0);
	faas__turn_init(&turn, pass, 100);
	faas__turn_kick(&executor, &turn);
	while (atomic_load(&passed) < 1)
		sched_yield();
	await_parked(1);
	assert_false(faas__thread_start_one(&executor, 1, -1));
	/* Nor has it been counted: as one on its way, as one that failed. */
	assert_true(load_seq_cst(&executor.attentive) == 0);
	assert_int_equal(0, load_relaxed(&executor.thread_failures));
	assert_int_equal(1, load_relaxed(&executor.thread_count));
	assert_true(faas__thread_start_one(&executor, 2, faas__thread_cpu()));
	await_parked(2);
	faas__executor_stop(&executor);
	assert_false(faas__thread_start_one(&executor, 3, -1));
	assert_int_equal(0, load_relaxed(&executor.thread_failures));
	close_executor();
}

/*
 * Whether the monitor is awake, or will be within a few ticks; or another thread looks around or is on its way, however
 * long it waits for a processor. While the monitor looks it may not be ticking, so that it sleeps is read on both sides of
 * that; and one that woke and slept meanwhile will be seen to tick by the next of many looks.
 */
static bool is_watching(void)
{
	struct monitor *monitor = &executor.monitor;

	for (int looks = 0; looks < 100; looks++) {
		if (load_seq_cst(&monitor->parking.word) != PARKING_ASLEEP || load_seq_cst(&monitor->is_ticking) != 0 ||
		    load_seq_cst(&monitor->parking.word) != PARKING_ASLEEP ||
		    (load_seq_cst(&executor.attentive) & (LOOKING_MASK | WOKEN_MASK)) != 0)
			return true;
		sched_yield();
	}
	return false;
}

/* One that looked around saw two turns, and the one it took is not what it was known to be. */
static void what_a_looker_leaves_is_watched_over(void **state)
{
	static struct turn keeper, other;
	const faas_clock_config config = {.struct_size = sizeof(config), .monotonic_ns = tell_now};
	faas_clock *clock;

	(void)state;
	atomic_store(&now_ns, 1);
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &clock));
	for (int i = 0; i < 30; i++) {
		open_with(2, SPIN_NS / 1000, clock);
		atomic_store(&passed, 0);
		faas__turn_init(&keeper, keep_attempt, 100);
		faas__turn_init(&other, pass, 100);
		faas__turn_kick(&executor, &other);
		/* Perhaps two, where the first was slow to begin: then each takes itself for one too many, and the clock stands. */
		while (faas__executor_looking(&executor) == 0)
			sched_yield();
		while (load_seq_cst(&executor.monitor.is_ticking) != 0)
			sched_yield();
		store_relaxed(&keeper.expected_ns, 300);
		store_relaxed(&other.expected_ns, 300);
		atomic_store(&keeping, 0);
		atomic_store(&is_over, 0);
		faas__turn_kick(&executor, &keeper);
		faas__turn_kick(&executor, &other);
		while (atomic_load(&keeping) == 0)
			sched_yield();
		while (atomic_load(&passed) < 2) {
			const bool was_watching = is_watching();

			if (faas__run_queue_has_turns(&executor.run_queue))
				assert_true(was_watching);
			sched_yield();
		}
		atomic_store(&is_over, 1);
		close_executor();
	}
	faas_clock_unref(clock);
}

/* Nothing has happened, so it sleeps without end. */
static void a_monitor_at_rest_can_be_stopped(void **state)
{
	(void)state;
	open_with(1, SPIN_NS / 1000, NULL);
	while (HAS_FUTEX && load_seq_cst(&executor.monitor.parking.word) != PARKING_ASLEEP)
		sched_yield();
	close_executor();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_monitor_at_rest_can_be_stopped),
		cmocka_unit_test(a_turn_that_was_put_back_does_not_wait_for_threads_that_are_held_up),
		cmocka_unit_test(a_thread_that_slept_on_another_processor_is_woken_first),
		cmocka_unit_test(a_ready_turn_is_left_to_those_who_will_come_by),
		cmocka_unit_test(one_that_is_on_its_way_is_enough),
		cmocka_unit_test(one_that_looked_in_vain_often_looks_for_less_long),
		cmocka_unit_test(a_thread_says_whether_it_will_come_by),
		cmocka_unit_test(nobody_counts_for_long_on_a_thread_that_is_held_up),
		cmocka_unit_test(a_thread_calls_another_when_much_is_ready),
		cmocka_unit_test(a_thread_that_goes_on_calls_another),
		cmocka_unit_test(a_thread_starts_the_next_one_by_itself),
		cmocka_unit_test(no_more_threads_are_started_than_there_may_be),
		cmocka_unit_test(what_a_looker_leaves_is_watched_over),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
