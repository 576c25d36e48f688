/* SPDX-License-Identifier: MIT */
/* What every part needs: error texts and names, the version, clocks. */
#include "support.h"

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

#define CODE(code)  \
	{               \
		code, #code \
	}

static const struct {
	int code;
	const char *name;
} codes[] = {
	CODE(FAAS_OK),
	CODE(FAAS_EINVAL),
	CODE(FAAS_ENOMEM),
	CODE(FAAS_ETHREAD),
	CODE(FAAS_ESYSTEM),
	CODE(FAAS_EFORKED),
	CODE(FAAS_ENAME),
	CODE(FAAS_EEXIST),
	CODE(FAAS_ENOTFOUND),
	CODE(FAAS_EPATTERN),
	CODE(FAAS_ETYPE),
	CODE(FAAS_EATTRIBUTE),
	CODE(FAAS_EATTRIBUTES),
	CODE(FAAS_ETOOLONG),
	CODE(FAAS_ETOOBIG),
	CODE(FAAS_ETEXT),
	CODE(FAAS_EFULL),
	CODE(FAAS_ERUNTIMEFULL),
	CODE(FAAS_ECLOSED),
	CODE(FAAS_EFUNCTIONS),
	CODE(FAAS_EBINDINGS),
	CODE(FAAS_ELOOP),
	CODE(FAAS_EPENDING),
	CODE(FAAS_EAGAIN),
	CODE(FAAS_EDEADLK),
	CODE(FAAS_EBUSY),
	CODE(FAAS_EFAILED),
	CODE(FAAS_ETIMEDOUT),
	CODE(FAAS_ECANCELLED),
	CODE(FAAS_EDROPPED),
	CODE(FAAS_EINIT),
	CODE(FAAS_ESTATE),
	CODE(FAAS_EREFUSED),
	CODE(FAAS_ETHROTTLED),
	CODE(FAAS_ESETTLED),
	CODE(FAAS_ERESERVED),
	CODE(FAAS_EEXPIRED),
	CODE(FAAS_EABANDONED),
	CODE(FAAS_EFILTER),
	CODE(FAAS_EFILTERLONG),
	CODE(FAAS_EFILTERDEPTH),
	CODE(FAAS_EFILTERVALUES),
	CODE(FAAS_EFILTERSIZE),
	CODE(FAAS_EFILTERTEXT),
	CODE(FAAS_EFILTERSTEPS),
	CODE(FAAS_EFILTERMATH),
	CODE(FAAS_EFILTERCAST),
	CODE(FAAS_EFILTERMISSING),
	CODE(FAAS_EFILTERFUNCTION),
	CODE(FAAS_EFILTERCALL),
};

static void every_code_has_a_name_and_a_text_of_its_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		assert_string_equal(codes[i].name, faas_error_name(codes[i].code));
		assert_true(strlen(faas_strerror(codes[i].code)) > 0);
		assert_string_not_equal("unknown error", faas_strerror(codes[i].code));
		for (size_t k = 0; k < i; k++) {
			assert_true(codes[i].code < codes[k].code);
			assert_string_not_equal(faas_strerror(codes[k].code), faas_strerror(codes[i].code));
		}
	}
	assert_string_equal("the function's queue is full", faas_strerror(FAAS_EFULL));
}

static void check_unknown(int code)
{
	assert_string_equal("unknown error", faas_strerror(code));
	assert_string_equal("FAAS_EUNKNOWN", faas_error_name(code));
}

/* Also those that are alike in their lowest bits. */
static void other_numbers_are_unknown(void **state)
{
	size_t known = 0;

	(void)state;
	for (int code = 1000; code >= -1000; code--) {
		if (known < COUNT_OF(codes) && codes[known].code == code)
			known++;
		else
			check_unknown(code);
	}
	assert_int_equal(COUNT_OF(codes), known);
	check_unknown(INT32_MAX);
	check_unknown(INT32_MIN);
}

static void the_version_is_the_headers(void **state)
{
	(void)state;
	assert_int_equal(FAAS_VERSION_MAJOR * 1000000 + FAAS_VERSION_MINOR * 1000 + FAAS_VERSION_PATCH, faas_version());
	assert_true(faas_version() > 0);
}

/* ---- Manual clocks ----------------------------------------------------------------------------------------------- */

static void a_manual_clock_stands_until_it_is_moved(void **state)
{
	faas_clock *clock = NULL;

	(void)state;
	assert_int_equal(FAAS_OK, faas_clock_new_manual(123, &clock));
	assert_int_equal(0, faas_clock_now(clock));
	assert_int_equal(FAAS_OK, faas_clock_advance(clock, 0));
	assert_int_equal(0, faas_clock_now(clock));
	assert_int_equal(FAAS_OK, faas_clock_advance(clock, 5));
	assert_int_equal(FAAS_OK, faas_clock_advance(clock, 7));
	assert_int_equal(12, faas_clock_now(clock));
	assert_ptr_equal(clock, faas_clock_ref(clock));
	faas_clock_unref(clock);
	assert_int_equal(12, faas_clock_now(clock));
	faas_clock_unref(clock);
	faas_clock_unref(NULL);
	assert_null(faas_clock_ref(NULL));
	assert_int_equal(FAAS_EINVAL, faas_clock_now(NULL));
}

static void a_manual_clock_moves_forward_and_up_to_2_62(void **state)
{
	const int64_t last = INT64_C(1) << 62;
	faas_clock *clock = NULL;

	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_clock_new_manual(-1, &clock));
	assert_null(clock);
	assert_int_equal(FAAS_EINVAL, faas_clock_new_manual(0, NULL));
	assert_int_equal(FAAS_OK, faas_clock_new_manual(0, &clock));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(NULL, 1));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(clock, -1));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(clock, last + 1));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(clock, INT64_MAX));
	assert_int_equal(0, faas_clock_now(clock));
	assert_int_equal(FAAS_OK, faas_clock_advance(clock, last - 1));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(clock, 2));
	assert_int_equal(last - 1, faas_clock_now(clock));
	assert_int_equal(FAAS_OK, faas_clock_advance(clock, 1));
	assert_int_equal(last, faas_clock_now(clock));
	faas_clock_unref(clock);
}

/* What a handler's time looks like, and what falls due while it runs. */
struct steps {
	struct bed *bed;
	int count;
	int64_t remaining[5];
	int cancelled[5];
};

static int step_handler(faas_context *context, const faas_event *event)
{
	struct steps *steps = faas_context_user(context);

	(void)event;
	for (steps->count = 0; steps->count < 5; steps->count++) {
		steps->remaining[steps->count] = faas_context_remaining_ms(context);
		steps->cancelled[steps->count] = faas_context_is_cancelled(context);
		(void)faas_clock_advance(steps->bed->clock, 10 * MS);
	}
	return 0;
}

static void a_handler_may_move_the_clock(void **state)
{
	static const int64_t remaining[5] = {25, 15, 5, 0, 0};
	static const int cancelled[5] = {0, 0, 0, 1, 1};
	struct bed *bed = *state;
	struct steps steps = {.bed = bed};

	bed_register(bed, "f", ONCE(.handler = step_handler, .user = &steps, .deadline_ms = 25));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_int_equal(5, steps.count);
	assert_memory_equal(remaining, steps.remaining, sizeof(remaining));
	assert_memory_equal(cancelled, steps.cancelled, sizeof(cancelled));
	assert_int_equal(50 * MS, faas_clock_now(bed->clock));
	/* Settled at the deadline, not when the clock stopped. */
	assert_int_equal(25 * MS, bed_stats(bed, "f").run_time.sum_ns);
	assert_int_equal(25, bed_stats(bed, "f").billed_ms);
}

/* Three handlers inside each other; the innermost lets all their deadlines pass at once. */
struct nest {
	struct bed *bed;
	int depth;
	char order[4]; /* of settling */
};

static void nest_settled(faas_invocation *invocation, void *user)
{
	struct nest *nest = user;

	strcat(nest->order, faas_invocation_function(invocation));
}

static int nest_handler(faas_context *context, const faas_event *event)
{
	static const char *const names[] = {"a", "b", "c"};
	struct nest *nest = faas_context_user(context);
	faas_invocation *invocation = NULL;

	(void)event;
	if (++nest->depth == 3)
		return faas_clock_advance(nest->bed->clock, 100 * MS);
	if (faas_context_invoke_async(context, names[nest->depth], NULL, &invocation) != FAAS_OK)
		return 1;
	(void)faas_invocation_on_settled(invocation, nest_settled, nest);
	(void)faas_invocation_wait(invocation, FAAS_NEVER);
	faas_invocation_unref(invocation);
	return 0;
}

static void what_falls_due_in_one_advance_does_so_in_order(void **state)
{
	struct bed *bed = *state;
	struct nest nest = {.bed = bed};
	faas_invocation *invocation = NULL;

	bed_register(bed, "a", ONCE(.handler = nest_handler, .user = &nest, .deadline_ms = 30));
	bed_register(bed, "b", ONCE(.handler = nest_handler, .user = &nest, .deadline_ms = 20));
	bed_register(bed, "c", ONCE(.handler = nest_handler, .user = &nest, .deadline_ms = 10));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "a", NULL, &invocation));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, nest_settled, &nest));
	bed_run(bed);
	assert_string_equal("cba", nest.order);
	assert_int_equal(3, bed_totals(bed).total.timed_out);
	assert_int_equal((10 + 20 + 30) * MS, bed_totals(bed).total.run_time.sum_ns);
	faas_invocation_unref(invocation);
}

static void one_clock_serves_several_runtimes(void **state)
{
	struct bed *bed = *state;
	struct steps steps = {.bed = bed};
	faas_runtime *other = NULL;
	struct faas_runtime_stats stats;

	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = bed->clock), &other));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(other, "g", ONCE(.handler = nothing_handler, .keep_warm_ms = 30)));
	assert_int_equal(FAAS_OK, faas_invoke(other, "g", NULL, 0, NULL));
	bed_register(bed, "f", ONCE(.handler = step_handler, .user = &steps, .deadline_ms = 25));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	/* The handler of the one has let the worker of the other come due. */
	assert_int_equal(1, faas_run(other, 10));
	stats = totals_of(other);
	assert_int_equal(1, stats.total.retired_idle);
	assert_int_equal(FAAS_OK, faas_close(other, 0, 0));
	bed_advance_ms(bed, 1);
}

static void a_runtime_keeps_its_clock(void **state)
{
	faas_clock *clock = NULL;
	faas_runtime *runtime = NULL;
	int64_t due = 77;

	(void)state;
	assert_int_equal(FAAS_OK, faas_clock_new_manual(0, &clock));
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = clock), &runtime));
	faas_clock_unref(clock);
	assert_int_equal(FAAS_OK, faas_next_due(runtime, &due));
	assert_int_equal(FAAS_NEVER, due);
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
}

/* ---- A host's clock ---------------------------------------------------------------------------------------------- */

struct host_time {
	int64_t now;
	int unix_asked;
};

static int64_t host_monotonic(void *user)
{
	struct host_time *time = user;

	return time->now;
}

static int64_t host_unix(void *user)
{
	struct host_time *time = user;

	time->unix_asked++;
	return 5000000 * MS;
}

static void a_host_may_bring_its_own_time(void **state)
{
	struct host_time time = {.now = 1000 * MS};
	faas_clock_config config = {
		.struct_size = sizeof(config), .monotonic_ns = host_monotonic, .unix_ns = host_unix, .user = &time};
	faas_clock *clock = NULL;
	faas_runtime *runtime = NULL;
	faas_invocation *invocation = NULL;

	(void)state;
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &clock));
	memset(&config, 0, sizeof(config));
	assert_int_equal(1000 * MS, faas_clock_now(clock));
	assert_int_equal(FAAS_EINVAL, faas_clock_advance(clock, 1));
	assert_int_equal(0, time.unix_asked);
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = clock), &runtime));
	assert_int_equal(1, time.unix_asked);
	assert_int_equal(
		FAAS_OK, faas_register_function(runtime, "f", ONCE(.handler = nothing_handler, .keep_warm_ms = 1)));
	time.now += 250 * MS;
	assert_int_equal(FAAS_OK, faas_invoke(runtime, "f", NULL, 0, &invocation));
	assert_int_equal(5000250 * MS, faas_event_unix_ns(faas_invocation_event(invocation)));
	faas_invocation_unref(invocation);
	assert_int_equal(0, faas_run(runtime, 1));
	time.now += 1 * MS;
	assert_int_equal(1, faas_run(runtime, 1));
	assert_int_equal(1, totals_of(runtime).total.retired_idle);
	assert_int_equal(1, time.unix_asked);
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
	faas_clock_unref(clock);
}

static void a_host_clock_is_checked(void **state)
{
	struct host_time time = {.now = 7};
	struct {
		faas_clock_config config;
		uint64_t extra;
	} larger = {.config = {.struct_size = sizeof(larger), .monotonic_ns = host_monotonic, .user = &time}};
	faas_clock *clock = NULL;

	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_clock_new(NULL, &clock));
	assert_int_equal(FAAS_EINVAL, faas_clock_new(&larger.config, NULL));
	larger.extra = 1;
	assert_int_equal(FAAS_EINVAL, faas_clock_new(&larger.config, &clock));
	larger.config.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_clock_new(&larger.config, &clock));
	larger.config.struct_size = sizeof(larger.config);
	larger.config.monotonic_ns = NULL;
	assert_int_equal(FAAS_EINVAL, faas_clock_new(&larger.config, &clock));
	assert_null(clock);
	larger.config.monotonic_ns = host_monotonic;
	larger.config.struct_size = sizeof(larger);
	larger.extra = 0;
	assert_int_equal(FAAS_OK, faas_clock_new(&larger.config, &clock));
	assert_int_equal(7, faas_clock_now(clock));
	faas_clock_unref(clock);
	larger.config.struct_size = offsetof(faas_clock_config, reserved_pointer);
	assert_int_equal(FAAS_OK, faas_clock_new(&larger.config, &clock));
	assert_int_equal(7, faas_clock_now(clock));
	faas_clock_unref(clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_a_name_and_a_text_of_its_own),
		cmocka_unit_test(other_numbers_are_unknown),
		cmocka_unit_test(the_version_is_the_headers),
		cmocka_unit_test(a_manual_clock_stands_until_it_is_moved),
		cmocka_unit_test(a_manual_clock_moves_forward_and_up_to_2_62),
		BED_TEST(a_handler_may_move_the_clock),
		BED_TEST(what_falls_due_in_one_advance_does_so_in_order),
		BED_TEST(one_clock_serves_several_runtimes),
		cmocka_unit_test(a_runtime_keeps_its_clock),
		cmocka_unit_test(a_host_may_bring_its_own_time),
		cmocka_unit_test(a_host_clock_is_checked),
	};

	return cmocka_run_group_tests_name("common", tests, NULL, NULL);
}
