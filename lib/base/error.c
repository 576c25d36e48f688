/* SPDX-License-Identifier: MIT */
/* The texts and names of error codes. */
#include <stddef.h>

#include "faas/common.h"

static const struct {
	int code;
	const char *name;
	const char *text;
} errors[] = {
	{FAAS_OK, "FAAS_OK", "success"},
	{FAAS_EINVAL, "FAAS_EINVAL", "an argument is missing, out of range, or of an unknown size"},
	{FAAS_ENOMEM, "FAAS_ENOMEM", "out of memory"},
	{FAAS_ETHREAD, "FAAS_ETHREAD", "a thread, mutex or condition variable could not be made"},
	{FAAS_ESYSTEM, "FAAS_ESYSTEM", "a system call failed"},
	{FAAS_EFORKED, "FAAS_EFORKED", "the runtime belongs to the process that forked this one"},
	{FAAS_ENAME, "FAAS_ENAME", "a function name must be 1 to 64 letters, digits, underscores or dashes"},
	{FAAS_EEXIST, "FAAS_EEXIST", "it exists already"},
	{FAAS_ENOTFOUND, "FAAS_ENOTFOUND", "there is no such function, binding or attribute"},
	{FAAS_EPATTERN, "FAAS_EPATTERN", "the binding's pattern is malformed"},
	{FAAS_ETYPE, "FAAS_ETYPE", "the event's type is missing, empty or malformed"},
	{FAAS_EATTRIBUTE, "FAAS_EATTRIBUTE", "an attribute's name, type or value is not one CloudEvents allows"},
	{FAAS_EATTRIBUTES, "FAAS_EATTRIBUTES", "the event has too many attributes"},
	{FAAS_ETOOLONG, "FAAS_ETOOLONG", "a string is longer than its limit"},
	{FAAS_ETOOBIG, "FAAS_ETOOBIG", "the data or the attributes are larger than their limit"},
	{FAAS_ETEXT, "FAAS_ETEXT", "a string is not UTF-8"},
	{FAAS_EFULL, "FAAS_EFULL", "the function's queue is full"},
	{FAAS_ERUNTIMEFULL, "FAAS_ERUNTIMEFULL", "the runtime's queues together are full"},
	{FAAS_ECLOSED, "FAAS_ECLOSED", "the runtime is draining or closed"},
	{FAAS_EFUNCTIONS, "FAAS_EFUNCTIONS", "the runtime has as many functions as it can"},
	{FAAS_EBINDINGS, "FAAS_EBINDINGS", "the runtime has as many bindings as it can"},
	{FAAS_ELOOP, "FAAS_ELOOP", "the chain of events that cause events is too long"},
	{FAAS_EPENDING, "FAAS_EPENDING", "not settled yet"},
	{FAAS_EAGAIN, "FAAS_EAGAIN", "nothing can run until time moves or the host acts"},
	{FAAS_EDEADLK, "FAAS_EDEADLK", "the wait could never end, or waiting is not allowed here"},
	{FAAS_EBUSY, "FAAS_EBUSY", "handlers are still running"},
	{FAAS_EFAILED, "FAAS_EFAILED", "the handler failed"},
	{FAAS_ETIMEDOUT, "FAAS_ETIMEDOUT", "the deadline passed"},
	{FAAS_ECANCELLED, "FAAS_ECANCELLED", "cancelled"},
	{FAAS_EDROPPED, "FAAS_EDROPPED", "dropped from a full queue by a newer event"},
	{FAAS_EINIT, "FAAS_EINIT", "the worker could not be initialised"},
	{FAAS_ESTATE, "FAAS_ESTATE", "the call does not fit where it was made"},
	{FAAS_EREFUSED, "FAAS_EREFUSED", "another function refused the event, so none took it"},
	{FAAS_ETHROTTLED, "FAAS_ETHROTTLED", "the function's rate would let it begin too late"},
	{FAAS_ESETTLED, "FAAS_ESETTLED", "it is settled already"},
	{FAAS_ERESERVED, "FAAS_ERESERVED", "the runtime has not so much concurrency left to reserve"},
	{FAAS_EEXPIRED, "FAAS_EEXPIRED", "it became too old"},
	{FAAS_EABANDONED, "FAAS_EABANDONED", "deferred, and never completed"},
	{FAAS_EFILTER, "FAAS_EFILTER", "the filter is malformed, or of the wrong type"},
	{FAAS_EFILTERLONG, "FAAS_EFILTERLONG", "the filter is too long"},
	{FAAS_EFILTERDEPTH, "FAAS_EFILTERDEPTH", "the filter is nested too deep"},
	{FAAS_EFILTERVALUES, "FAAS_EFILTERVALUES", "the filter needs too many values at once"},
	{FAAS_EFILTERSIZE, "FAAS_EFILTERSIZE", "the compiled filter is too large"},
	{FAAS_EFILTERTEXT, "FAAS_EFILTERTEXT", "the filter builds too much text"},
	{FAAS_EFILTERSTEPS, "FAAS_EFILTERSTEPS", "the filter takes too many steps"},
	{FAAS_EFILTERMATH, "FAAS_EFILTERMATH", "a division by zero or an overflow in the filter"},
	{FAAS_EFILTERCAST, "FAAS_EFILTERCAST", "a value in the filter cannot be cast"},
	{FAAS_EFILTERMISSING, "FAAS_EFILTERMISSING", "the event lacks an attribute that the filter reads"},
	{FAAS_EFILTERFUNCTION, "FAAS_EFILTERFUNCTION", "the filter calls a function that does not exist"},
	{FAAS_EFILTERCALL, "FAAS_EFILTERCALL", "a function in the filter was called with an argument out of range"},
};

#define ERROR_COUNT (sizeof(errors) / sizeof(errors[0]))

const char *faas_strerror(int code)
{
	for (size_t i = 0; i < ERROR_COUNT; i++)
		if (errors[i].code == code)
			return errors[i].text;
	return "unknown error";
}

const char *faas_error_name(int code)
{
	for (size_t i = 0; i < ERROR_COUNT; i++)
		if (errors[i].code == code)
			return errors[i].name;
	return "FAAS_EUNKNOWN";
}

int faas_version(void)
{
	return FAAS_VERSION_MAJOR * 1000000 + FAAS_VERSION_MINOR * 1000 + FAAS_VERSION_PATCH;
}
