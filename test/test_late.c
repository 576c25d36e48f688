/* SPDX-License-Identifier: MIT */
/*
 * A clock of the host's own, without threads: nobody sees a deadline pass before the handler returns, or something else
 * looks at the clock. What then comes of it is the same as where somebody watches.
 */
#include "support_run.h"

#define DEADLINE_MS 10

/* What the next init and the next handler do, and what the handler saw. */
struct plan {
	int64_t now; /* what the clock says */
	int64_t init_takes_ns, takes_ns;
	int init_result, result;
	faas_invocation *cancelled; /* by the handler, at its end; NULL: none */
	int runs, is_cancelled, finis;
	int64_t remaining_ms;
};

struct late {
	struct bed bed;
	struct plan plan;
};

static int64_t read_time(void *user)
{
	return *(const int64_t *)user;
}

static int late_init(faas_context *context, void **ret_state)
{
	struct plan *plan = faas_context_user(context);

	*ret_state = plan;
	plan->now += plan->init_takes_ns;
	return plan->init_result;
}

static void late_fini(void *state, void *user)
{
	struct plan *plan = user;

	plan->finis += state == user;
}

static int late_handler(faas_context *context, const faas_event *event)
{
	struct plan *plan = faas_context_user(context);

	(void)event;
	plan->runs++;
	plan->now += plan->takes_ns;
	plan->is_cancelled = faas_context_is_cancelled(context);
	plan->remaining_ms = faas_context_remaining_ms(context);
	if (plan->cancelled)
		(void)faas_invocation_cancel(plan->cancelled);
	(void)faas_context_reply(context, "answer", 6, NULL);
	return plan->result;
}

static int setup(void **state)
{
	struct late *late = calloc(1, sizeof(*late));
	faas_clock_config config = {.struct_size = sizeof(config), .monotonic_ns = read_time};

	if (!late)
		return -1;
	late->plan.now = 12345;
	config.user = &late->plan.now;
	memory_init(&late->bed.memory);
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &late->bed.clock));
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = late->bed.clock,
	                                                 .allocator = &late->bed.memory.config),
	                                    &late->bed.runtime));
	bed_register(&late->bed, "f",
	             ONCE(.handler = late_handler, .init = late_init, .fini = late_fini, .user = &late->plan,
	                           .deadline_ms = DEADLINE_MS, .init_deadline_ms = DEADLINE_MS));
	*state = late;
	return 0;
}

static int teardown(void **state)
{
	struct late *late = *state;

	bed_close(&late->bed);
	free(late);
	return 0;
}

/* Invokes it; the caller gets the invocation. */
static faas_invocation *invoke(struct late *late, int expected)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(expected, faas_invoke(late->bed.runtime, "f", NULL, 0, &invocation));
	return invocation;
}

static void a_nanosecond_early_is_in_time(void **state)
{
	struct late *late = *state;
	faas_invocation *invocation;

	late->plan.takes_ns = DEADLINE_MS * MS - 1;
	invocation = invoke(late, FAAS_OK);
	assert_int_equal(0, late->plan.is_cancelled);
	assert_int_equal(DEADLINE_MS * MS - 1, timing_of(invocation).run_ns);
	assert_int_equal(1, bed_stats(&late->bed, "f").warm);
	faas_invocation_unref(invocation);
}

static void at_the_deadline_is_late(void **state)
{
	struct late *late = *state;
	faas_invocation *invocation;

	late->plan.takes_ns = DEADLINE_MS * MS;
	invocation = invoke(late, FAAS_ETIMEDOUT);
	assert_int_equal(1, late->plan.is_cancelled);
	assert_int_equal(0, late->plan.remaining_ms);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(1, late->plan.finis);
	faas_invocation_unref(invocation);
}

static void a_late_return_counts_until_the_deadline(void **state)
{
	struct late *late = *state;
	struct faas_function_stats stats;
	faas_invocation *invocation;

	late->plan.takes_ns = 25 * MS;
	late->plan.result = 5;
	invocation = invoke(late, FAAS_ETIMEDOUT);
	assert_int_equal(DEADLINE_MS * MS, timing_of(invocation).run_ns);
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_string_equal(faas_strerror(FAAS_ETIMEDOUT), faas_invocation_message(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_answer(invocation, NULL, NULL, NULL));
	stats = bed_stats(&late->bed, "f");
	assert_int_equal(DEADLINE_MS, stats.billed_ms);
	assert_int_equal(DEADLINE_MS * MS, stats.run_time.max_ns);
	assert_int_equal(1, stats.timed_out);
	assert_int_equal(0, stats.failed);
	assert_int_equal(1, stats.retired_overrun);
	assert_int_equal(0, stats.overrunning + stats.warm + stats.busy);
	faas_invocation_unref(invocation);
}

/* Whoever cancels it first sees that the deadline has passed, or not; but it ran no longer than to there. */
static void a_late_cancel_counts_until_the_deadline(void **state)
{
	struct late *late = *state;
	faas_invocation *invocation = NULL;

	late->plan.takes_ns = 25 * MS;
	assert_int_equal(FAAS_OK, faas_invoke_async(late->bed.runtime, "f", NULL, &invocation));
	late->plan.cancelled = invocation;
	assert_int_equal(1, bed_run(&late->bed));
	assert_int_equal(DEADLINE_MS * MS, timing_of(invocation).run_ns);
	assert_int_equal(DEADLINE_MS, bed_stats(&late->bed, "f").billed_ms);
	assert_int_equal(1, late->plan.finis);
	faas_invocation_unref(invocation);
}

static void an_init_is_late_at_its_deadline_too(void **state)
{
	static const int64_t takes_ns[] = {DEADLINE_MS * MS, 25 * MS};
	struct late *late = *state;

	for (size_t i = 0; i < COUNT_OF(takes_ns); i++) {
		faas_invocation *invocation;
		struct faas_function_stats stats;

		late->plan.init_takes_ns = takes_ns[i];
		invocation = invoke(late, FAAS_EINIT);
		assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
		assert_int_equal(0, timing_of(invocation).run_ns);
		assert_int_equal(DEADLINE_MS * MS, timing_of(invocation).init_ns);
		stats = bed_stats(&late->bed, "f");
		assert_int_equal(i + 1, stats.init_failures);
		assert_int_equal(i + 1, stats.retired_overrun);
		assert_int_equal(i + 1, late->plan.finis);
		/* And nothing starts for a while. */
		assert_int_equal(100 * MS << i, bed_next_due(&late->bed));
		late->plan.now += 100 * MS << i;
		faas_invocation_unref(invocation);
	}
	late->plan.init_takes_ns = DEADLINE_MS * MS - 1;
	faas_invocation_unref(invoke(late, FAAS_OK));
}

static void a_callers_timeout_is_kept_as_well(void **state)
{
	struct late *late = *state;
	faas_invocation *invocation = NULL;

	late->plan.takes_ns = 7 * MS;
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(late->bed.runtime, "f", NULL, 4, &invocation));
	assert_int_equal(4 * MS, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
	late->plan.init_takes_ns = 3 * MS;
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(late->bed.runtime, "f", NULL, 4, &invocation));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(3 * MS, timing_of(invocation).init_ns);
	assert_int_equal(1 * MS, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
	/* Where it has passed during init, the handler is not called for nobody. */
	assert_int_equal(2, late->plan.runs);
	late->plan.init_takes_ns = 4 * MS;
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(late->bed.runtime, "f", NULL, 4, &invocation));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(0, timing_of(invocation).run_ns);
	assert_int_equal(2, late->plan.runs);
	assert_int_equal(0, bed_stats(&late->bed, "f").init_failures);
	faas_invocation_unref(invocation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_nanosecond_early_is_in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(at_the_deadline_is_late, setup, teardown),
		cmocka_unit_test_setup_teardown(a_late_return_counts_until_the_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(a_late_cancel_counts_until_the_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(an_init_is_late_at_its_deadline_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_callers_timeout_is_kept_as_well, setup, teardown),
	};

	return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
