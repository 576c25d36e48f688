/* SPDX-License-Identifier: MIT */
/*
 * Order by key. Of each key in use one invocation is the head: it alone may begin. The others stand in a list that hangs
 * on the head, in the order they were accepted. When the head is settled, and no handler runs for it any more (an overrun
 * may outlive the settlement), the next one becomes the head and the list moves to it.
 *
 * Heads are found through a table of buckets whose chains run through the heads themselves; so a key costs no memory of
 * its own, and none when nothing of it is left. Only the table of buckets grows and shrinks; where memory for that is
 * refused, chains are longer.
 *
 * A retry whose overrun still runs waits in its own list, before all others.
 *
 * Everything here is under function.mu. Takers sort the inbox into the backlog and these lists (queue.c).
 */
#include <string.h>

#include "base/text.h"
#include "dispatch/function.h"
#include "dispatch/runtime.h"

#define LEAST_BUCKETS 16u

static faas_invocation **buckets_new(faas_function *function, uint64_t capacity)
{
	return faas__alloc_zero(&function->runtime->allocator, (size_t)capacity * sizeof(faas_invocation *));
}

static void buckets_free(faas_function *function)
{
	faas__free(&function->runtime->allocator, function->keys->buckets,
	           (size_t)function->keys->capacity * sizeof(faas_invocation *));
}

int faas__keys_init(faas_function *function)
{
	function->keys = faas__alloc_zero(&function->runtime->allocator, sizeof(*function->keys));
	if (!function->keys)
		return FAAS_ENOMEM;
	function->keys->buckets = buckets_new(function, LEAST_BUCKETS);
	if (!function->keys->buckets)
		return FAAS_ENOMEM;
	function->keys->capacity = LEAST_BUCKETS;
	return FAAS_OK;
}

void faas__keys_deinit(faas_function *function)
{
	if (!function->keys)
		return;
	if (function->keys->buckets)
		buckets_free(function);
	faas__free(&function->runtime->allocator, function->keys, sizeof(*function->keys));
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

static faas_invocation **bucket_of(struct key_table *keys, uint64_t hash)
{
	return &keys->buckets[hash & (keys->capacity - 1)];
}

static void resize(faas_function *function, uint64_t capacity) holds_lock(function->mu)
{
	struct key_table old = *function->keys;
	faas_invocation **buckets = buckets_new(function, capacity);

	if (!buckets)
		return;
	function->keys->buckets = buckets;
	function->keys->capacity = capacity;
	for (uint64_t i = 0; i < old.capacity; i++)
		while (old.buckets[i]) {
			faas_invocation *head = old.buckets[i];
			struct keyed *keyed = faas__keyed_of(head);
			faas_invocation **bucket = bucket_of(function->keys, keyed->hash);

			old.buckets[i] = keyed->next;
			keyed->next = *bucket;
			*bucket = head;
		}
	faas__free(&function->runtime->allocator, old.buckets, (size_t)old.capacity * sizeof(faas_invocation *));
}

static faas_invocation *find(faas_function *function, const faas_invocation *invocation) holds_lock(function->mu)
{
	uint64_t hash = faas__keyed_of(invocation)->hash;
	const char *key = faas_event_key(faas__event_of(invocation));
	faas_invocation *head = *bucket_of(function->keys, hash);

	while (head && (faas__keyed_of(head)->hash != hash || strcmp(faas_event_key(faas__event_of(head)), key) != 0))
		head = faas__keyed_of(head)->next;
	return head;
}

static void add_head(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	struct key_table *keys = function->keys;
	struct keyed *keyed = faas__keyed_of(invocation);
	faas_invocation **bucket;

	if (keys->count >= 2 * keys->capacity)
		resize(function, 4 * keys->capacity);
	bucket = bucket_of(keys, keyed->hash);
	keyed->next = *bucket;
	keyed->is_head = 1;
	*bucket = invocation;
	keys->count++;
}

static void remove_head(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	struct key_table *keys = function->keys;
	struct keyed *keyed = faas__keyed_of(invocation);
	faas_invocation **at = bucket_of(keys, keyed->hash);

	while (*at != invocation)
		at = &faas__keyed_of(*at)->next;
	*at = keyed->next;
	keyed->is_head = 0;
	keys->count--;
	if (keys->capacity > LEAST_BUCKETS && keys->count < keys->capacity / 8)
		resize(function, keys->capacity / 4);
}

/* ---- Heads and those behind -------------------------------------------------------------------------------------- */

static bool has_key(const faas_invocation *invocation)
{
	return faas__event_rare(faas__event_of(invocation))->key != 0;
}

bool faas__key_enter(faas_function *function, faas_invocation *invocation)
{
	faas_invocation *head;

	if (!has_key(invocation))
		return true;
	head = find(function, invocation);
	if (!head) {
		add_head(function, invocation);
		return true;
	}
	list_push_back(&faas__keyed_of(head)->waiting, &invocation->link);
	invocation->is_linked = LINK_WAITING;
	function->held++;
	return false;
}

/* It waited, and may begin now. */
static void release_one(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	list_push_back(&function->backlog, &invocation->link);
	invocation->is_linked = LINK_BACKLOG;
	function->held--;
	faas__turn_kick(&function->runtime->executor, &function->turn);
}

static void pass_on(faas_function *function, faas_invocation *head) holds_lock(function->mu)
{
	struct list *waiting = &faas__keyed_of(head)->waiting;
	struct list *link = list_pop_front(waiting);
	faas_invocation *next;

	remove_head(function, head);
	if (!link)
		return;
	next = container_of(link, faas_invocation, link);
	add_head(function, next);
	list_move_all(&faas__keyed_of(next)->waiting, waiting);
	release_one(function, next);
}

void faas__key_check(faas_function *function, faas_invocation *invocation)
{
	struct keyed *keyed;
	uint32_t phase;

	if (likely(!faas__is_keyed(invocation)))
		return;
	keyed = faas__keyed_of(invocation);
	if (!keyed->is_head || keyed->running > 0)
		return;
	phase = faas__phase_of(load_acquire(&invocation->state));
	if (phase == PHASE_SETTLING || phase == PHASE_SETTLED) {
		pass_on(function, invocation);
	} else if (phase == PHASE_QUEUED && invocation->is_linked == LINK_WAITING) {
		list_remove(&invocation->link);
		release_one(function, invocation);
	}
}

bool faas__key_may_retry(faas_function *function, faas_invocation *invocation)
{
	struct keyed *keyed = faas__keyed_of(invocation);

	if (!has_key(invocation) || keyed->running == 0)
		return true;
	list_push_front(&keyed->waiting, &invocation->link);
	invocation->is_linked = LINK_WAITING;
	function->held++;
	return false;
}

faas_invocation *faas__key_head(faas_function *function, faas_invocation *invocation)
{
	faas_invocation *head;

	if (!faas__is_keyed(invocation) || !has_key(invocation) || faas__keyed_of(invocation)->is_head)
		return invocation;
	head = find(function, invocation);
	return head ? head : invocation;
}

void faas__key_let_go(faas_function *function, faas_invocation *invocation)
{
	if (likely(!faas__is_keyed(invocation)))
		return;
	faas__keyed_of(invocation)->running--;
	faas__key_check(function, invocation);
}
