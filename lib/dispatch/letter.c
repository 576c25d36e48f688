/* SPDX-License-Identifier: MIT */
/*
 * Dead letters: a function's failed invocations, oldest first, kept as they are. Each is one reference to the settled
 * invocation, linked through the room its queue link had; so keeping one needs no memory. An invocation that nobody could
 * ask about has no result; what is known of it then lies in that room as well (struct letter), and from then on it counts
 * its function, because somebody may get a handle of it.
 */
#include "dispatch/emit.h"
#include "dispatch/record.h"
#include "dispatch/runtime.h"
#include "faas/function.h"

static faas_invocation *letter_at(struct list *link)
{
	return container_of(link, faas_invocation, letter.link);
}

static void unlink_letter(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	struct service *service = faas__service(function);

	list_remove(&invocation->letter.link);
	invocation->is_linked = LINK_FORMER;
	service->letters_count--;
	service->letters_bytes -= faas__invocation_bytes(invocation);
}

/* Letters that were taken out, through their links, with the list's references. No lock is held. */
static void unref_all(struct list *letters)
{
	struct list *link;

	while ((link = list_pop_front(letters)) != NULL)
		faas__invocation_unref(letter_at(link));
}

static void lose_surplus(faas_function *function, struct list *lost) holds_lock(function->mu)
{
	struct service *service = faas__service(function);

	while (service->letters_count > function->delivery->max_letters || service->letters_bytes > function->max_bytes) {
		faas_invocation *oldest = letter_at(service->letters.next);

		unlink_letter(function, oldest);
		service->counts.letters_lost++;
		list_push_back(lost, &oldest->letter.link);
	}
}

static void write_letter(faas_invocation *invocation, enum end end, const struct brief *brief)
{
	struct letter *letter = &invocation->letter;

	letter->message = NULL;
	if (faas__has_result(invocation))
		return;
	(void)or_acq_rel(&invocation->state, (uint32_t)(FAAS_STATUS_SUCCEEDED + (int)end) << STATUS_SHIFT);
	letter->code = brief->code;
	letter->handler_result = brief->handler_result;
	if (brief->message) {
		letter->message = *brief->message;
		*brief->message = NULL;
	}
	faas_function_ref(invocation->function);
}

/* By their numbers, which is at the end but for one that was taken out and refused. */
static void link_letter(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	struct service *service = faas__service(function);
	struct list *after = service->letters.prev;

	while (after != &service->letters && letter_at(after)->letter.number > invocation->letter.number)
		after = after->prev;
	list_insert_after(after, &invocation->letter.link);
	invocation->is_linked = LINK_LETTER;
	service->letters_count++;
	service->letters_bytes += faas__invocation_bytes(invocation);
}

void faas__letter_add(faas_invocation *invocation, enum end end, const struct brief *brief)
{
	faas_function *function = invocation->function;
	struct service *service = faas__service(function);
	struct list lost;

	list_init(&lost);
	faas__mutex_lock(&function->mu);
	if (load_relaxed(&function->is_closed)) {
		service->counts.letters_lost++;
		faas__mutex_unlock(&function->mu);
		return;
	}
	faas_invocation_ref(invocation);
	write_letter(invocation, end, brief);
	invocation->letter.number = ++service->letter_number;
	link_letter(function, invocation);
	service->counts.letters_added++;
	lose_surplus(function, &lost);
	faas__mutex_unlock(&function->mu);
	unref_all(&lost);
}

/* Takes out one letter, or (NULL) the oldest. NULL: there is none such. */
static faas_invocation *take_one(faas_function *function, faas_invocation *letter)
{
	faas__mutex_lock(&function->mu);
	if (!letter && !list_empty(&faas__service(function)->letters))
		letter = letter_at(faas__service(function)->letters.next);
	if (letter && (letter->function != function || letter->is_linked != LINK_LETTER))
		letter = NULL;
	if (letter)
		unlink_letter(function, letter);
	faas__mutex_unlock(&function->mu);
	return letter;
}

uint64_t faas__letters_lose(faas_function *function)
{
	struct list lost;
	struct service *service;
	uint64_t count;

	list_init(&lost);
	faas__mutex_lock(&function->mu);
	service = faas__service(function);
	count = service->letters_count;
	while (!list_empty(&service->letters)) {
		faas_invocation *oldest = letter_at(service->letters.next);

		unlink_letter(function, oldest);
		service->counts.letters_lost++;
		list_push_back(&lost, &oldest->letter.link);
	}
	faas__mutex_unlock(&function->mu);
	unref_all(&lost);
	return count;
}

/* ---- Public calls ------------------------------------------------------------------------------------------------ */

int faas_function_dead_letter(faas_function *function, uint64_t *position, faas_invocation **ret_invocation)
{
	int result = FAAS_ENOTFOUND;

	if (!function || !position || !ret_invocation)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	faas__mutex_lock(&function->mu);
	list_each(link, &faas__service(function)->letters) {
		faas_invocation *invocation = letter_at(link);

		if (invocation->letter.number <= *position)
			continue;
		*position = invocation->letter.number;
		*ret_invocation = faas_invocation_ref(invocation);
		result = FAAS_OK;
		break;
	}
	faas__mutex_unlock(&function->mu);
	return result;
}

/* Its event belongs to itself, or to the one it is the record or the new life of. */
static int offer_again(faas_function *function, faas_invocation *letter)
{
	bool is_record = faas__is_record(letter);
	struct record *record = is_record ? faas__record_of(letter) : NULL;
	faas_runtime *runtime = function->runtime;
	struct lane *lane;
	faas_invocation *block;
	int code = faas__intake_check(runtime);

	if (code != FAAS_OK) {
		faas__count_rejected(function, code);
		return code;
	}
	lane = faas__lane_enter(runtime, faas__runner_of(runtime));
	block = faas__record_block(runtime, lane);
	faas__lane_leave(lane);
	if (!block) {
		faas__count_rejected(function, FAAS_ENOMEM);
		return FAAS_ENOMEM;
	}
	code = faas__record_offer(function, block, is_record ? record->of : letter, faas__hops_of(letter),
	                          is_record ? record->is_redriven : true, false);
	if (code != FAAS_OK) {
		lane = faas__lane_enter(runtime, faas__runner_of(runtime));
		faas__block_free(&runtime->pool, &lane->blocks, block, block->block_bytes);
		faas__lane_leave(lane);
	}
	return code;
}

/* 1, 0: it is none, or why it was refused; then it is where it was. */
static int redrive_one(faas_function *function, faas_invocation *letter)
{
	faas_invocation *taken = take_one(function, letter);
	struct list lost;
	bool stays;
	int code;

	if (!taken)
		return 0;
	code = offer_again(function, taken);
	faas__mutex_lock(&function->mu);
	stays = code != FAAS_OK && !load_relaxed(&function->is_closed);
	list_init(&lost);
	if (stays) {
		link_letter(function, taken);
		lose_surplus(function, &lost);
	}
	faas__service(function)->counts.letters_redriven += code == FAAS_OK;
	faas__mutex_unlock(&function->mu);
	unref_all(&lost);
	if (code != FAAS_OK && !stays)
		faas__count_letter_lost(function);
	if (!stays)
		faas__invocation_unref(taken);
	return code == FAAS_OK ? 1 : code;
}

int faas_function_redrive(faas_function *function, faas_invocation *letter)
{
	int redriven = 0, result;
	uint64_t left;

	if (!function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	if (letter) {
		result = redrive_one(function, letter);
		return result == 0 ? FAAS_ENOTFOUND : result;
	}
	faas__mutex_lock(&function->mu);
	left = faas__service(function)->letters_count;
	faas__mutex_unlock(&function->mu);
	/* Not those that come back meanwhile. */
	while (left-- > 0) {
		result = redrive_one(function, NULL);
		if (result == 0)
			break;
		if (result < 0)
			return redriven > 0 ? redriven : result;
		redriven++;
	}
	return redriven;
}

int faas_function_purge(faas_function *function, faas_invocation *letter)
{
	faas_invocation *taken;
	int purged = 0;
	uint64_t left;

	if (!function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	faas__mutex_lock(&function->mu);
	left = letter ? 1 : faas__service(function)->letters_count;
	faas__mutex_unlock(&function->mu);
	while (left-- > 0 && (taken = take_one(function, letter)) != NULL) {
		faas__invocation_unref(taken);
		purged++;
	}
	return letter && purged == 0 ? FAAS_ENOTFOUND : purged;
}
