/* SPDX-License-Identifier: MIT */
/* A forked child: every call on the parent's runtime says FAAS_EFORKED, and a runtime of its own works. */
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

struct hold {
	faas_runtime *runtime;
	faas_function *function;
	faas_invocation *queued, *settled;
	faas_emission *emission;
	faas_deferral *token;
	uint64_t binding;
};

static void never_called(faas_invocation *invocation, void *user)
{
	(void)invocation;
	(void)user;
	_exit(99);
}

static void never_called_either(faas_emission *emission, void *user)
{
	(void)emission;
	(void)user;
	_exit(99);
}

static int count_wrong_functions(const struct hold *hold)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_function *function = NULL;
	int wrong = 0;

	wrong += faas_register_function(hold->runtime, "g", ONCE(.handler = nothing_handler)) != FAAS_EFORKED;
	wrong += faas_unregister_function(hold->runtime, "f") != FAAS_EFORKED;
	wrong += faas_function_find(hold->runtime, "f", &function) != FAAS_EFORKED;
	wrong += faas_function_stats(hold->function, &stats) != FAAS_EFORKED;
	wrong += faas_function_invoke(hold->function, NULL, 0, NULL) != FAAS_EFORKED;
	wrong += faas_function_invoke_async(hold->function, NULL, NULL) != FAAS_EFORKED;
	wrong += strcmp("f", faas_function_name(hold->function)) != 0;
	wrong += faas_function_cancel_all(hold->function) != FAAS_EFORKED;
	return wrong + (function != NULL);
}

static int count_wrong_letters_and_deferrals(const struct hold *hold)
{
	faas_invocation *letter = NULL;
	uint64_t position = 0;
	int wrong = 0;

	wrong += faas_function_dead_letter(hold->function, &position, &letter) != FAAS_EFORKED;
	wrong += faas_function_redrive(hold->function, NULL) != FAAS_EFORKED;
	wrong += faas_function_purge(hold->function, NULL) != FAAS_EFORKED;
	wrong += faas_complete(hold->token, "x", 1, NULL) != FAAS_EFORKED;
	wrong += faas_complete_failed(hold->token, "x") != FAAS_EFORKED;
	wrong += faas_complete_failed_permanent(hold->token, "x") != FAAS_EFORKED;
	wrong += faas_deferral_is_open(hold->token) != 0;
	return wrong + (letter != NULL) + (position != 0);
}

static int count_wrong_runtimes(const struct hold *hold)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};
	int64_t due = 77;
	int wrong = 0;

	wrong += faas_drain(hold->runtime, FAAS_NEVER) != FAAS_EFORKED;
	wrong += faas_close(hold->runtime, FAAS_NEVER, 0) != FAAS_EFORKED;
	wrong += faas_close(hold->runtime, 0, FAAS_CLOSE_DETACH) != FAAS_EFORKED;
	wrong += faas_close_with_report(hold->runtime, 0, 0, NULL) != FAAS_EFORKED;
	wrong += faas_run(hold->runtime, 1) != FAAS_EFORKED;
	wrong += faas_next_due(hold->runtime, &due) != FAAS_EFORKED;
	wrong += faas_runtime_stats(hold->runtime, &stats) != FAAS_EFORKED;
	wrong += faas_runtime_overruns(hold->runtime, NULL, 0) != FAAS_EFORKED;
	return wrong + (due != 77);
}

static int count_wrong_events(const struct hold *hold)
{
	struct faas_binding_stats stats = {.struct_size = sizeof(stats)};
	uint64_t id = 77;
	faas_emission *emission = NULL;
	int wrong = 0;

	wrong += faas_emit_event(hold->runtime, FAAS_EVENT(.type = "t"), &emission) != FAAS_EFORKED;
	wrong += faas_emit_event(hold->runtime, FAAS_EVENT(.type = "t"), NULL) != FAAS_EFORKED;
	wrong += faas_bind(hold->runtime, FAAS_BINDING(.pattern = "t", .function = "f"), &id) != FAAS_EFORKED;
	wrong += faas_unbind(hold->runtime, hold->binding) != FAAS_EFORKED;
	wrong += faas_binding_stats(hold->runtime, hold->binding, &stats) != FAAS_EFORKED;
	wrong += faas_emission_wait(hold->emission, FAAS_NEVER) != FAAS_EFORKED;
	wrong += faas_emission_cancel(hold->emission) != FAAS_EFORKED;
	wrong += faas_emission_on_settled(hold->emission, never_called_either, NULL) != FAAS_EFORKED;
	return wrong + (emission != NULL) + (id != 77);
}

static int count_wrong_invocations(const struct hold *hold)
{
	faas_invocation *invocation = NULL;
	int wrong = 0;

	wrong += faas_invoke(hold->runtime, "f", NULL, 0, &invocation) != FAAS_EFORKED;
	wrong += faas_invoke_async(hold->runtime, "f", NULL, &invocation) != FAAS_EFORKED;
	wrong += faas_invocation_wait(hold->queued, FAAS_NEVER) != FAAS_EFORKED;
	wrong += faas_invocation_cancel(hold->queued) != FAAS_EFORKED;
	wrong += faas_invocation_on_settled(hold->queued, never_called, NULL) != FAAS_EFORKED;
	wrong += faas_invocation_on_settled(hold->settled, never_called, NULL) != FAAS_EFORKED;
	return wrong + (invocation != NULL);
}

static int count_wrong_in_a_runtime_of_its_own(void)
{
	faas_runtime *runtime = NULL;
	int wrong = 0;

	wrong += faas_open(FAAS_RUNTIME(.threads = FAAS_NONE), &runtime) != FAAS_OK;
	wrong += faas_register_function(runtime, "f", ONCE(.handler = nothing_handler)) != FAAS_OK;
	wrong += faas_invoke(runtime, "f", NULL, 0, NULL) != FAAS_OK;
	wrong += faas_close(runtime, 0, 0) != FAAS_OK;
	return wrong;
}

static void be_the_child(const struct hold *hold)
{
	int wrong = count_wrong_functions(hold) + count_wrong_runtimes(hold) + count_wrong_events(hold) +
	            count_wrong_invocations(hold) + count_wrong_letters_and_deferrals(hold);

	/* Giving handles back does nothing here; they are the parent's. */
	faas_function_unref(hold->function);
	faas_invocation_unref(hold->queued);
	faas_emission_unref(hold->emission);
	faas_deferral_unref(hold->token);
	wrong += count_wrong_in_a_runtime_of_its_own();
	_exit(wrong);
}

static void check_child(pid_t child)
{
	int status = -1;

	assert_true(child > 0);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status));
	assert_int_equal(0, WEXITSTATUS(status));
}

static int deferring_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_defer(context, faas_context_user(context));
}

/* Leaves an invocation deferred, whose token is the hold's. */
static void defer_one(struct hold *hold)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(FAAS_OK, faas_register_function(hold->runtime, "deferring",
	                                                 ONCE(.handler = deferring_handler, .user = &hold->token,
	                                                      .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_invoke_async(hold->runtime, "deferring", NULL, &invocation));
	while (faas_invocation_status(invocation) != FAAS_STATUS_DEFERRED)
		assert_true(faas_run(hold->runtime, 1) >= 0);
	faas_invocation_unref(invocation);
}

/* A runtime with a settled invocation and a queued one. In manual mode, or with threads that stand at a gate. */
static void check_fork(const faas_runtime_config *config, struct gate *gate)
{
	struct hold hold = {.binding = 0};
	pid_t child;

	assert_int_equal(FAAS_OK, faas_open(config, &hold.runtime));
	assert_int_equal(FAAS_OK, faas_register_function(hold.runtime, "f",
	                                                 ONCE(.handler = gate_handler, .user = gate,
	                                                               .max_concurrency = 1, .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_bind(hold.runtime, FAAS_BINDING(.pattern = "t", .function = "f"), &hold.binding));
	assert_int_equal(FAAS_OK, faas_function_find(hold.runtime, "f", &hold.function));
	defer_one(&hold);
	gate_let(gate, 1);
	assert_int_equal(FAAS_OK, faas_invoke(hold.runtime, "f", NULL, 0, &hold.settled));
	assert_int_equal(FAAS_OK, faas_invoke_async(hold.runtime, "f", NULL, &hold.queued));
	assert_int_equal(1, faas_emit_event(hold.runtime, FAAS_EVENT(.type = "t"), &hold.emission));
	child = fork();
	if (child == 0)
		be_the_child(&hold);
	check_child(child);
	/* The parent has noticed nothing. */
	gate_open(gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(hold.queued, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_emission_wait(hold.emission, FAAS_NEVER));
	assert_int_equal(3, stats_of(hold.function).succeeded);
	assert_int_equal(FAAS_OK, faas_complete(hold.token, NULL, 0, NULL));
	faas_deferral_unref(hold.token);
	faas_emission_unref(hold.emission);
	faas_invocation_unref(hold.queued);
	faas_invocation_unref(hold.settled);
	faas_function_unref(hold.function);
	assert_int_equal(FAAS_OK, faas_close(hold.runtime, FAAS_NEVER, 0));
}

static void a_child_may_call_nothing_of_a_manual_runtime(void **state)
{
	struct gate gate;

	(void)state;
	gate_init(&gate);
	check_fork(FAAS_RUNTIME(.threads = FAAS_NONE), &gate);
	gate_deinit(&gate);
}

static void a_child_may_call_nothing_of_a_runtime_with_threads(void **state)
{
	struct gate gate;

	(void)state;
	gate_init(&gate);
	check_fork(FAAS_RUNTIME(.threads = 2), &gate);
	gate_deinit(&gate);
}

static int forking_handler(faas_context *context, const faas_event *event)
{
	pid_t *child = faas_context_user(context);
	faas_deferral *token = NULL;
	int wrong = 0;

	(void)event;
	*child = fork();
	if (*child != 0)
		return 0;
	wrong += faas_context_emit_event(context, FAAS_EVENT(.type = "t"), NULL) != FAAS_EFORKED;
	wrong += faas_context_defer(context, &token) != FAAS_EFORKED;
	wrong += faas_context_invoke(context, "f", NULL, 0, NULL) != FAAS_EFORKED;
	wrong += faas_context_invoke_async(context, "f", NULL, NULL) != FAAS_EFORKED;
	wrong += faas_run(faas_context_runtime(context), 1) != FAAS_EFORKED;
	_exit(wrong);
}

static void a_child_of_a_handler_may_call_nothing_either(void **state)
{
	struct bed *bed = *state;
	pid_t child = -1;

	bed_register(bed, "f", ONCE(.handler = forking_handler, .user = &child));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	check_child(child);
	assert_int_equal(1, bed_stats(bed, "f").offered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_may_call_nothing_of_a_manual_runtime),
		cmocka_unit_test(a_child_may_call_nothing_of_a_runtime_with_threads),
		BED_TEST(a_child_of_a_handler_may_call_nothing_either),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
