/* SPDX-License-Identifier: MIT */
/* Tokens: taken in handlers, completed from anywhere, given back. */
#include "sim.h"

#include <string.h>

static struct token *token_pick(struct sim *sim, const struct draw *draw)
{
	int at = draw_pick(draw, 0, TOKENS);

	for (int i = 0; i < TOKENS; i++)
		if (sim->tokens[(at + i) % TOKENS].real)
			return &sim->tokens[(at + i) % TOKENS];
	return NULL;
}

static int real_complete(faas_deferral *real, enum said said, int answer, int message)
{
	const char *text = script_text(answer ? answer : message);

	if (said == SAID_SUCCEEDED && answer == 0)
		return faas_complete(real, NULL, 0, NULL);
	if (said == SAID_SUCCEEDED)
		return faas_complete(real, text, strlen(text), answer % 2 ? "text/plain" : NULL);
	if (said == SAID_FAILED)
		return faas_complete_failed(real, message ? text : NULL);
	return faas_complete_failed_permanent(real, message ? text : NULL);
}

static void complete(struct sim *sim, const struct token *token, const struct draw *draw)
{
	static const char *const names[] = {"nothing", "success", "failure", "failure for good"};
	static const enum said choices[] = {SAID_SUCCEEDED, SAID_SUCCEEDED, SAID_SUCCEEDED, SAID_FAILED, SAID_FAILED,
	                                    SAID_FAILED_FOR_GOOD};
	const struct model_invocation *invocation = token->model->invocation;
	enum said said = choices[draw_pick(draw, 1, 6)];
	int text = draw_pick(draw, 2, 3) > 0 ? invocation->event->number + draw_pick(draw, 3, 2) : 0;
	int answer = said == SAID_SUCCEEDED ? text : 0, message = said == SAID_SUCCEEDED ? 0 : text, expected;
	faas_deferral *real = faas_deferral_ref(token->real);

	expected = model_complete(token->model, said, answer, message);
	trace("complete event %d at f%d: %s, text %d -> %s", invocation->event->number, invocation->function->name,
	      names[said], text, code_name(expected));
	/* Its callback may drop the token. */
	expect("complete", expected, real_complete(real, said, answer, message));
	faas_deferral_unref(real);
	learn(sim);
}

void act_complete(struct sim *sim, const struct draw *draw)
{
	const struct token *token = token_pick(sim, draw);

	if (token)
		complete(sim, token, draw);
}

void act_token_ref(struct sim *sim, const struct draw *draw)
{
	struct token *token = token_pick(sim, draw);

	if (!token)
		return;
	trace("ref the token of event %d", token->model->invocation->event->number);
	token->refs += faas_deferral_ref(token->real) != NULL;
}

static void unref(struct sim *sim, struct token *token)
{
	faas_deferral *real = token->real;

	if (--token->refs == 0) {
		token->real = NULL;
		/* Nobody is left who could complete it. */
		(void)model_complete(token->model, SAID_ABANDONED, 0, 0);
	}
	faas_deferral_unref(real);
	if (sim->runtime)
		learn(sim);
}

void act_token_unref(struct sim *sim, const struct draw *draw)
{
	struct token *token = token_pick(sim, draw);

	if (!token)
		return;
	trace("unref the token of event %d, %d left", token->model->invocation->event->number, token->refs - 1);
	unref(sim, token);
}

void tokens_drop_all(struct sim *sim)
{
	for (int i = 0; i < TOKENS; i++)
		while (sim->tokens[i].real) {
			expect("complete after closing", FAAS_ESETTLED, faas_complete(sim->tokens[i].real, NULL, 0, NULL));
			unref(sim, &sim->tokens[i]);
		}
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static struct token *free_token(struct sim *sim)
{
	for (int i = 0; i < TOKENS; i++)
		if (!sim->tokens[i].real)
			return &sim->tokens[i];
	return NULL;
}

void take_token(struct sim *sim, struct model_attempt *attempt, const struct draw *draw)
{
	struct token *token = free_token(sim);
	faas_deferral *real = NULL, *again = NULL;

	if (!token)
		return;
	trace("takes a token");
	expect("defer", FAAS_OK, faas_context_defer(sim->place->context, &real));
	expect("defer again", FAAS_EEXIST, faas_context_defer(sim->place->context, &again));
	if (has_failed())
		return;
	*token = (struct token){.real = real, .model = model_defer(attempt), .refs = 1};
	switch (draw_pick(draw, 17, 10)) {
	case 8:
		complete(sim, token, draw);
		break;
	case 9:
		unref(sim, token);
		break;
	default:
		break;
	}
}

void compare_tokens(struct sim *sim)
{
	for (int i = 0; i < TOKENS; i++)
		if (sim->tokens[i].real)
			expect("token is open", sim->tokens[i].model->is_open, faas_deferral_is_open(sim->tokens[i].real));
}
