/* SPDX-License-Identifier: MIT */
/*
 * The simulator: a runtime in manual mode, the model beside it, and what is done to both.
 *
 *     simulate.c     the command: seeds, one after the other, in a child process
 *     shrink.c       makes a failing run short
 *     run.c          one run: opens, does operations, closes
 *     ops.c          the operations there are; each is done by an act_... function, from the host's side as well as from
 *                    handlers and callbacks
 *     act_*.c        each asks the model what should happen, does it, compares
 *     hooks.c        what the library calls: tells the model who got a turn
 *     script.c       what a handler, an init or a callback does then
 *     learn.c        asks the library what it has drawn, and lets time pass
 *     compare*.c     everything that can be asked, asked of both
 *     size.c, memory.c  how much memory an event counts as; the allocator, which counts
 *     model*.c       the model
 *
 * Handlers run inside calls of the library, so while one call is under way the model is told of others. A function of
 * the model is therefore called before the library's where the library may call back.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <faas.h>

#include "draw.h"
#include "model.h"
#include "report.h"

#define HANDLES 24
#define EMISSIONS 8
#define TOKENS 8
#define EVENTS_MAX 3000 /* events in one run; then handlers make no more */

/* One operation of the host. */
struct op {
	int kind;
	struct draw draw;
};

/* A run: what is done, and to what kind of runtime. */
struct plan {
	uint64_t seed;
	uint32_t plain; /* of the runtime's own settings */
	struct op *ops;
	int count;
};

struct handle {
	faas_invocation *real; /* NULL: a free place */
	struct model_invocation *model;
	int refs;
	bool was_compared;     /* settled, and found equal */
};

struct token {
	faas_deferral *real; /* NULL: a free place */
	struct model_deferral *model;
	int refs;
};

/* A handle that the simulator itself keeps while the invocation is not settled. */
struct watch {
	struct watch *next;
	struct model_invocation *model;
};

struct emission_handle {
	faas_emission *real;
	struct model_emission *model;
	int refs;
};

/* Where user code runs now: from here the library is called. */
enum place_kind { PLACE_HOST, PLACE_HANDLER, PLACE_CALLBACK };

struct place {
	enum place_kind kind;
	faas_context *context;         /* of a handler or init */
	struct model_attempt *attempt; /* likewise */
	/* All that may run inside the call that is made from here. Both NULL: see model.target. */
	struct model_invocation *waits_on;
	struct model_emission *waits_for;
	bool holds_clock;              /* a callback that comes at once: see hooks.c */
	struct place *outer;
};

struct memory {
	uint64_t bytes, blocks;
	struct head *first; /* of all blocks */
};

struct sim {
	struct model model;
	faas_runtime *runtime;
	faas_clock *clock;
	struct memory memory;
	struct handle handles[HANDLES];
	struct emission_handle emissions[EMISSIONS];
	struct token tokens[TOKENS];
	struct watch *watches;
	struct place *place;
	int events;
	int workers;      /* states that inits made */
	int states_alive;
	int op;           /* that is done */
	bool is_quiet;    /* callbacks do nothing of their own */
};

/* ---- run.c ------------------------------------------------------------------------------------------------------- */

/* Does it all. `on_op` (may be NULL) is told each operation's index. Returns whether model and library agreed. */
bool run_plan(const struct plan *plan, bool is_tracing, void (*on_op)(int op));

/* ---- ops.c ------------------------------------------------------------------------------------------------------- */

void ops_generate(struct plan *plan, uint64_t seed, int steps);
void ops_do(struct sim *sim, const struct op *op);

/* Something that a handler or callback does. */
void ops_do_inside(struct sim *sim, const struct draw *draw);

/* ---- act_event.c, act_wait.c ------------------------------------------------------------------------------------- */

void act_emit(struct sim *sim, const struct draw *draw);
void act_invoke_async(struct sim *sim, const struct draw *draw);
void act_burst(struct sim *sim, const struct draw *draw);
void act_invoke(struct sim *sim, const struct draw *draw);
void act_wait(struct sim *sim, const struct draw *draw);
void act_emission_wait(struct sim *sim, const struct draw *draw);

/* One of the functions registered now, or (by its handle) one that was unregistered; NULL: a name that is free. */
struct model_function *pick_function(struct sim *sim, const struct draw *draw);

/* An event from these choices, or the next in a relay. */
struct model_event *new_event(struct sim *sim, const struct draw *draw, bool needs_type);
struct model_invocation *new_invocation(struct sim *sim, struct model_function *function, const struct model_event *event,
                                        bool has_result, bool is_shared);
void send(struct sim *sim, struct model_function *function, const struct model_event *event, bool synchronous,
          const struct draw *draw);
void send_sync(struct sim *sim, struct model_function *function, const struct model_event *event,
               const struct draw *draw);

/* The library's form of an event; `bytes` is what its data may lie in. */
struct event_form {
	faas_event_config config;
	faas_attribute_config attribute;
	char key[8];
	char data[4096];
};
void form_event(const struct model_event *event, struct event_form *ret_form);
int number_of(const faas_event *event);

/* ---- act_handle.c ------------------------------------------------------------------------------------------------ */

struct handle *handle_add(struct sim *sim, faas_invocation *real, struct model_invocation *model);
struct emission_handle *emission_pick(struct sim *sim, const struct draw *draw);
struct handle *handle_pick(struct sim *sim, const struct draw *draw, unsigned field);
void act_cancel(struct sim *sim, const struct draw *draw);
void act_on_settled(struct sim *sim, const struct draw *draw);
void act_ref(struct sim *sim, const struct draw *draw);
void act_unref(struct sim *sim, const struct draw *draw);
void act_emission_cancel(struct sim *sim, const struct draw *draw);
void act_emission_on_settled(struct sim *sim, const struct draw *draw);
void act_emission_unref(struct sim *sim, const struct draw *draw);
void emission_add(struct sim *sim, faas_emission *real, struct model_emission *model);
void handles_drop_all(struct sim *sim);

/* ---- act_function.c ---------------------------------------------------------------------------------------------- */

void act_register(struct sim *sim, const struct draw *draw);
void act_unregister(struct sim *sim, const struct draw *draw);
void act_bind(struct sim *sim, const struct draw *draw);
void act_unbind(struct sim *sim, const struct draw *draw);
const char *function_name(int name);

/* ---- act_defer.c, act_letter.c ----------------------------------------------------------------------------------- */

void act_complete(struct sim *sim, const struct draw *draw);
void act_token_ref(struct sim *sim, const struct draw *draw);
void act_token_unref(struct sim *sim, const struct draw *draw);

/* The handler that runs takes a token, and perhaps uses it at once. */
void take_token(struct sim *sim, struct model_attempt *attempt, const struct draw *draw);
void compare_tokens(struct sim *sim);
void tokens_drop_all(struct sim *sim);

void act_walk(struct sim *sim, const struct draw *draw);
void act_redrive(struct sim *sim, const struct draw *draw);
void act_purge(struct sim *sim, const struct draw *draw);
void act_cancel_all(struct sim *sim, const struct draw *draw);

/* ---- act_time.c -------------------------------------------------------------------------------------------------- */

void act_advance(struct sim *sim, const struct draw *draw);
void act_run(struct sim *sim, const struct draw *draw);
void act_drain(struct sim *sim, const struct draw *draw);
void take_steps(struct sim *sim, int most);

/* The invocation that a wait made from here would run now; NULL: none. */
struct model_invocation *awaited(const struct place *place);

/* Tells the model what the library did without calling anybody. */
void catch_up(struct sim *sim);

/* After a call in which steps were taken: nothing is left that had to come before it ended. */
void expect_rest(struct sim *sim);

/* ---- learn.c ----------------------------------------------------------------------------------------------------- */

/* Its status is asked for as long as it is not settled, where delays are drawn. */
void watch(struct sim *sim, struct model_invocation *invocation, faas_invocation *real);
void unwatch_all(struct sim *sim);

/* Tells the model what the library has drawn. */
void learn(struct sim *sim);
void advance(struct sim *sim, int64_t duration);

/* ---- hooks.c, script.c ------------------------------------------------------------------------------------------- */

int hook_handler(faas_context *context, const faas_event *event);
int hook_init(faas_context *context, void **ret_state);
void hook_fini(void *state, void *user);
void hook_release(void *user);
void hook_settled(faas_invocation *invocation, void *user);
void hook_emission_settled(faas_emission *emission, void *user);

struct sim *sim_of(const struct model *model);
struct place *place_push(struct sim *sim, struct place *place);
void place_pop(struct sim *sim);

/* What they do. The result is what the handler or init is to return. */
int script_handler(struct sim *sim, struct model_attempt *attempt, const struct model_event *event);
int script_init(struct sim *sim, struct model_attempt *attempt);
void script_callback(struct sim *sim, uint64_t seed, uint32_t plain);

/* Texts of answers and messages by number. */
const char *script_text(int number);

/* ---- compare.c --------------------------------------------------------------------------------------------------- */

void compare_functions(struct sim *sim);

/* Where there are rates, the library may tell too early when something is due. */
bool has_rates(const struct sim *sim);
void compare_all(struct sim *sim, bool with_totals);
void compare_handle(struct handle *handle);

/* A settled one that was borrowed: a record's, or a dead letter. */
void compare_settled(faas_invocation *real, const struct model_invocation *model);
void compare_context(struct sim *sim, const faas_context *context, const struct model_attempt *attempt);

/* ---- size.c, memory.c -------------------------------------------------------------------------------------------- */

faas_allocator_config memory_config(struct memory *memory);
/* Frees every block that is left: for a run that is given up. */
void memory_drop_all(struct memory *memory);

#endif
