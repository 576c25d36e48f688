/* SPDX-License-Identifier: MIT */
/* What a handler may ask and do; see faas/context.h. All of it is the attempt's own thread's. */
#include "faas/context.h"

#include <string.h>

#include "base/text.h"
#include "dispatch/emit.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define MESSAGE_MAX 255u

void *faas_context_state(const faas_context *context)
{
	return context->worker && !context->is_init ? context->worker->state : NULL;
}

void *faas_context_user(const faas_context *context)
{
	return context->function->user;
}

faas_runtime *faas_context_runtime(const faas_context *context)
{
	return context->runner->runtime;
}

const char *faas_context_function(const faas_context *context)
{
	return context->function->name;
}

int faas_context_attempt(const faas_context *context)
{
	return (int)context->attempt;
}

int faas_context_is_cold(const faas_context *context)
{
	return context->is_cold;
}

int64_t faas_context_remaining_ms(const faas_context *context)
{
	int64_t now;

	if (context->deadline == TIME_NEVER)
		return FAAS_NEVER;
	now = faas__runtime_now(context->runner->runtime);
	return now < context->deadline ? (context->deadline - now) / NS_PER_MS : 0;
}

int faas_context_is_cancelled(const faas_context *context)
{
	if (load_acquire(&context->is_given_up) != 0)
		return 1;
	/* Where no monitor watches, the clock itself tells. */
	return context->deadline != TIME_NEVER && faas__runtime_now(context->runner->runtime) >= context->deadline;
}

void *faas_context_alloc(faas_context *context, uint64_t bytes)
{
	if (bytes > FAAS_MAX_DATA)
		return NULL;
	return faas__arena_alloc(&context->arena, &context->runner->runtime->allocator, (size_t)bytes);
}

/* A copy of the answer, or a marker of its absence: `*ret_answer` NULL. */
static int copy_answer(faas_runtime *runtime, const void *data, size_t bytes, const char *content_type,
                       size_t type_bytes, struct answer **ret_answer)
{
	size_t block_bytes = sizeof(struct answer) + bytes + 1 + (content_type ? type_bytes + 1 : 0);
	struct answer *answer = faas__alloc(&runtime->allocator, block_bytes);

	if (!answer)
		return FAAS_ENOMEM;
	answer->block_bytes = block_bytes;
	answer->bytes = bytes;
	answer->content_type = NULL;
	if (bytes > 0)
		memcpy(answer->data, data, bytes);
	answer->data[bytes] = 0;
	if (content_type) {
		answer->content_type = answer->data + bytes + 1;
		memcpy(answer->content_type, content_type, type_bytes + 1);
	}
	*ret_answer = answer;
	return FAAS_OK;
}

int faas__answer_new(faas_runtime *runtime, const faas_invocation *invocation, const void *data, uint64_t bytes,
                     const char *content_type, struct answer **ret_answer)
{
	size_t type_bytes = 0;
	int error = FAAS_OK;

	*ret_answer = NULL;
	if (bytes > 0 && !data)
		return FAAS_EINVAL;
	if (bytes > runtime->max_data_bytes)
		return FAAS_ETOOBIG;
	if (content_type)
		error = faas__text_check(content_type, FAAS_MAX_STRING, &type_bytes);
	if (error != FAAS_OK)
		return error == FAAS_EATTRIBUTE ? FAAS_ETEXT : error;
	if (!faas__has_result(invocation))
		return FAAS_OK;
	return copy_answer(runtime, data, (size_t)bytes, content_type, type_bytes, ret_answer);
}

/* What a call on the context returned; a chain has been described where it was found too long. */
int faas__context_note(faas_context *context, int code)
{
	if (code < 0 && code != FAAS_ELOOP)
		context->error = faas_strerror(code);
	return code;
}

int faas_context_reply(faas_context *context, const void *data, uint64_t bytes, const char *content_type)
{
	faas_runtime *runtime;
	struct answer *answer;
	int error;

	if (!context)
		return FAAS_EINVAL;
	runtime = context->runner->runtime;
	if (context->is_init)
		return faas__context_note(context, FAAS_ESTATE);
	error = faas__answer_new(runtime, context->invocation, data, bytes, content_type, &answer);
	if (error != FAAS_OK || !answer)
		return faas__context_note(context, error);
	faas__answer_free(runtime, context->answer);
	context->answer = answer;
	return FAAS_OK;
}

/* Cuts between characters: no byte that goes on one may stand behind the cut. */
static size_t message_length(const char *text)
{
	size_t bytes = 0;

	while (bytes < MESSAGE_MAX && text[bytes] != 0)
		bytes++;
	while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
		bytes--;
	return bytes;
}

/* Whether anybody may ask for a message: a handle, a record, or a dead letter. */
static bool wants_message(const faas_invocation *invocation)
{
	return faas__has_result(invocation) ||
	       (!faas__is_sync(invocation) && invocation->function->delivery->max_letters > 0);
}

struct message *faas__message_new(faas_runtime *runtime, const faas_invocation *invocation, const char *text)
{
	struct message *message;
	size_t bytes, block_bytes;

	if (!wants_message(invocation))
		return NULL;
	bytes = message_length(text);
	block_bytes = sizeof(*message) + bytes + 1;
	message = faas__alloc(&runtime->allocator, block_bytes);
	if (!message)
		return NULL;
	message->block_bytes = block_bytes;
	memcpy(message->text, text, bytes);
	message->text[bytes] = 0;
	return message;
}

int faas_context_fail(faas_context *context, const char *text)
{
	faas_runtime *runtime;
	struct message *message;

	if (!context || !text || !context->invocation)
		return 1;
	runtime = context->runner->runtime;
	message = faas__message_new(runtime, context->invocation, text);
	if (!message)
		return 1;
	faas__message_free(runtime, context->message);
	context->message = message;
	return 1;
}

int faas_context_fail_permanent(faas_context *context, const char *text)
{
	if (context)
		context->is_permanent = true;
	return faas_context_fail(context, text);
}

faas_invocation *faas_context_record(const faas_context *context)
{
	const struct record *record;

	if (!context || !context->invocation || !faas__is_record(context->invocation))
		return NULL;
	record = faas__record_of(context->invocation);
	return record->is_redriven ? NULL : record->of;
}

const char *faas_context_error(const faas_context *context)
{
	return context->error;
}

int faas_context_log(faas_context *context, int level, const char *message)
{
	if (!context)
		return FAAS_EINVAL;
	if (!message || level < FAAS_LOG_ERROR || level > FAAS_LOG_DEBUG)
		return faas__context_note(context, FAAS_EINVAL);
	faas__log(context->runner->runtime, level, context->function->name, message);
	return FAAS_OK;
}

int faas_context_emit_event(faas_context *context, const faas_event_config *event, faas_emission **ret_emission)
{
	if (!context)
		return FAAS_EINVAL;
	return faas__context_note(context, faas__emit(context->runner->runtime, context, event, ret_emission));
}

int faas_context_invoke(faas_context *context, const char *name, const faas_event_config *event, int64_t timeout_ms,
                        faas_invocation **ret_invocation)
{
	faas_function *function;
	int error;

	if (ret_invocation)
		*ret_invocation = NULL;
	if (!context)
		return FAAS_EINVAL;
	if (!name)
		return faas__context_note(context, FAAS_EINVAL);
	if (faas__runtime_is_forked(context->runner->runtime))
		return FAAS_EFORKED;
	error = faas__function_get(context->runner->runtime, name, &function);
	if (error != FAAS_OK)
		return faas__context_note(context, error);
	error = faas__invoke(function, context, event, timeout_ms, ret_invocation);
	faas_function_unref(function);
	return faas__context_note(context, error);
}

int faas_context_invoke_async(faas_context *context, const char *name, const faas_event_config *event,
                              faas_invocation **ret_invocation)
{
	faas_function *function;
	int error;

	if (!context)
		return FAAS_EINVAL;
	if (!name)
		return faas__context_note(context, FAAS_EINVAL);
	if (faas__runtime_is_forked(context->runner->runtime))
		return FAAS_EFORKED;
	error = faas__function_get(context->runner->runtime, name, &function);
	if (error != FAAS_OK)
		return faas__context_note(context, error);
	error = faas__invoke_async(function, context, event, ret_invocation);
	faas_function_unref(function);
	return faas__context_note(context, error);
}
