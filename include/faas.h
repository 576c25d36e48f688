/* SPDX-License-Identifier: MIT */
/*
 * libfaas: event-driven function dispatch inside one process.
 *
 * A host program registers functions, binds them to patterns over event types, and emits events; the library decides
 * when, where, how often and for how long each function runs. This file includes one header per concept:
 *
 *     faas/common.h      version, error codes, limits, allocator: what every other header needs
 *     faas/clock.h       where time comes from; manual clocks for tests
 *     faas/runtime.h     open, drain, close; the executor's settings; manual mode
 *     faas/function.h    register, unregister, find
 *     faas/event.h       events, bindings, emit, emissions
 *     faas/filter.h      expressions over an event's attributes
 *     faas/invocation.h  invoke, wait, cancel, answers, timing
 *     faas/context.h     what a handler may ask and do
 *     faas/deferral.h    completing later what a handler began
 *     faas/stats.h       exact counts, histograms, the bill
 *
 * Every function says, always in this order: Threads (who may call it, and from where), Blocks (whether, and on what),
 * Owns (what changes hands, and until when pointers stay valid), Units, and Returns (every code it can return). Every
 * function also returns FAAS_EFORKED, without touching a lock, in a child made by fork() that did not open the runtime
 * itself; this is not repeated.
 */
#ifndef FAAS_H
#define FAAS_H

#include <faas/clock.h>
#include <faas/common.h>
#include <faas/context.h>
#include <faas/deferral.h>
#include <faas/event.h>
#include <faas/filter.h>
#include <faas/function.h>
#include <faas/invocation.h>
#include <faas/runtime.h>
#include <faas/stats.h>

#endif
