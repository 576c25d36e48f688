/* SPDX-License-Identifier: MIT */
/* Manual mode itself: steps, what is due when, order and seeds, and what moving the clock does and does not do. */
#include "support_run.h"

#include <sched.h>

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static void count_up(faas_invocation *invocation, void *user)
{
	(void)invocation;
	++*(int *)user;
}

static void each_thing_that_runs_user_code_is_a_step(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	int told = 0;

	stage_register(stage, "f", ONCE(.keep_warm_ms = 100, .deadline_ms = 10));
	assert_int_equal(0, faas_run(stage->bed.runtime, 100));
	for (int i = 0; i < 5; i++)
		stage_queue(stage, "f", NULL);
	/* An attempt with its init is one. */
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(1, stage->life.inits);
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(2, faas_run(stage->bed.runtime, 2));
	assert_int_equal(3, stage->life.runs);
	assert_int_equal(2, faas_run(stage->bed.runtime, 100));
	assert_int_equal(0, faas_run(stage->bed.runtime, 1));
	/* A worker's end is one. */
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(1, faas_run(stage->bed.runtime, 100));
	assert_int_equal(1, stage->life.finis);
	/* So is a failed init, and a callback that a deadline has left. */
	stage->life.init_fails = 1;
	stage_queue(stage, "f", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 100));
	assert_int_equal(1, stage->life.failures);
	bed_advance_ms(&stage->bed, 100);
	invocation = stage_start(stage, "f", JOB(.takes_ns = 10 * MS));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, count_up, &told));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(0, told);
	assert_int_equal(1, faas_run(stage->bed.runtime, 100));
	assert_int_equal(1, told);
	faas_invocation_unref(invocation);
}

static void steps_without_sense_are_refused(void **state)
{
	struct stage *stage = *state;
	int64_t due = 77;

	assert_int_equal(FAAS_EINVAL, faas_run(NULL, 1));
	assert_int_equal(FAAS_EINVAL, faas_run(stage->bed.runtime, 0));
	assert_int_equal(FAAS_EINVAL, faas_run(stage->bed.runtime, -1));
	assert_int_equal(FAAS_EINVAL, faas_next_due(NULL, &due));
	assert_int_equal(FAAS_EINVAL, faas_next_due(stage->bed.runtime, NULL));
	assert_int_equal(77, due);
	assert_int_equal(0, faas_run(stage->bed.runtime, INT32_MAX));
}

/* ---- What is due ------------------------------------------------------------------------------------------------- */

/* Nothing runs before its time; then it is the next step. */
static void assert_next(struct stage *stage, int64_t due_ns, int steps)
{
	assert_int_equal(due_ns, bed_next_due(&stage->bed));
	stage_advance_ns(stage, due_ns - 1);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, bed_next_due(&stage->bed));
	stage_advance_ns(stage, 1);
	assert_int_equal(0, bed_next_due(&stage->bed));
	assert_int_equal(steps, bed_run(&stage->bed));
}

static void what_is_due_first_is_told_to_the_nanosecond(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	stage_register(stage, "a", ONCE(.keep_warm_ms = 30));
	stage_register(stage, "b", ONCE(.keep_warm_ms = 10));
	stage_register(stage, "c", ONCE(.keep_warm_ms = 100, .init_backoff_ms = 20));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	stage_queue(stage, "a", NULL);
	assert_int_equal(0, bed_next_due(&stage->bed));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "b", NULL));
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "c", NULL));
	stage_queue(stage, "c", JOB(.takes_ns = 7));
	assert_int_equal(0, bed_run(&stage->bed));
	assert_next(stage, 10 * MS, 1);     /* b's worker goes */
	assert_next(stage, 10 * MS, 1);     /* c starts again */
	assert_next(stage, 10 * MS - 7, 1); /* a's worker goes */
	assert_next(stage, 90 * MS + 7, 1); /* c's */
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	assert_int_equal(3, stage->life.finis);
}

static void a_long_jump_leaves_everything_runnable(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "a", ONCE(.keep_warm_ms = 30));
	stage_register(stage, "b", ONCE(.keep_warm_ms = 10));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "a", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "b", NULL));
	bed_advance_ms(&stage->bed, 1000000);
	assert_int_equal(0, stage->life.finis);
	assert_int_equal(0, bed_next_due(&stage->bed));
	assert_int_equal(2, bed_run(&stage->bed));
	assert_int_equal(2, stage->life.finis);
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

#define MANY 12

/* What a runtime with this seed does with three events for each of twelve functions: who ran, and an event's id. */
static void tell_story(uint64_t seed, char *ret_order, size_t size, char *ret_id)
{
	struct bed bed;
	struct record record;
	faas_invocation *invocation = NULL;
	char buffer[FAAS_ID_SIZE];

	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.seed = seed));
	for (int i = 0; i < MANY; i++) {
		char name[2] = {(char)('a' + i), 0};

		bed_register(&bed, name, ONCE(.handler = record_handler, .user = &record));
		bed_bind(&bed, ">", name);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(MANY, bed_emit(&bed, "x", ""));
	assert_int_equal(3 * MANY, bed_run(&bed));
	snprintf(ret_order, size, "%s", record_functions(&record));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "a", NULL, 0, &invocation));
	snprintf(ret_id, FAAS_ID_SIZE, "%s", faas_event_id(faas_invocation_event(invocation), buffer));
	faas_invocation_unref(invocation);
	bed_close(&bed);
	record_deinit(&record);
}

static void the_same_seed_tells_the_same_story(void **state)
{
	char first[256], second[256], first_id[FAAS_ID_SIZE], second_id[FAAS_ID_SIZE];

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		tell_story(seed, first, sizeof(first), first_id);
		tell_story(seed, second, sizeof(second), second_id);
		assert_string_equal(first, second);
		assert_string_equal(first_id, second_id);
	}
}

static void another_seed_tells_another_story(void **state)
{
	char first[256], second[256], first_id[FAAS_ID_SIZE], second_id[FAAS_ID_SIZE];

	(void)state;
	for (uint64_t seed = 1; seed < 20; seed++) {
		tell_story(seed, first, sizeof(first), first_id);
		tell_story(seed + 1, second, sizeof(second), second_id);
		assert_string_not_equal(first, second);
		assert_string_not_equal(first_id, second_id);
	}
}

static void without_a_seed_those_equally_due_come_in_turn(void **state)
{
	char order[256], id[FAAS_ID_SIZE];

	(void)state;
	tell_story(0, order, sizeof(order), id);
	assert_string_equal("a b c d e f g h i j k l a b c d e f g h i j k l a b c d e f g h i j k l", order);
}

/* ---- Moving the clock -------------------------------------------------------------------------------------------- */

/* Handlers inside one another, each under a deadline of its own, until the innermost lets all of them pass. */
struct pile {
	struct stage *stage;
	const char *names; /* one letter each */
	int at;
	char settled[8]; /* in the order of the callbacks */
};

static void note_name(faas_invocation *invocation, void *user)
{
	struct pile *pile = user;

	strcat(pile->settled, faas_invocation_function(invocation));
}

static void pile_up(faas_context *context, void *arg)
{
	struct pile *pile = arg;
	char name[2] = {pile->names[++pile->at], 0};
	faas_invocation *next = NULL;

	if (name[0] == 0) {
		(void)faas_clock_advance(pile->stage->bed.clock, 1000 * MS);
		return;
	}
	(void)faas_context_invoke_async(context, name, JOB(.does = pile_up, .arg = pile), &next);
	(void)faas_invocation_on_settled(next, note_name, pile);
	(void)faas_invocation_wait(next, FAAS_NEVER);
	faas_invocation_unref(next);
}

static void deadlines_pass_in_the_order_of_their_times(void **state)
{
	static const char *const names[] = {"oabc", "ocba", "obca", "obac"};
	struct stage *stage = *state;

	stage_register(stage, "o", ONCE(.deadline_ms = FAAS_NEVER));
	stage_register(stage, "a", ONCE(.deadline_ms = 10));
	stage_register(stage, "b", ONCE(.deadline_ms = 20));
	stage_register(stage, "c", ONCE(.deadline_ms = 30));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct pile pile = {.stage = stage, .names = names[i]};

		assert_int_equal(FAAS_OK, stage_invoke(stage, "o", JOB(.does = pile_up, .arg = &pile)));
		assert_string_equal("", pile.settled);
		assert_int_equal(3, bed_run(&stage->bed)); /* one step for each callback */
		assert_string_equal("abc", pile.settled);
	}
	assert_int_equal(4, bed_stats(&stage->bed, "c").timed_out);
}

struct still {
	struct stage *stage;
	int runs, finis, told, releases;
};

static void let_everything_fall_due(faas_context *context, void *arg)
{
	struct still *still = arg;

	(void)faas_unregister_function(faas_context_runtime(context), "gone");
	(void)faas_clock_advance(still->stage->bed.clock, 1000000 * MS);
	still->runs = still->stage->life.runs;
	still->finis = still->stage->life.finis;
	still->releases = still->stage->life.releases;
}

static void moving_the_clock_inside_a_handler_runs_nothing(void **state)
{
	struct stage *stage = *state;
	struct still still = {.stage = stage};
	faas_invocation *invocation;

	stage_register(stage, "idle", NULL);
	stage_register(stage, "gone", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "idle", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "gone", NULL));
	stage_register(stage, "f", ONCE(.deadline_ms = FAAS_NEVER));
	stage_register(stage, "ahead", ONCE(.provisioned = 1));
	invocation = stage_start(stage, "f", JOB(.does = let_everything_fall_due, .arg = &still));
	stage_queue(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, count_up, &still.told));
	while (stage->life.runs < 3)
		assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(3, still.runs);
	assert_int_equal(0, still.finis);
	assert_int_equal(0, still.releases);
	bed_run(&stage->bed);
	assert_int_equal(4, stage->life.runs);
	assert_int_equal(2, stage->life.finis);
	assert_int_equal(1, stage->life.releases);
	assert_int_equal(1, still.told);
	faas_invocation_unref(invocation);
}

static void runtimes_on_one_clock_move_together(void **state)
{
	struct stage *stage = *state, other;

	stage_open(&other, NULL);
	/* The other stage gets a runtime on the first one's clock. */
	assert_int_equal(FAAS_OK, faas_close(other.bed.runtime, 0, 0));
	faas_clock_unref(other.bed.clock);
	other.bed.clock = faas_clock_ref(stage->bed.clock);
	other.life.clock = other.bed.clock;
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = other.bed.clock,
	                                                 .allocator = &other.bed.memory.config),
	                                    &other.bed.runtime));
	stage_register(stage, "f", ONCE(.keep_warm_ms = 10));
	stage_register(&other, "f", ONCE(.keep_warm_ms = 20));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(&other, "f", JOB(.takes_ns = 1 * MS)));
	assert_int_equal(9 * MS, bed_next_due(&stage->bed));
	assert_int_equal(20 * MS, bed_next_due(&other.bed));
	bed_advance_ms(&stage->bed, 20);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, bed_run(&other.bed));
	stage_close(&other);
	/* The clock goes on for the other one. */
	bed_advance_ms(&stage->bed, 20);
}

/* ---- Other clocks ------------------------------------------------------------------------------------------------ */

static int64_t read_time(void *user)
{
	return *(const int64_t *)user;
}

/* A clock that nobody advances through the library: what is due is looked at when the host runs steps. */
static void a_hosts_clock_fires_when_steps_are_run(void **state)
{
	int64_t now = 5;
	const faas_clock_config config = {.struct_size = sizeof(config), .monotonic_ns = read_time, .user = &now};
	struct stage stage = {.life = {.registered = 0}};

	(void)state;
	memory_init(&stage.bed.memory);
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &stage.bed.clock));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(stage.bed.clock, 1));
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = stage.bed.clock,
	                                                 .allocator = &stage.bed.memory.config),
	                                    &stage.bed.runtime));
	stage_register(&stage, "f", ONCE(.keep_warm_ms = 10));
	assert_int_equal(FAAS_OK, stage_invoke(&stage, "f", NULL));
	assert_int_equal(10 * MS, bed_next_due(&stage.bed));
	now += 10 * MS - 1;
	assert_int_equal(1, bed_next_due(&stage.bed));
	assert_int_equal(0, bed_run(&stage.bed));
	now += 1;
	assert_int_equal(0, bed_next_due(&stage.bed));
	assert_int_equal(1, bed_run(&stage.bed));
	assert_int_equal(1, stage.life.finis);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage.bed));
	stage_close(&stage);
}

static void open_on_real_time(struct bed *bed, int32_t threads)
{
	memory_init(&bed->memory);
	bed->clock = NULL;
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = threads, .max_threads = threads > 0 ? threads : 0,
	                                                 .allocator = &bed->memory.config),
	                                    &bed->runtime));
}

static void real_time_needs_no_threads_either(void **state)
{
	struct bed bed;
	struct record record;
	faas_invocation *invocation = NULL;

	(void)state;
	record_init(&record);
	open_on_real_time(&bed, FAAS_NONE);
	bed_register(&bed, "f", ONCE(.handler = record_handler, .user = &record, .keep_warm_ms = 3600000));
	assert_int_equal(FAAS_NEVER, bed_next_due(&bed));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, &invocation));
	assert_int_equal(0, record.count);
	assert_int_equal(0, bed_next_due(&bed));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(1, record.count);
	assert_in_range(bed_next_due(&bed), 1, 3600000 * MS);
	assert_int_equal(0, bed_run(&bed));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	assert_int_equal(0, bed_totals(&bed).threads_started);
	assert_int_equal(FAAS_OK, faas_drain(bed.runtime, FAAS_NEVER));
	faas_invocation_unref(invocation);
	bed_close(&bed);
	record_deinit(&record);
}

/* It may find nothing in the moment in which the other thread takes the function's turn. */
static void *run_one_step(void *arg)
{
	struct bed *bed = arg;
	int steps;

	while ((steps = faas_run(bed->runtime, 1)) == 0)
		sched_yield();
	return steps == 1 ? NULL : arg;
}

/* Two handlers wait for each other to come to the gate: only two threads at once can do that. */
static void several_threads_may_run_steps_at_once(void **state)
{
	struct bed bed;
	struct gate gate;
	pthread_t threads[2];
	void *result;

	(void)state;
	gate_init(&gate);
	open_on_real_time(&bed, FAAS_NONE);
	bed_register(&bed, "f", ONCE(.handler = gate_handler, .user = &gate, .deadline_ms = FAAS_NEVER));
	for (int i = 0; i < 2; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, NULL));
	for (int i = 0; i < 2; i++)
		assert_int_equal(0, pthread_create(&threads[i], NULL, run_one_step, &bed));
	gate_await(&gate, 2);
	assert_int_equal(2, bed_stats(&bed, "f").busy);
	gate_open(&gate);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(0, pthread_join(threads[i], &result));
		assert_null(result);
	}
	assert_int_equal(2, bed_stats(&bed, "f").succeeded);
	bed_close(&bed);
	gate_deinit(&gate);
}

static void a_host_may_lend_its_thread_to_a_pool(void **state)
{
	struct bed bed;
	struct gate gate;
	struct record record;
	faas_invocation *invocation = NULL;

	(void)state;
	gate_init(&gate);
	record_init(&record);
	open_on_real_time(&bed, 1);
	bed_register(&bed, "held", ONCE(.handler = gate_handler, .user = &gate, .deadline_ms = FAAS_NEVER));
	bed_register(&bed, "f", ONCE(.handler = record_handler, .user = &record));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "held", NULL, NULL));
	gate_await(&gate, 1);
	/* The only pool thread stands at the gate. */
	assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, &invocation));
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocation));
	assert_int_equal(1, record.count);
	faas_invocation_unref(invocation);
	gate_open(&gate);
	assert_int_equal(FAAS_OK, faas_close(bed.runtime, FAAS_NEVER, 0));
	memory_check_empty(&bed.memory);
	record_deinit(&record);
	gate_deinit(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(each_thing_that_runs_user_code_is_a_step),
		STAGE_TEST(steps_without_sense_are_refused),
		STAGE_TEST(what_is_due_first_is_told_to_the_nanosecond),
		STAGE_TEST(a_long_jump_leaves_everything_runnable),
		cmocka_unit_test(the_same_seed_tells_the_same_story),
		cmocka_unit_test(another_seed_tells_another_story),
		cmocka_unit_test(without_a_seed_those_equally_due_come_in_turn),
		STAGE_TEST(deadlines_pass_in_the_order_of_their_times),
		STAGE_TEST(moving_the_clock_inside_a_handler_runs_nothing),
		STAGE_TEST(runtimes_on_one_clock_move_together),
		cmocka_unit_test(a_hosts_clock_fires_when_steps_are_run),
		cmocka_unit_test(real_time_needs_no_threads_either),
		cmocka_unit_test(several_threads_may_run_steps_at_once),
		cmocka_unit_test(a_host_may_lend_its_thread_to_a_pool),
	};

	return cmocka_run_group_tests_name("manual", tests, NULL, NULL);
}
