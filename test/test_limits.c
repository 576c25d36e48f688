/* SPDX-License-Identifier: MIT */
/*
 * The largest numbers of functions and bindings, and the default bounds of a queue. These need up to 1.1 GiB of memory
 * (several times that with a sanitizer) and some seconds, so they run only where FAAS_TEST_LARGE is set.
 */
#include "support.h"

static int setup(void **state)
{
	faas_runtime *runtime = NULL;

	if (!getenv("FAAS_TEST_LARGE"))
		return 0;
	if (faas_open(FAAS_RUNTIME(.threads = FAAS_NONE), &runtime) != FAAS_OK)
		return -1;
	*state = runtime;
	return 0;
}

static int teardown(void **state)
{
	return *state ? faas_close(*state, 0, 0) : 0;
}

static int add(faas_runtime *runtime, int number)
{
	char name[16];

	snprintf(name, sizeof(name), "f%d", number);
	return faas_register_function(runtime, name, ONCE(.handler = nothing_handler));
}

static void there_are_at_most_a_million_functions(void **state)
{
	faas_runtime *runtime = *state;

	if (!runtime)
		skip();
	for (int i = 0; i < FAAS_MAX_FUNCTIONS; i++)
		assert_int_equal(FAAS_OK, add(runtime, i));
	assert_int_equal(FAAS_EFUNCTIONS, add(runtime, FAAS_MAX_FUNCTIONS));
	assert_int_equal(FAAS_MAX_FUNCTIONS, totals_of(runtime).functions);
	assert_int_equal(FAAS_OK, faas_invoke(runtime, "f999999", NULL, 0, NULL));
	/* One goes, one may come. */
	assert_int_equal(FAAS_OK, faas_unregister_function(runtime, "f7"));
	assert_int_equal(FAAS_OK, add(runtime, FAAS_MAX_FUNCTIONS));
	assert_int_equal(FAAS_EFUNCTIONS, add(runtime, 7));
}

static void there_are_at_most_four_million_bindings(void **state)
{
	const faas_binding_config *binding = FAAS_BINDING(.pattern = "a.*", .function = "f0");
	faas_runtime *runtime = *state;
	uint64_t id = 0, none = 77;

	if (!runtime)
		skip();
	assert_int_equal(FAAS_OK, add(runtime, 0));
	for (int i = 0; i < FAAS_MAX_BINDINGS; i++)
		assert_int_equal(FAAS_OK, faas_bind(runtime, binding, &id));
	assert_int_equal(FAAS_EBINDINGS, faas_bind(runtime, binding, &none));
	assert_int_equal(77, none);
	assert_int_equal(FAAS_MAX_BINDINGS, totals_of(runtime).bindings);
	assert_int_equal(1, faas_emit_event(runtime, FAAS_EVENT(.type = "a.b"), NULL));
	assert_int_equal(FAAS_OK, faas_unbind(runtime, id));
	assert_int_equal(FAAS_OK, faas_bind(runtime, binding, &id));
	assert_int_equal(FAAS_EBINDINGS, faas_bind(runtime, binding, &none));
}

/* How many events with so much data one function takes. */
static int fill(faas_runtime *runtime, const char *name, uint64_t data_bytes)
{
	void *data = calloc(1, data_bytes + 1);
	int count = 0, code;

	assert_non_null(data);
	assert_int_equal(FAAS_OK, faas_register_function(runtime, name, ONCE(.handler = nothing_handler)));
	while ((code = faas_invoke_async(runtime, name, FAAS_EVENT(.data = data, .data_bytes = data_bytes), NULL)) ==
	       FAAS_OK)
		count++;
	assert_int_equal(FAAS_EFULL, code);
	free(data);
	return count;
}

static void a_queue_holds_a_million_events_and_256_mib_by_default(void **state)
{
	faas_runtime *runtime = *state;

	if (!runtime)
		skip();
	assert_int_equal(1000000, fill(runtime, "events", 0));
	/* A little of the 256 MiB goes to what stands around the data. */
	assert_int_equal(255, fill(runtime, "bytes", 1 << 20));
	assert_int_equal(1000255, totals_of(runtime).queued_events);
	assert_in_range(totals_of(runtime).total.queued_bytes, 255 << 20, INT64_C(512) << 20);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(there_are_at_most_a_million_functions),
		TEST(there_are_at_most_four_million_bindings),
		TEST(a_queue_holds_a_million_events_and_256_mib_by_default),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
