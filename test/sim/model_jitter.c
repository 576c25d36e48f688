/* SPDX-License-Identifier: MIT */
/*
 * Jitter: a part of a delay is drawn, and so the model knows bounds only: of when it ends, and perhaps of whether it is
 * begun at all. Which it was, the library tells by its numbers and, where a handle is held, by a status. A function's
 * delays are all drawn, or none is.
 */
#include "model.h"

#include "report.h"

bool model_draws(const struct model_function *function)
{
	return function->is_open && function->jitter > 0 && function->retry_backoff_max > 0;
}

bool model_has_jitter(const struct model *model)
{
	for (const struct model_function *function = model->functions; function; function = function->next)
		if (model_draws(function))
			return true;
	return false;
}

/* ---- Whether a delay begins ---------------------------------------------------------------------------------------- */

bool model_leave_undecided(struct model_invocation *invocation, int64_t least, int64_t most)
{
	struct model_invocation **last = &invocation->function->undecided;
	int code_least, code_most;
	bool is_late_least = model_is_late(invocation, least, &code_least);
	bool is_late_most = model_is_late(invocation, most, &code_most);

	if (!is_late_most || (is_late_least && code_least == code_most))
		return false;
	while (*last)
		last = &(*last)->next;
	*last = invocation;
	invocation->next = NULL;
	invocation->ready_least = least;
	invocation->ready_most = most;
	invocation->was_clock = invocation->function->model->is_clock;
	return true;
}

static int64_t age_end(const struct model_invocation *invocation)
{
	return after(invocation->accepted, invocation->function->max_age);
}

/* It is expired. Where its caller's time ends before its age, the draw says of which. */
static void expire(struct model_invocation *invocation)
{
	int64_t age = age_end(invocation);
	int code;

	(void)model_is_late(invocation, invocation->ready_most, &code);
	if (code == FAAS_EEXPIRED && invocation->caller_deadline < age && invocation->ready_least < age) {
		if (!invocation->watched) {
			unsure();
			return;
		}
		code = faas_invocation_outcome(invocation->watched);
		if (code != FAAS_EEXPIRED && code != FAAS_ETIMEDOUT)
			complain("jitter", "event %d expired with %d", invocation->event->number, code);
	}
	model_settle(invocation, END_EXPIRED, code);
}

static void begin_delay(struct model_invocation *invocation)
{
	int64_t late = sooner(age_end(invocation), invocation->caller_deadline);

	if (late <= invocation->ready_least)
		complain("jitter", "event %d is delayed past its end", invocation->event->number);
	model_delay(invocation, invocation->ready_least, sooner(invocation->ready_most, late - 1));
}

static void decide(struct model_invocation *invocation, bool is_delayed)
{
	struct model *model = invocation->function->model;

	model->is_clock = invocation->was_clock;
	model->is_later = invocation->was_clock;
	if (is_delayed)
		begin_delay(invocation);
	else
		expire(invocation);
	model->is_clock = false;
	model->is_later = false;
}

static void decide_all(struct model_function *function, uint64_t retries)
{
	struct model_invocation *each = function->undecided, *next;
	uint64_t count = 0, delayed = retries - function->stats.retries;

	for (next = each; next; next = next->next)
		count++;
	function->undecided = NULL;
	if (delayed > count)
		complain("jitter", "f%d has %llu retries too many", function->name, (unsigned long long)(delayed - count));
	for (; each && !has_failed(); each = next) {
		next = each->next;
		if (delayed > 0 && delayed < count && !each->watched)
			unsure();
		else if (delayed > 0 && delayed < count)
			decide(each, faas_invocation_status(each->watched) != FAAS_STATUS_EXPIRED);
		else
			decide(each, delayed > 0);
	}
}

/* ---- When it ends -------------------------------------------------------------------------------------------------- */

/* Of the delays that may be over, those that are: all, or as their handles say, or as the count leaves no choice. */
struct choice {
	uint64_t possible, over; /* how many */
	uint64_t known, unknown; /* over by what handles say or the bounds; without a handle */
};

static bool is_known_over(const struct model_invocation *delayed, int64_t now)
{
	if (delayed->ready_most <= now)
		return true;
	return delayed->watched && faas_invocation_status(delayed->watched) != FAAS_STATUS_DELAYED;
}

static bool is_unknown(const struct model_invocation *delayed, int64_t now)
{
	return delayed->ready_most > now && !delayed->watched;
}

static struct choice choose(const struct model_function *function, uint64_t over)
{
	const int64_t now = function->model->now;
	struct choice choice = {.over = over};

	for (const struct model_invocation *each = function->delays; each; each = each->next) {
		if (each->ready_least > now)
			continue;
		choice.possible++;
		choice.known += is_known_over(each, now);
		choice.unknown += is_unknown(each, now);
	}
	if (choice.over > choice.possible)
		complain("jitter", "a delay of f%d is over too early", function->name);
	else if (choice.known > choice.over)
		complain("jitter", "a delay of f%d is not over", function->name);
	else if (choice.over > choice.known + choice.unknown)
		complain("jitter", "a delay of f%d is over that is not", function->name);
	else if (choice.over != choice.known && choice.over != choice.known + choice.unknown)
		unsure();
	return choice;
}

static void end(struct model_invocation *delayed, int64_t now, bool is_clock)
{
	delayed->ready = sooner(delayed->ready_most, now);
	delayed->ready_doubt = delayed->ready - delayed->ready_least;
	delayed->function->model->draws_over++;
	model_end_delay(delayed, is_clock);
}

static void end_all(struct model_function *function, uint64_t over, bool is_clock)
{
	const int64_t now = function->model->now;
	const struct choice choice = choose(function, over);
	struct model_invocation *each = function->delays, *next;

	for (; each && !has_failed(); each = next) {
		bool is_over = each->ready_least <= now && (is_known_over(each, now) ||
		                                            (is_unknown(each, now) && choice.over > choice.known));

		next = each->next;
		/* In which order they came to the queue, nobody knows. */
		if (is_over && choice.over > 1 && each->ready_least < now)
			unsure();
		else if (is_over)
			end(each, now, is_clock);
		else if (each->ready_least <= now)
			each->ready_least = now + 1;
	}
}

void model_learn_draws(struct model_function *function, const struct faas_function_stats *found, bool is_clock)
{
	if (function->undecided)
		decide_all(function, found->retries);
	/* In the middle of a call that cancels several the model is ahead. */
	if (function->delays && function->delays->ready == NEVER && found->delayed <= function->delayed && !has_failed())
		end_all(function, function->delayed - found->delayed, is_clock);
}

void model_learn_queue_time(struct model_function *function, const struct faas_latency_stats *found)
{
	struct faas_latency_stats *known = &function->stats.queue_time;

	if (function->queue_doubt == 0 || found->count != known->count)
		return;
	if (found->sum_ns < known->sum_ns || found->sum_ns - known->sum_ns > function->queue_doubt)
		complain("queue_time", "of f%d: expected a sum of %llu and up to %llu more, found %llu", function->name,
		         (unsigned long long)known->sum_ns, (unsigned long long)function->queue_doubt,
		         (unsigned long long)found->sum_ns);
	if (found->max_ns > known->max_ns && found->max_ns <= function->queue_max_most)
		known->max_ns = found->max_ns;
	known->sum_ns = found->sum_ns;
	function->queue_doubt = 0;
}

/* ---- When the next one may end ------------------------------------------------------------------------------------- */

int64_t model_first_draw(const struct model *model, bool must)
{
	int64_t first = NEVER;

	for (const struct model_function *function = model->functions; function; function = function->next)
		for (const struct model_invocation *each = function->delays; each; each = each->next)
			if (each->ready == NEVER)
				first = sooner(first, must ? each->ready_most : each->ready_least);
	return first;
}

static bool may_end_at(const struct model *model, int64_t at)
{
	for (const struct model_function *function = model->functions; function; function = function->next)
		for (const struct model_invocation *each = function->delays; each; each = each->next)
			if (each->ready == NEVER && each->ready_least <= at && at <= each->ready_most)
				return true;
	return false;
}

bool model_may_be_due(const struct model *model, int64_t expected, int64_t found)
{
	int64_t last = model_first_draw(model, true);

	if (found == expected)
		return found == 0 || last == NEVER || (found > 0 && model->now + found <= last);
	if (expected == 0 || found <= 0 || (expected > 0 && found > expected))
		return false;
	return model->now + found <= last && may_end_at(model, model->now + found);
}
