/* SPDX-License-Identifier: MIT */
/*
 * Waiting for room in full queues, on a runtime with threads. Handlers stand at a gate; emitters wait on threads of
 * their own. Where an emitter may come before or after something, both orders must lead to the same answer.
 */
#include "support.h"

struct shop {
	struct memory memory;
	struct gate gate;
	faas_runtime *runtime;
};

static struct shop shop;

static int setup(void **state)
{
	(void)state;
	memory_init(&shop.memory);
	gate_init(&shop.gate);
	return 0;
}

static void open_shop(const faas_runtime_config *config)
{
	faas_runtime_config own = *config;

	own.threads = own.threads != 0 ? own.threads : 1;
	own.allocator = &shop.memory.config;
	assert_int_equal(FAAS_OK, faas_open(&own, &shop.runtime));
}

/* A function of one handler at a time. When this returns it stands at the gate, and `queue_events` more are queued. */
static void add_busy(const char *name, int32_t queue_events)
{
	faas_event_config event = *FAAS_EVENT(.type = name);

	assert_int_equal(FAAS_OK, faas_register_function(shop.runtime, name,
	                                                 ONCE(.handler = gate_handler, .user = &shop.gate,
	                                                               .queue_events = queue_events, .max_concurrency = 1,
	                                                               .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_bind(shop.runtime, FAAS_BINDING(.pattern = name, .function = name), NULL));
	assert_int_equal(1, faas_emit_event(shop.runtime, &event, NULL));
	gate_await(&shop.gate, 1);
	for (int i = 0; i < queue_events; i++)
		assert_int_equal(1, faas_emit_event(shop.runtime, &event, NULL));
	assert_int_equal(FAAS_EFULL, faas_emit_event(shop.runtime, &event, NULL));
}

static struct faas_function_stats stats_by_name(const char *name)
{
	faas_function *function = NULL;
	struct faas_function_stats stats;

	assert_int_equal(FAAS_OK, faas_function_find(shop.runtime, name, &function));
	stats = stats_of(function);
	faas_function_unref(function);
	return stats;
}

static void close_shop(void)
{
	gate_open(&shop.gate);
	assert_int_equal(FAAS_OK, faas_drain(shop.runtime, FAAS_NEVER));
	totals_of(shop.runtime);
	assert_int_equal(FAAS_OK, faas_close(shop.runtime, FAAS_NEVER, 0));
	gate_deinit(&shop.gate);
	memory_check_empty(&shop.memory);
}

/* ---- An emitter on a thread of its own --------------------------------------------------------------------------- */

struct emitter {
	pthread_t thread;
	faas_event_config event;
	const char *function; /* NULL: emit */
	int times;
	int said; /* what the last call said */
	int taken;
};

static void *emit_in_thread(void *arg)
{
	struct emitter *emitter = arg;

	for (int i = 0; i < emitter->times; i++) {
		if (emitter->function)
			emitter->said = faas_invoke_async(shop.runtime, emitter->function, &emitter->event, NULL);
		else
			emitter->said = faas_emit_event(shop.runtime, &emitter->event, NULL);
		emitter->taken += emitter->function ? emitter->said == FAAS_OK : emitter->said > 0;
	}
	return NULL;
}

static void start(struct emitter *emitter)
{
	emitter->times = emitter->times != 0 ? emitter->times : 1;
	assert_int_equal(0, pthread_create(&emitter->thread, NULL, emit_in_thread, emitter));
}

static int join(struct emitter *emitter)
{
	assert_int_equal(0, pthread_join(emitter->thread, NULL));
	return emitter->said;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void an_emitter_waits_until_a_handler_makes_room(void **state)
{
	struct emitter emitter = {.event = *FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER)};

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	add_busy("f", 1);
	start(&emitter);
	/* The handler returns; the thread takes what is queued, which makes room. */
	gate_let(&shop.gate, 1);
	assert_int_equal(1, join(&emitter));
	gate_await(&shop.gate, 2);
	assert_int_equal(1, stats_by_name("f").queued);
	assert_int_equal(1, stats_by_name("f").rejected_full);
	gate_open(&shop.gate);
	gate_await(&shop.gate, 3);
	close_shop();
}

static void an_invoke_waits_just_so(void **state)
{
	struct emitter emitter = {.function = "f", .event = *FAAS_EVENT(.wait_ms = FAAS_MAX_DURATION_MS)};

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	add_busy("f", 2);
	start(&emitter);
	gate_let(&shop.gate, 2);
	assert_int_equal(FAAS_OK, join(&emitter));
	close_shop();
}

static void many_emitters_get_all_through_a_queue_of_one(void **state)
{
	enum { EMITTERS = 3, EACH = 300 };
	struct emitter emitters[EMITTERS];
	struct record record;

	(void)state;
	record_init(&record);
	open_shop(FAAS_RUNTIME(.threads = 2));
	assert_int_equal(
		FAAS_OK, faas_register_function(shop.runtime, "f",
	                                    ONCE(.handler = record_handler, .user = &record, .queue_events = 1)));
	assert_int_equal(FAAS_OK, faas_bind(shop.runtime, FAAS_BINDING(.pattern = "f", .function = "f"), NULL));
	for (int i = 0; i < EMITTERS; i++) {
		emitters[i] = (struct emitter){.event = *FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER), .times = EACH};
		start(&emitters[i]);
	}
	for (int i = 0; i < EMITTERS; i++) {
		assert_int_equal(1, join(&emitters[i]));
		assert_int_equal(EACH, emitters[i].taken);
	}
	record_await(&record, EMITTERS * EACH);
	assert_int_equal(0, stats_by_name("f").rejected);
	assert_int_equal(EMITTERS * EACH, stats_by_name("f").accepted);
	close_shop();
	assert_int_equal(EMITTERS * EACH, record.count);
	record_deinit(&record);
}

static void a_wait_for_the_runtimes_room_ends_too(void **state)
{
	struct emitter emitter = {.event = *FAAS_EVENT(.type = "g", .wait_ms = FAAS_NEVER)};

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1, .queue_events = 1));
	assert_int_equal(FAAS_OK, faas_register_function(shop.runtime, "g", ONCE(.handler = nothing_handler)));
	assert_int_equal(FAAS_OK, faas_bind(shop.runtime, FAAS_BINDING(.pattern = "g", .function = "g"), NULL));
	add_busy("f", 1);
	assert_int_equal(FAAS_ERUNTIMEFULL, faas_emit_event(shop.runtime, FAAS_EVENT(.type = "g"), NULL));
	start(&emitter);
	gate_open(&shop.gate);
	assert_int_equal(1, join(&emitter));
	close_shop();
}

static void all_or_none_waits_for_all(void **state)
{
	struct emitter emitter = {.event = *FAAS_EVENT(.type = "f", .flags = FAAS_EMIT_ALL, .wait_ms = FAAS_NEVER)};

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	add_busy("f", 1);
	assert_int_equal(FAAS_OK, faas_register_function(shop.runtime, "free", ONCE(.handler = nothing_handler)));
	assert_int_equal(FAAS_OK, faas_bind(shop.runtime, FAAS_BINDING(.pattern = "f", .function = "free"), NULL));
	assert_int_equal(FAAS_EFULL, faas_emit_event(shop.runtime, FAAS_EVENT(.type = "f", .flags = FAAS_EMIT_ALL), NULL));
	assert_int_equal(0, stats_by_name("free").accepted);
	start(&emitter);
	gate_let(&shop.gate, 1);
	assert_int_equal(2, join(&emitter));
	assert_int_equal(1, stats_by_name("free").accepted);
	close_shop();
}

static void a_full_function_delays_only_its_own_event(void **state)
{
	struct emitter emitter = {.event = *FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER)};
	struct record record;

	(void)state;
	record_init(&record);
	open_shop(FAAS_RUNTIME(.threads = 2));
	add_busy("f", 1);
	assert_int_equal(FAAS_OK, faas_register_function(shop.runtime, "free",
	                                                 ONCE(.handler = record_handler, .user = &record)));
	assert_int_equal(FAAS_OK, faas_bind(shop.runtime, FAAS_BINDING(.pattern = "f", .function = "free"), NULL));
	start(&emitter);
	/* It has run at "free" while "f" is still full. */
	record_await(&record, 1);
	assert_int_equal(2, stats_by_name("f").accepted);
	gate_open(&shop.gate);
	assert_int_equal(2, join(&emitter));
	close_shop();
	record_deinit(&record);
}

static void a_wait_ends_with_its_time(void **state)
{
	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	add_busy("f", 1);
	assert_int_equal(FAAS_EFULL, faas_emit_event(shop.runtime, FAAS_EVENT(.type = "f", .wait_ms = 1), NULL));
	assert_int_equal(
		FAAS_EFULL, faas_emit_event(shop.runtime, FAAS_EVENT(.type = "f", .wait_ms = 1, .flags = FAAS_EMIT_ALL), NULL));
	assert_int_equal(FAAS_EFULL, faas_invoke_async(shop.runtime, "f", FAAS_EVENT(.wait_ms = 1), NULL));
	assert_int_equal(4, stats_by_name("f").rejected_full);
	assert_int_equal(6, totals_of(shop.runtime).total.offered);
	close_shop();
}

static void what_never_fits_is_not_waited_for(void **state)
{
	static const char large[5000];

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	assert_int_equal(FAAS_OK, faas_register_function(shop.runtime, "f",
	                                                 ONCE(.handler = nothing_handler, .queue_bytes = 4096)));
	assert_int_equal(FAAS_EFULL,
	                 faas_invoke_async(shop.runtime, "f",
	                                   FAAS_EVENT(.data = large, .data_bytes = sizeof(large), .wait_ms = FAAS_NEVER),
	                                   NULL));
	close_shop();
}

static void a_drain_ends_the_wait(void **state)
{
	struct emitter emitter = {.event = *FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER)};
	struct emitter invoker = {.function = "f", .event = *FAAS_EVENT(.wait_ms = FAAS_NEVER)};

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	add_busy("f", 1);
	start(&emitter);
	start(&invoker);
	assert_int_equal(FAAS_EPENDING, faas_drain(shop.runtime, 0));
	assert_int_equal(FAAS_ECLOSED, join(&emitter));
	assert_int_equal(FAAS_ECLOSED, join(&invoker));
	close_shop();
}

static void unregistering_ends_the_wait(void **state)
{
	struct emitter emitter = {.event = *FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER)};
	struct emitter invoker = {.function = "f", .event = *FAAS_EVENT(.wait_ms = FAAS_NEVER)};
	int said;

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 1));
	add_busy("f", 1);
	start(&emitter);
	start(&invoker);
	assert_int_equal(FAAS_OK, faas_unregister_function(shop.runtime, "f"));
	said = join(&emitter);
	assert_true(said == FAAS_ENOTFOUND || said == 0); /* 0: it came after */
	assert_int_equal(FAAS_ENOTFOUND, join(&invoker));
	close_shop();
}

static int emit_waiting(faas_context *context, const faas_event *event)
{
	int *said = faas_context_user(context);

	(void)event;
	said[0] = faas_context_emit_event(context, FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER), NULL);
	said[1] = faas_emit_event(faas_context_runtime(context), FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER), NULL);
	said[2] = faas_context_invoke_async(context, "f", FAAS_EVENT(.wait_ms = FAAS_NEVER), NULL);
	return 0;
}

static void handlers_do_not_wait_for_room(void **state)
{
	int said[3] = {0};

	(void)state;
	open_shop(FAAS_RUNTIME(.threads = 2));
	add_busy("f", 1);
	assert_int_equal(FAAS_OK,
	                 faas_register_function(shop.runtime, "g", ONCE(.handler = emit_waiting, .user = said)));
	assert_int_equal(FAAS_OK, faas_invoke(shop.runtime, "g", NULL, 0, NULL));
	for (int i = 0; i < 3; i++)
		assert_int_equal(FAAS_EFULL, said[i]);
	close_shop();
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, setup)
	const struct CMUnitTest tests[] = {
		TEST(an_emitter_waits_until_a_handler_makes_room),
		TEST(an_invoke_waits_just_so),
		TEST(many_emitters_get_all_through_a_queue_of_one),
		TEST(a_wait_for_the_runtimes_room_ends_too),
		TEST(all_or_none_waits_for_all),
		TEST(a_full_function_delays_only_its_own_event),
		TEST(a_wait_ends_with_its_time),
		TEST(what_never_fits_is_not_waited_for),
		TEST(a_drain_ends_the_wait),
		TEST(unregistering_ends_the_wait),
		TEST(handlers_do_not_wait_for_room),
	};

	return cmocka_run_group_tests_name("queue waiting", tests, NULL, NULL);
}
