/* SPDX-License-Identifier: MIT */
/* A model of one function's accounts: see support_model.h. */
#include "support_model.h"

const char *model_complaint;

void model_complain(int is_wrong, const char *what)
{
	if (is_wrong && !model_complaint)
		model_complaint = what;
}

struct model *model_new(void)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		abort();
	model->is_registered = 1;
	model->claimed = NOBODY;
	for (int i = 0; i < MODEL_EVENTS_MAX; i++)
		model->outcomes[i] = FAAS_EPENDING;
	return model;
}

void model_free(struct model *model)
{
	faas_function_unref(model->handle);
	free(model);
}

void model_configure(const struct model *model, faas_function_config *config)
{
	config->queue_events = model->max_queue;
	config->queue_full = model->is_dropping ? FAAS_FULL_DROP_OLDEST : FAAS_FULL_REJECT;
	config->max_concurrency = model->max_concurrency;
	config->provisioned = model->provisioned;
	config->deadline_ms = model->deadline_ns / MS;
	config->init_deadline_ms = model->deadline_ns / MS;
}

/* ---- The queue --------------------------------------------------------------------------------------------------- */

int model_find(const struct model *model, int number)
{
	for (int i = 0; i < model->queued; i++)
		if (model->queue[i] == number)
			return i;
	return NOBODY;
}

static void take_out(struct model *model, int at)
{
	memmove(&model->queue[at], &model->queue[at + 1], sizeof(model->queue[0]) * (size_t)(model->queued - at - 1));
	model->queued--;
}

void model_end_queued(struct model *model, int at, enum model_end end, int outcome)
{
	model->outcomes[model->queue[at]] = outcome;
	take_out(model, at);
	model->ends[end]++;
}

int model_admit(struct model *model, int number)
{
	if (!model->is_registered) {
		model->rejected_closed++;
		return FAAS_ENOTFOUND;
	}
	if (model->queued == model->max_queue && !model->is_dropping) {
		model->rejected_full++;
		return FAAS_EFULL;
	}
	if (model->queued == model->max_queue)
		model_end_queued(model, 0, DROPPED, FAAS_EDROPPED);
	model->queue[model->queued++] = number;
	model->accepted++;
	return FAAS_OK;
}

void model_unregistered(struct model *model)
{
	while (model->queued > 0)
		model_end_queued(model, 0, CANCELLED, FAAS_ECANCELLED);
	model->is_registered = 0;
}

/* ---- Attempts ---------------------------------------------------------------------------------------------------- */

void model_init_ended(struct model *model, int64_t took_ns, int result)
{
	int is_late = took_ns >= model->deadline_ns, at;

	model->init_ns += took_ns;
	model->starts++;
	model->inits += result == 0;
	model->init_failures += result != 0 || is_late;
	model->overruns += (uint64_t)is_late;
	/* Ahead of need there is no event, and which of the two it is cannot be seen from inside. */
	if (model->provisioned > 0)
		return;
	at = model->claimed != NOBODY ? model_find(model, model->claimed) : 0;
	model_complain(model->queued == 0 || at == NOBODY, "an init for no event");
	if ((result != 0 || is_late) && model->queued > 0 && at != NOBODY)
		model_end_queued(model, at, FAILED, FAAS_EINIT);
}

void model_begin(struct model *model, int number)
{
	int at = model_find(model, number);

	model_complain(at == NOBODY, "an event ran that was not queued");
	model_complain(number != model->claimed && at > 0, "an event ran that was not the oldest");
	model_complain(model->max_concurrency > 0 && model->running >= model->max_concurrency, "too many ran at once");
	if (at != NOBODY)
		take_out(model, at);
	model->claimed = NOBODY;
	model->running++;
	model->started++;
}

static enum model_end end_of(const struct model *model, int64_t run_ns, int result)
{
	if (run_ns >= model->deadline_ns)
		return TIMED_OUT;
	return result == 0 ? SUCCEEDED : FAILED;
}

void model_end(struct model *model, int number, int64_t run_ns, int result)
{
	static const int outcomes[MODEL_ENDS] = {
		[SUCCEEDED] = FAAS_OK, [FAILED] = FAAS_EFAILED, [TIMED_OUT] = FAAS_ETIMEDOUT};
	enum model_end end = end_of(model, run_ns, result);

	model->running--;
	model->ends[end]++;
	model->outcomes[number] = outcomes[end];
	if (end == TIMED_OUT) {
		model->overruns++;
		run_ns = model->deadline_ns;
	}
	model->requests++;
	model->billed_ms += (uint64_t)((run_ns + MS - 1) / MS);
	model->run_ns += run_ns;
	if (run_ns > model->run_max_ns)
		model->run_max_ns = run_ns;
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

static void check_number(const char *name, uint64_t expected, uint64_t found)
{
	if (expected != found)
		print_error("%s: %llu, but expected %llu\n", name, (unsigned long long)found, (unsigned long long)expected);
	assert_int_equal(expected, found);
}

static void check_events(const struct model *model, const struct faas_function_stats *stats)
{
	check_number("accepted", model->accepted, stats->accepted);
	check_number("rejected_full", model->rejected_full, stats->rejected_full);
	check_number("rejected_closed", model->rejected_closed, stats->rejected_closed);
	check_number("rejected", model->rejected_full + model->rejected_closed, stats->rejected);
	check_number("queued", (uint64_t)model->queued, stats->queued);
	check_number("running", (uint64_t)model->running, stats->running);
	check_number("succeeded", model->ends[SUCCEEDED], stats->succeeded);
	check_number("failed", model->ends[FAILED], stats->failed);
	check_number("timed_out", model->ends[TIMED_OUT], stats->timed_out);
	check_number("expired", model->ends[EXPIRED], stats->expired);
	check_number("cancelled", model->ends[CANCELLED], stats->cancelled);
	check_number("dropped", model->ends[DROPPED], stats->dropped);
	check_number("overruns", model->overruns, stats->overruns);
	check_number("overrunning", 0, stats->overrunning);
}

static void check_workers(const struct model *model, const struct faas_function_stats *stats)
{
	check_number("starting", 0, stats->starting);
	check_number("busy", 0, stats->busy);
	check_number("warm", model->inits - model->finis, stats->warm);
	check_number("cold_starts", model->starts, stats->cold_starts);
	check_number("init_failures", model->init_failures, stats->init_failures);
	check_number("init_ns", (uint64_t)model->init_ns, stats->init_ns);
	check_number("retired", model->finis,
	             stats->retired_idle + stats->retired_overrun + stats->retired_unregistered + stats->retired_closed);
	if (model->provisioned == 0) {
		/* Each init was for an event; those that worked in time were followed by its handler. */
		check_number("provisioned_starts", 0, stats->provisioned_starts);
		check_number("warm_starts", model->started - (model->starts - model->init_failures), stats->warm_starts);
	}
}

static void check_bill(const struct model *model, const struct faas_function_stats *stats)
{
	check_number("requests", model->requests, stats->requests);
	check_number("billed_ms", model->billed_ms, stats->billed_ms);
	check_number("run_time.count", model->requests, stats->run_time.count);
	check_number("run_time.sum_ns", (uint64_t)model->run_ns, stats->run_time.sum_ns);
	check_number("run_time.max_ns", (uint64_t)model->run_max_ns, stats->run_time.max_ns);
	check_number("queue_time.count", model->requests, stats->queue_time.count);
}

void model_check(const struct model *model)
{
	struct faas_function_stats stats = stats_of(model->handle);

	check_events(model, &stats);
	check_workers(model, &stats);
	check_bill(model, &stats);
}

void model_check_totals(const struct model *models, faas_runtime *runtime)
{
	struct model sum = {.provisioned = 1};
	struct faas_runtime_stats totals = totals_of(runtime);
	uint64_t registered = 0;

	for (const struct model *model = models; model; model = model->next) {
		registered += (uint64_t)model->is_registered;
		sum.accepted += model->accepted;
		sum.rejected_full += model->rejected_full;
		sum.rejected_closed += model->rejected_closed;
		sum.queued += model->queued;
		for (int i = 0; i < MODEL_ENDS; i++)
			sum.ends[i] += model->ends[i];
		sum.overruns += model->overruns;
		sum.inits += model->inits;
		sum.finis += model->finis;
		sum.starts += model->starts;
		sum.init_failures += model->init_failures;
		sum.init_ns += model->init_ns;
		sum.requests += model->requests;
		sum.billed_ms += model->billed_ms;
		sum.run_ns += model->run_ns;
		if (model->run_max_ns > sum.run_max_ns)
			sum.run_max_ns = model->run_max_ns;
	}
	check_events(&sum, &totals.total);
	check_workers(&sum, &totals.total);
	check_bill(&sum, &totals.total);
	check_number("functions", registered, totals.functions);
	check_number("queued_events", (uint64_t)sum.queued, totals.queued_events);
}
