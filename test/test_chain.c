/* SPDX-License-Identifier: MIT */
/* Chains of events caused by events: how long they may be, and what is said of one that is too long. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

/* A handler that goes on to the other of two functions, until it is refused. */
static struct walk {
	int way; /* 0: emits, 1: invokes asynchronously, 2: invokes */
	int runs;
	int code;         /* of the call that was refused */
	char before[64];  /* what faas_context_error said before the first error of an attempt */
	char error[2048]; /* and after the refusal */
	char later[2048]; /* and after a call that succeeded */
} walk;

static int setup(void **state)
{
	walk = (struct walk){0};
	return bed_setup(state);
}

static int go_on(faas_context *context, const char *to)
{
	if (walk.way == 0)
		return faas_context_emit_event(context, FAAS_EVENT(.type = to), NULL);
	if (walk.way == 1)
		return faas_context_invoke_async(context, to, NULL, NULL);
	return faas_context_invoke(context, to, NULL, 0, NULL);
}

static int walk_handler(faas_context *context, const faas_event *event)
{
	int code;

	(void)event;
	walk.runs++;
	snprintf(walk.before, sizeof(walk.before), "%s", faas_context_error(context));
	code = go_on(context, strcmp(faas_context_function(context), "a") == 0 ? "b" : "a");
	if (code < 0 && walk.code == 0) {
		walk.code = code;
		snprintf(walk.error, sizeof(walk.error), "%s", faas_context_error(context));
		(void)faas_context_log(context, FAAS_LOG_DEBUG, "a call that succeeds");
		snprintf(walk.later, sizeof(walk.later), "%s", faas_context_error(context));
	}
	return 0;
}

static void register_two(struct bed *bed, faas_handler_fn *handler)
{
	bed_register(bed, "a", FAAS_FUNCTION(.handler = handler, .attempts = 1));
	bed_register(bed, "b", FAAS_FUNCTION(.handler = handler, .attempts = 1));
	bed_bind(bed, "a", "a");
	bed_bind(bed, "b", "b");
}

/* "a -> b -> a ..." of so many names. */
static const char *alternating(int names)
{
	static char text[256];

	text[0] = 0;
	for (int i = 0; i < names; i++)
		strcat(text, i == 0 ? "a" : i % 2 ? " -> b" : " -> a");
	return text;
}

/* ---- How long ---------------------------------------------------------------------------------------------------- */

static void sixteen_hops_are_the_most_and_the_chain_is_told(void **state)
{
	struct bed *bed = *state;

	register_two(bed, walk_handler);
	for (int way = 0; way < 2; way++) {
		walk = (struct walk){.way = way};
		bed_queue(bed, "a", NULL);
		bed_run(bed);
		assert_int_equal(FAAS_MAX_HOPS + 1, walk.runs);
		assert_int_equal(FAAS_ELOOP, walk.code);
		assert_string_equal("", walk.before);
		assert_string_equal(alternating(FAAS_MAX_HOPS + 1), walk.error);
		assert_string_equal(walk.error, walk.later);
	}
}

static void nested_calls_are_hops_too(void **state)
{
	struct bed *bed = *state;

	register_two(bed, walk_handler);
	walk.way = 2;
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "a", NULL, 0, NULL));
	/* The depth of nesting ends first or at the same time. */
	assert_in_range(walk.runs, FAAS_MAX_DEPTH, FAAS_MAX_HOPS + 1);
	assert_true(walk.code < 0);
	if (walk.code == FAAS_ELOOP)
		assert_string_equal(alternating(FAAS_MAX_HOPS + 1), walk.error);
	else
		assert_string_equal(faas_strerror(walk.code), walk.error);
}

static int record_walk_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	walk.runs++;
	walk.code = faas_context_emit_event(context, FAAS_EVENT(.type = "nobody"), NULL);
	snprintf(walk.error, sizeof(walk.error), "%s", faas_context_error(context));
	return 0;
}

static void a_record_is_a_hop(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = record_walk_handler, .on_success = "b"));
	bed_register(bed, "b", FAAS_FUNCTION(.handler = record_walk_handler, .on_success = "a"));
	bed_queue(bed, "a", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_MAX_HOPS + 1, walk.runs);
	/* Only the last of them cannot cause anything. */
	assert_int_equal(FAAS_ELOOP, walk.code);
	assert_string_equal(alternating(FAAS_MAX_HOPS + 1), walk.error);
}

static int emit_then_record_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	walk.runs++;
	walk.code = faas_context_invoke_async(context, "a", NULL, NULL);
	if (walk.code == FAAS_ELOOP)
		snprintf(walk.error, sizeof(walk.error), "%s", faas_context_error(context));
	return 0;
}

/* a's success is recorded at b, which invokes a again. */
static void events_and_records_are_of_one_chain(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = nothing_handler, .on_success = "b"));
	bed_register(bed, "b", FAAS_FUNCTION(.handler = emit_then_record_handler));
	bed_queue(bed, "a", NULL);
	bed_run(bed);
	assert_int_equal(9, bed_stats(bed, "a").succeeded);
	assert_int_equal(8, bed_stats(bed, "b").succeeded);
	assert_int_equal(1, bed_stats(bed, "b").rejected_other);
	assert_int_equal(1, bed_stats(bed, "a").records_refused);
	assert_int_equal(FAAS_OK, walk.code);
}

/* ---- What adds no hop -------------------------------------------------------------------------------------------- */

static int retry_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	walk.runs++;
	walk.code = faas_context_emit_event(context, FAAS_EVENT(.type = "b"), NULL);
	return faas_context_attempt(context) < 50;
}

static void a_retry_is_no_hop(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = retry_handler, .attempts = 50, .backoff_ms = FAAS_NONE));
	bed_register(bed, "b", FAAS_FUNCTION(.handler = nothing_handler));
	bed_bind(bed, "b", "b");
	bed_queue(bed, "a", NULL);
	bed_run(bed);
	assert_int_equal(50, walk.runs);
	assert_int_equal(1, walk.code);
	assert_int_equal(50, bed_stats(bed, "b").succeeded);
}

/* At the end of the chain it fails for good. */
static int fail_at_the_end(faas_context *context, const faas_event *event)
{
	int code = faas_context_invoke_async(context, "a", NULL, NULL);

	(void)event;
	walk.runs++;
	walk.code = code;
	return code == FAAS_ELOOP ? faas_context_fail_permanent(context, faas_context_error(context)) : 0;
}

static void a_redriven_letter_keeps_its_hops(void **state)
{
	struct bed *bed = *state;
	faas_function *function;
	faas_invocation *letter = NULL;
	uint64_t position = 0;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = fail_at_the_end));
	function = bed_find(bed, "a");
	bed_queue(bed, "a", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_MAX_HOPS + 1, walk.runs);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(1, faas_function_redrive(function, NULL));
		assert_int_equal(1, bed_run(bed));
		assert_int_equal(FAAS_ELOOP, walk.code);
	}
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	/* Redriving adds nothing to the chain. */
	assert_int_equal(0, strncmp("a -> a -> a -> a -> a", faas_invocation_message(letter), 21));
	assert_int_equal(17 + 16 * 4, strlen(faas_invocation_message(letter)));
	faas_invocation_unref(letter);
	faas_function_unref(function);
}

/* Through the runtime, not the context. */
static int around_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	if (++walk.runs < 100)
		walk.code = faas_invoke_async(faas_context_runtime(context), "a", NULL, NULL);
	/* What is wrong with the event itself comes first, however long the chain is. */
	assert_int_equal(FAAS_ETYPE, faas_emit_event(faas_context_runtime(context), FAAS_EVENT(.type = "a..b"), NULL));
	return 0;
}

static void calls_on_the_runtime_inside_of_a_handler_are_linked_as_well(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = around_handler));
	bed_queue(bed, "a", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_MAX_HOPS + 1, walk.runs);
	assert_int_equal(FAAS_ELOOP, walk.code);
}

/* ---- Other errors ------------------------------------------------------------------------------------------------ */

static const struct {
	int code;
	const char *function, *type;
	uint64_t bytes;
} mistakes[] = {
	{FAAS_ENOTFOUND, "nobody", NULL, 0}, {FAAS_ENAME, "no name", NULL, 0}, {FAAS_ETYPE, NULL, "", 0},
	{FAAS_EFULL, "full", NULL, 0},       {FAAS_EINVAL, NULL, "t", 5},
};

static struct {
	int code[COUNT_OF(mistakes)];
	char before[64], error[COUNT_OF(mistakes)][128], reply[128], defer[128], invoke[128];
} said;

static int mistaken_handler(faas_context *context, const faas_event *event)
{
	faas_deferral *token = NULL;

	(void)event;
	snprintf(said.before, sizeof(said.before), "%s", faas_context_error(context));
	for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
		const faas_event_config *config = FAAS_EVENT(.type = mistakes[i].type, .data_bytes = mistakes[i].bytes);

		said.code[i] = mistakes[i].function ? faas_context_invoke_async(context, mistakes[i].function, config, NULL)
		                                    : faas_context_emit_event(context, config, NULL);
		snprintf(said.error[i], sizeof(said.error[i]), "%s", faas_context_error(context));
	}
	(void)faas_context_reply(context, "x", 1, "\xff");
	snprintf(said.reply, sizeof(said.reply), "%s", faas_context_error(context));
	(void)faas_context_defer(context, &token);
	(void)faas_context_defer(context, &token);
	snprintf(said.defer, sizeof(said.defer), "%s", faas_context_error(context));
	(void)faas_context_invoke(context, "nobody", NULL, 0, NULL);
	snprintf(said.invoke, sizeof(said.invoke), "%s", faas_context_error(context));
	(void)faas_complete(token, NULL, 0, NULL);
	faas_deferral_unref(token);
	return 0;
}

static void other_errors_are_told_as_their_texts(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "full", FAAS_FUNCTION(.handler = nothing_handler, .queue_events = 1));
	bed_register(bed, "a", FAAS_FUNCTION(.handler = mistaken_handler));
	bed_queue(bed, "a", NULL);
	bed_queue(bed, "full", NULL);
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_string_equal("", said.before);
	for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
		assert_int_equal(mistakes[i].code, said.code[i]);
		assert_string_equal(faas_strerror(mistakes[i].code), said.error[i]);
	}
	assert_string_equal(faas_strerror(FAAS_ENOTFOUND), said.invoke);
}

static void errors_of_replies_and_deferrals_are_told_too(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = mistaken_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "a", NULL, 0, NULL));
	assert_string_equal(faas_strerror(FAAS_ETEXT), said.reply);
	assert_string_equal(faas_strerror(FAAS_EEXIST), said.defer);
}

static void each_attempt_begins_without_an_error(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "a", FAAS_FUNCTION(.handler = mistaken_handler));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "a", NULL, 0, NULL));
		assert_string_equal("", said.before);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(sixteen_hops_are_the_most_and_the_chain_is_told),
		TEST(nested_calls_are_hops_too),
		TEST(a_record_is_a_hop),
		TEST(events_and_records_are_of_one_chain),
		TEST(a_retry_is_no_hop),
		TEST(a_redriven_letter_keeps_its_hops),
		TEST(calls_on_the_runtime_inside_of_a_handler_are_linked_as_well),
		TEST(other_errors_are_told_as_their_texts),
		TEST(errors_of_replies_and_deferrals_are_told_too),
		TEST(each_attempt_begins_without_an_error),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
