/* SPDX-License-Identifier: MIT */
/*
 * The texts and names of error codes. They stand in one constant block and are found by offsets: a table of pointers would
 * have to be relocated when the library is loaded, and take twice the room.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "faas/common.h"

#define ERRORS                                                                                                        \
	ERROR(FAAS_OK, "success")                                                                                         \
	ERROR(FAAS_EINVAL, "an argument is missing, out of range, or of an unknown size")                                 \
	ERROR(FAAS_ENOMEM, "out of memory")                                                                               \
	ERROR(FAAS_ETHREAD, "a thread, mutex or condition variable could not be made")                                    \
	ERROR(FAAS_ESYSTEM, "a system call failed")                                                                       \
	ERROR(FAAS_EFORKED, "the runtime belongs to the process that forked this one")                                    \
	ERROR(FAAS_ENAME, "a function name must be 1 to 64 letters, digits, underscores or dashes")                       \
	ERROR(FAAS_EEXIST, "it exists already")                                                                           \
	ERROR(FAAS_ENOTFOUND, "there is no such function, binding or attribute")                                          \
	ERROR(FAAS_EPATTERN, "the binding's pattern is malformed")                                                        \
	ERROR(FAAS_ETYPE, "the event's type is missing, empty or malformed")                                              \
	ERROR(FAAS_EATTRIBUTE, "an attribute's name, type or value is not one CloudEvents allows")                        \
	ERROR(FAAS_EATTRIBUTES, "the event has too many attributes")                                                      \
	ERROR(FAAS_ETOOLONG, "a string is longer than its limit")                                                         \
	ERROR(FAAS_ETOOBIG, "the data or the attributes are larger than their limit")                                     \
	ERROR(FAAS_ETEXT, "a string is not UTF-8")                                                                        \
	ERROR(FAAS_EFULL, "the function's queue is full")                                                                 \
	ERROR(FAAS_ERUNTIMEFULL, "the runtime's queues together are full")                                                \
	ERROR(FAAS_ECLOSED, "the runtime is draining or closed")                                                          \
	ERROR(FAAS_EFUNCTIONS, "the runtime has as many functions as it can")                                             \
	ERROR(FAAS_EBINDINGS, "the runtime has as many bindings as it can")                                               \
	ERROR(FAAS_ELOOP, "the chain of events that cause events is too long")                                            \
	ERROR(FAAS_EPENDING, "not settled yet")                                                                           \
	ERROR(FAAS_EAGAIN, "nothing can run until time moves or the host acts")                                           \
	ERROR(FAAS_EDEADLK, "the wait could never end, or waiting is not allowed here")                                   \
	ERROR(FAAS_EBUSY, "handlers are still running")                                                                   \
	ERROR(FAAS_EFAILED, "the handler failed")                                                                         \
	ERROR(FAAS_ETIMEDOUT, "the deadline passed")                                                                      \
	ERROR(FAAS_ECANCELLED, "cancelled")                                                                               \
	ERROR(FAAS_EDROPPED, "dropped from a full queue by a newer event")                                                \
	ERROR(FAAS_EINIT, "the worker could not be initialised")                                                          \
	ERROR(FAAS_ESTATE, "the call does not fit where it was made")                                                     \
	ERROR(FAAS_EREFUSED, "another function refused the event, so none took it")                                       \
	ERROR(FAAS_ETHROTTLED, "the function's rate would let it begin too late")                                         \
	ERROR(FAAS_ESETTLED, "it is settled already")                                                                     \
	ERROR(FAAS_ERESERVED, "the runtime has not so much concurrency left to reserve")                                  \
	ERROR(FAAS_EEXPIRED, "it became too old")                                                                         \
	ERROR(FAAS_EABANDONED, "deferred, and never completed")                                                           \
	ERROR(FAAS_EFILTER, "the filter is malformed, or of the wrong type")                                              \
	ERROR(FAAS_EFILTERLONG, "the filter is too long")                                                                 \
	ERROR(FAAS_EFILTERDEPTH, "the filter is nested too deep")                                                         \
	ERROR(FAAS_EFILTERVALUES, "the filter needs too many values at once")                                             \
	ERROR(FAAS_EFILTERSIZE, "the compiled filter is too large")                                                       \
	ERROR(FAAS_EFILTERTEXT, "the filter builds too much text")                                                        \
	ERROR(FAAS_EFILTERSTEPS, "the filter takes too many steps")                                                       \
	ERROR(FAAS_EFILTERMATH, "a division by zero or an overflow in the filter")                                        \
	ERROR(FAAS_EFILTERCAST, "a value in the filter cannot be cast")                                                   \
	ERROR(FAAS_EFILTERMISSING, "the event lacks an attribute that the filter reads")                                  \
	ERROR(FAAS_EFILTERFUNCTION, "the filter calls a function that does not exist")                                    \
	ERROR(FAAS_EFILTERCALL, "a function in the filter was called with an argument out of range")

struct texts {
#define ERROR(code, text)                                                                                            \
	char name_##code[sizeof(#code)];                                                                                 \
	char text_##code[sizeof(text)];
	ERRORS
#undef ERROR
};

static const struct texts texts = {
#define ERROR(code, text) .name_##code = #code, .text_##code = text,
	ERRORS
#undef ERROR
};

static const struct {
	int16_t code;
	uint16_t at; /* where its name begins in texts; what it means stands behind that */
} errors[] = {
#define ERROR(code, text) {code, offsetof(struct texts, name_##code)},
	ERRORS
#undef ERROR
};

/* NULL: there is no such code. */
static const char *name_of(int code)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].code == code)
			return (const char *)&texts + errors[i].at;
	return NULL;
}

const char *faas_strerror(int code)
{
	const char *name = name_of(code);

	return name ? name + strlen(name) + 1 : "unknown error";
}

const char *faas_error_name(int code)
{
	const char *name = name_of(code);

	return name ? name : "FAAS_EUNKNOWN";
}

int faas_version(void)
{
	return FAAS_VERSION_MAJOR * 1000000 + FAAS_VERSION_MINOR * 1000 + FAAS_VERSION_PATCH;
}
