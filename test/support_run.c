/* SPDX-License-Identifier: MIT */
/* What the tests of running functions share: see support_run.h. */
#include "support_run.h"

/* ---- A function's life ------------------------------------------------------------------------------------------- */

/* A worker's state. Freed by fini, so that an address checker sees it used or freed again. */
struct state {
	struct life *life;
	int number;
};

int life_init(faas_context *context, void **ret_state)
{
	struct life *life = faas_context_user(context);
	struct state *state;

	if (life->in_init)
		life->in_init(context, life->arg);
	if (life->init_takes_ns > 0)
		life->mistakes += faas_clock_advance(life->clock, life->init_takes_ns) != FAAS_OK;
	if (life->init_fails > 0) {
		life->init_fails--;
		life->failures++;
		if (life->init_says)
			(void)faas_context_fail(context, life->init_says);
		return 7;
	}
	state = malloc(sizeof(*state));
	if (!state)
		abort();
	*state = (struct state){.life = life, .number = ++life->inits};
	*ret_state = state;
	return 0;
}

void life_fini(void *given, void *user)
{
	struct state *state = given;
	struct life *life = user;

	life->finis++;
	life->mistakes += state->life != life || life->finis > life->inits;
	life->last_retired = state->number;
	free(state);
	if (life->in_fini)
		life->in_fini(life->arg);
}

/* Where several functions share a life, others may still have workers. */
void life_release(void *user)
{
	struct life *life = user;

	life->releases++;
	life->mistakes += life->releases > life->registered || (life->registered == 1 && life->finis != life->inits);
	if (life->in_release)
		life->in_release(life->arg);
}

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

static int do_job(faas_context *context, const struct job *job, struct life *life)
{
	int worker = life->last_run, code = FAAS_OK;

	if (job->does)
		job->does(context, job->arg);
	if (job->takes_ns > 0)
		life->mistakes += faas_clock_advance(life->clock, job->takes_ns) != FAAS_OK;
	life->last_run = worker;
	if (job->reply)
		code = faas_context_reply(context, job->reply, strlen(job->reply), NULL);
	if (code != FAAS_OK)
		return code;
	if (job->says)
		return faas_context_fail(context, job->says);
	return job->result;
}

int job_handler(faas_context *context, const faas_event *event)
{
	struct life *life = faas_context_user(context);
	const struct state *state = faas_context_state(context);
	struct job job;
	uint64_t bytes;
	const void *data = faas_event_data(event, &bytes);

	life->runs++;
	life->last_run = state ? state->number : 0;
	if (bytes == 0)
		return 0;
	life->mistakes += bytes != sizeof(job);
	memcpy(&job, data, sizeof(job));
	return do_job(context, &job, life);
}

/* ---- Stages ------------------------------------------------------------------------------------------------------ */

void stage_open(struct stage *stage, const faas_runtime_config *config)
{
	bed_open(&stage->bed, config);
	stage->life = (struct life){.clock = stage->bed.clock};
}

void stage_close(struct stage *stage)
{
	bed_close(&stage->bed);
	assert_int_equal(stage->life.inits, stage->life.finis);
	assert_int_equal(stage->life.registered, stage->life.releases);
	assert_int_equal(0, stage->life.mistakes);
}

int stage_setup(void **state)
{
	struct stage *stage = malloc(sizeof(*stage));

	if (!stage)
		return -1;
	stage_open(stage, NULL);
	*state = stage;
	return 0;
}

int stage_teardown(void **state)
{
	struct stage *stage = *state;

	stage_close(stage);
	free(stage);
	return 0;
}

void stage_register(struct stage *stage, const char *name, const faas_function_config *config)
{
	faas_function_config own = config ? *config : *ONCE(.handler = job_handler);
	int is_ours = !own.user;

	if (!own.handler)
		own.handler = job_handler;
	if (is_ours) {
		own.user = &stage->life;
		own.init = life_init;
		own.fini = life_fini;
		own.release = life_release;
	}
	bed_register(&stage->bed, name, &own);
	stage->life.registered += is_ours;
}

int stage_invoke(struct stage *stage, const char *name, const faas_event_config *event)
{
	return faas_invoke(stage->bed.runtime, name, event, 0, NULL);
}

faas_invocation *stage_settle(struct stage *stage, const char *name, const faas_event_config *event)
{
	faas_invocation *invocation = NULL;
	int code = faas_invoke(stage->bed.runtime, name, event, 0, &invocation);

	assert_non_null(invocation);
	assert_int_equal(code, faas_invocation_outcome(invocation));
	return invocation;
}

faas_invocation *stage_start(struct stage *stage, const char *name, const faas_event_config *event)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(FAAS_OK, faas_invoke_async(stage->bed.runtime, name, event, &invocation));
	assert_non_null(invocation);
	return invocation;
}

void stage_queue(struct stage *stage, const char *name, const faas_event_config *event)
{
	assert_int_equal(FAAS_OK, faas_invoke_async(stage->bed.runtime, name, event, NULL));
}

void stage_advance_ns(struct stage *stage, int64_t ns)
{
	assert_int_equal(FAAS_OK, faas_clock_advance(stage->bed.clock, ns));
}

int64_t stage_now(const struct stage *stage)
{
	return faas_clock_now(stage->bed.clock);
}

struct faas_timing_stats timing_of(const faas_invocation *invocation)
{
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};

	assert_int_equal(FAAS_OK, faas_invocation_timing(invocation, &timing));
	return timing;
}

struct faas_function_stats peek(faas_runtime *runtime, const char *name)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_function *function;

	if (faas_function_find(runtime, name, &function) != FAAS_OK)
		return stats;
	(void)faas_function_stats(function, &stats);
	faas_function_unref(function);
	return stats;
}

void peek_at_self(faas_context *context, void *arg)
{
	struct faas_function_stats *stats = arg;

	*stats = peek(faas_context_runtime(context), faas_context_function(context));
}
