/* SPDX-License-Identifier: MIT */
/*
 * The executor: threads, the run queue, timers, and the monitor that watches them. It knows turns, slots and timers,
 * and nothing of functions or events; what stands above it plugs in through `struct executor_ops`.
 *
 *     executor.c  its beginning and end
 *     turns.c     the run queue: whose turn it is, by thread time used
 *     threads.c   pool threads: look for work, park, leave; wake one when there is more
 *     slots.c     what a thread runs right now, and until when it may
 *     timers.c    things due later
 *     monitor.c   one thread that sees deadlines pass, starts threads where they lack, fires timers
 *
 * Without threads (manual mode) nobody but the caller of faas__executor_step runs turns, and nobody but
 * faas__executor_fire sees deadlines and timers: it is this file's callers that differ, not the code they call.
 *
 * Locks, none of which is held while another is taken, nor while an op is called, unless said here:
 *     visit_mu      one visit of all threads at a time; the exception: held while `visit` takes others
 *     run_queue.mu  the order of turns
 *     idle_mu       the stack of parked threads
 *     threads_mu    which threads there are
 *     timers_mu     the heap of timers
 */
#ifndef FAAS_EXECUTOR_EXECUTOR_H
#define FAAS_EXECUTOR_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/atomics.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/parking.h"
#include "base/random.h"
#include "base/sync.h"
#include "faas/common.h"

struct executor;
struct thread;
struct turn;
struct timer;

/* ---- Slots: what a thread runs ----------------------------------------------------------------------------------- */

/*
 * A thread publishes in its slot what it runs and until when. Whoever finds the deadline passed claims the slot, and
 * until it lets go the owner does not leave: that is what makes `attempt` safe to touch.
 *
 *     word = sequence * 4 + state       state: 0 idle, 1 running, 3 running and claimed
 */
struct slot {
	atomic_u64 word;               /* owner: begin, end; a claimant: 1 -> 3 */
	atomic_i64 deadline;           /* owner writes before word; TIME_NEVER: none */
	_Atomic(void *) attempt;       /* likewise */
	atomic_u64 let_go;             /* a claimant: the sequence it is done with */
};

#define SLOT_RUNNING 1u
#define SLOT_CLAIMED 2u
#define SLOT_SEQUENCE_SHIFT 2

static inline void faas__slot_begin(struct slot *slot, void *attempt, int64_t deadline)
{
	uint64_t sequence = (load_relaxed(&slot->word) >> SLOT_SEQUENCE_SHIFT) + 1;

	store_relaxed(&slot->deadline, deadline);
	store_relaxed(&slot->attempt, attempt);
	store_release(&slot->word, sequence << SLOT_SEQUENCE_SHIFT | SLOT_RUNNING);
}

/* Waits for a claimant to let go. */
void faas__slot_await(struct slot *slot, uint64_t sequence);

static inline void faas__slot_end(struct slot *slot)
{
	uint64_t sequence = load_relaxed(&slot->word) >> SLOT_SEQUENCE_SHIFT;

	if (unlikely(exchange_acq_rel(&slot->word, sequence << SLOT_SEQUENCE_SHIFT) & SLOT_CLAIMED))
		faas__slot_await(slot, sequence);
}

/* Claims the slot if something runs and `now` is not before its deadline. */
bool faas__slot_claim_due(struct slot *slot, int64_t now, void **ret_attempt);
/* Claims the slot if something runs. The attempt is NULL for user code that is no attempt (a callback, a fini). */
bool faas__slot_claim(struct slot *slot, void **ret_attempt);
void faas__slot_let_go(struct slot *slot);

static inline bool faas__slot_is_claimed(const struct slot *slot)
{
	return (load_acquire(&slot->word) & SLOT_CLAIMED) != 0;
}

static inline bool faas__slot_is_running(const struct slot *slot)
{
	return (load_acquire(&slot->word) & SLOT_RUNNING) != 0;
}

/* ---- Turns: what wants to run ------------------------------------------------------------------------------------ */

/*
 * Whoever makes work for a turn kicks it; whoever finds that it cannot go on blocks it; whoever removes the reason
 * unblocks it.
 *
 *     IDLE     nothing to do; a kick makes it ready
 *     READY    in the run queue, or taken out by one thread that has not yet said how it goes on
 *     BLOCKED  there is work, but it cannot start, or a thread is at it already and will come back; kicks do nothing
 *
 * IDLE -> READY and BLOCKED -> READY are compare-and-swaps, so a turn stands in the run queue at most once. The thread
 * that took it leaves READY alone: to READY (faas__turn_again), IDLE or BLOCKED.
 */
#define TURN_IDLE 0u
#define TURN_READY 1u
#define TURN_BLOCKED 2u

#define TURN_BEHIND ((uintptr_t)1) /* with the address of a turn that has become ready: others did before it */

struct turn;

/* Takes one turn on `thread`: says how the turn goes on, then works. No lock is held. True: something was done. */
typedef bool faas__take_fn(struct turn *turn, struct thread *thread);

struct turn {
	atomic_u32 state;           /* producers look at it, */
	_Atomic(struct turn *) next_arrived; /* and who made it ready writes this; in `soon` it is under run_queue.mu; the rest is for
	                               those who take turns */
	struct heap_node node;      /* under run_queue.mu */
	faas__take_fn *take;        /* fixed after init */
	atomic_i64 used;            /* virtual time: thread time used while others wanted some, divided by weight */
	atomic_u32 weight;          /* share of thread time; 100 is common */
	atomic_u32 expected_ns;     /* how long one is known to take; 0: perhaps long */
	uint32_t queued_ns;         /* under run_queue.mu: the same, as of when it was put there */
};

struct run_queue {
	/* Turns that are not filed yet: the last one, and TURN_BEHIND if there are more. */
	on_own_line _Atomic(uintptr_t) arrived;
	on_own_line struct mutex mu;
	struct turn *soon;      /* under mu: turns whose virtual time is near, the first come first; the others: */
	struct turn *soon_last; /* under mu: if there is any */
	struct heap heap;       /* under mu: by virtual time, then by arrival or draw */
	int64_t near_ns;        /* fixed: what is near */
	atomic_i64 virtual_now; /* writers under mu: the virtual time of the turn taken last */
	uint64_t arrivals;      /* under mu */
	struct random draw;     /* under mu; state 0: first come, first served */
	atomic_u32 count;       /* writers under mu: turns in list and heap, and one more while others are moved there */
	atomic_u64 expected_ns; /* writers under mu; takers read it: of all turns in list and heap */
	atomic_u64 taken;       /* changes when threads have taken turns; the monitor reads it */
};

/* Whether a turn is ready. In this order: what has left the stack is counted by then. */
static inline bool faas__run_queue_has_turns(struct run_queue *queue)
{
	return load_seq_cst(&queue->arrived) != 0 || load_seq_cst(&queue->count) > 0;
}

void faas__turn_init(struct turn *turn, faas__take_fn *take, uint32_t weight);

/* Makes an idle (or blocked) turn ready and wakes a thread for it if one is needed. */
void faas__turn_kick(struct executor *executor, struct turn *turn);
void faas__turn_unblock(struct executor *executor, struct turn *turn);

/*
 * For the thread that took it (NULL: it holds a lock): back into the run queue. `wake`: worth another thread's while; if
 * not, this thread means to come back for it, and the monitor sees to it if that takes long. True: another has been called,
 * which takes a while.
 */
bool faas__turn_again(struct executor *executor, struct turn *turn, struct thread *thread, bool wake);

/* For the thread that took it, which must look once more for work (and kick) after this one. */
static inline void faas__turn_idle(struct turn *turn)
{
	store_seq_cst(&turn->state, TURN_IDLE);
}

static inline void faas__turn_block(struct turn *turn)
{
	store_seq_cst(&turn->state, TURN_BLOCKED);
}

/* Adds thread time; negative takes an estimate back. */
void faas__turn_charge(struct turn *turn, int64_t ns);

/* Takes the turn that comes next out of the run queue; NULL: there is none. */
struct turn *faas__turn_next(struct executor *executor);

/* Whether no other turn is ready, whether or not this one is: a hint, while turns come and go. */
bool faas__turn_is_alone(struct executor *executor, struct turn *turn);

/* ---- Timers ------------------------------------------------------------------------------------------------------ */

struct timer {
	struct heap_node node; /* under timers_mu */
	/* Runs no user code; no lock is held. The timer may be set again from here. */
	void (*fire)(struct timer *timer, int64_t now);
};

/* Sets or moves a timer. True: it was not set before (the caller may count a reference for it). */
bool faas__timer_set(struct executor *executor, struct timer *timer, int64_t due);
/* True: it was set, and will not fire. */
bool faas__timer_cancel(struct executor *executor, struct timer *timer);
int64_t faas__timers_next(struct executor *executor);
void faas__timers_fire(struct executor *executor, int64_t now);

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

#define THREAD_DEPTH (FAAS_MAX_DEPTH + 1)

/*
 * What a thread does. All but the topmost bit is what it adds to executor.attentive: who will look at the run queue soon.
 */
#define THREAD_IDLE (UINT64_C(1) << 63)      /* a bit: it has nothing to do */
#define THREAD_BUSY UINT64_C(0)              /* at work, perhaps for long */
#define THREAD_QUICK (UINT64_C(1) << 32)     /* at work on what is known to be over soon */
#define THREAD_WOKEN (UINT64_C(1) << 16)     /* on its way */
#define THREAD_LOOKING (THREAD_IDLE | 1u)    /* looks around */
#define THREAD_PARKED THREAD_IDLE            /* asleep; a guest: not in use */
#define LOOKING_MASK UINT64_C(0xffff)        /* of executor.attentive */
#define WOKEN_MASK UINT64_C(0xffff0000)

/* A thread that runs turns: one of the pool, or a guest (a caller that lends itself). Embedded in what ops make. */
struct thread {
	struct executor *executor;      /* fixed */
	bool is_guest;                  /* fixed */
	struct list node;               /* under threads_mu: in executor.threads or .left */
	uint64_t visited;               /* under threads_mu: the last visit that saw it */
	struct os_thread handle;        /* pool threads; fixed before the thread is listed */
	int kept_off;                   /* a processor and 1 that it has been kept off; who started or woke it writes, before it goes on */
	struct thread *parked_below;    /* under idle_mu */
	bool is_parked;                 /* under idle_mu: on the stack of parked threads */
	int parked_cpu;                 /* under idle_mu: the processor that it was on */
	atomic_u32 wakers;              /* threads that are about to wake it */
	struct parking parking;
	atomic_u64 state;               /* THREAD_...; owner writes, and the monitor, from QUICK to BUSY */
	atomic_u32 is_waiting;          /* owner writes; monitor reads: parked inside a handler, as the library knows */
	atomic_u32 stuck;               /* attempts on this thread that nobody waits for any more */
	atomic_i64 number;              /* owner writes at its start; monitor reads: see faas__thread_number */
	atomic_u64 stays;               /* owner writes; monitor reads: how often it went on without another turn */
	uint32_t looks_in_vain;         /* owner only: in a row */
	int64_t gave_up_at;             /* owner only: when it last looked around in vain */
	uint64_t seen_word;             /* monitor only: slot 0 at the last tick */
	int64_t seen_cpu_ns;            /* monitor only */
	bool seen_blocked;              /* monitor only */
	on_own_line struct slot slots[THREAD_DEPTH]; /* one for each depth of nesting */
};

struct executor_ops {
	/* Memory for a thread, its `slots` and everything of the thread's own cleared; NULL: refused. */
	struct thread *(*thread_new)(struct executor *executor);
	void (*thread_free)(struct thread *thread);
	/* On the new thread, before its first and after its last turn. */
	void (*thread_begin)(struct thread *thread);
	void (*thread_end)(struct thread *thread);
	/* The thread or guest goes off the list, under threads_mu: takes no lock. */
	void (*thread_unlisted)(struct thread *thread);
	/* A claimed slot's attempt has passed its deadline. Runs no user code. */
	void (*expire)(struct thread *thread, void *attempt, int64_t now);
	/* Whether the thread has taken work ahead; and give it to others, its slot 0 being claimed. */
	bool (*is_ahead)(struct thread *thread);
	void (*hand_back)(struct thread *thread);
	/* Gives back memory that was not needed since the last call. */
	void (*trim)(struct executor *executor);
	/* `thread`, the last one, has left a detached executor: on that thread, which ends after it and frees itself. */
	void (*last_left)(struct thread *thread);
};

/* ---- The executor ------------------------------------------------------------------------------------------------ */

struct monitor {
	struct parking parking;
	struct os_thread handle;
	atomic_u32 is_stopping; /* who stops it writes */
	atomic_i64 wake_at;    /* monitor writes: until when it sleeps; TIME_NEVER also while it is awake */
	atomic_u32 is_ticking; /* monitor writes: it looks every TICK_NS; TICKING_CALMLY: every few */
	atomic_u32 wants_thread; /* 0: nobody does; else 2 and the processor of whoever does, or -1 */
	atomic_u32 is_relied_on; /* since the last look a turn became ready, and was left to a quick thread */
	int64_t trim_due;      /* monitor only; 0: none */
	uint32_t trims_left;   /* monitor only */
	uint32_t waited_ticks; /* monitor only: ticks in a row that saw turns waiting, */
	int64_t ticked_at;     /* the last of them at this time */
	uint32_t calm_ticks;   /* monitor only: looks that found nothing to do, since one that did */
	uint64_t seen_taken;   /* monitor only: turns taken, and times a thread went on without one, at the last look */
};

struct executor {
	struct executor_ops ops;
	const struct allocator *allocator;
	faas_clock *clock;        /* NULL: the system's */
	int32_t base_threads;     /* 0: manual mode */
	int32_t max_threads;
	int32_t max_overruns;
	int32_t max_looking;
	int32_t most_looking;     /* with those that wait to see another one look */
	int64_t spin_ns;
	uint32_t yields;          /* instead, on one core: times to give way before parking */
	uint32_t cpus;            /* processors there are for all threads */
	int64_t thread_idle_ns;
	size_t stack_bytes;
	char thread_name[16];
	/* -- fixed after init up to here -- */
	struct run_queue run_queue;
	struct mutex idle_mu;
	struct thread *parked;       /* under idle_mu: the one that parked last first */
	atomic_u32 parked_count;     /* writers under idle_mu */
	atomic_u64 attentive;        /* the sum over pool threads: see THREAD_IDLE */
	struct mutex threads_mu;
	struct cond threads_cond;    /* a thread has left */
	struct list threads;         /* under threads_mu: pool threads and guests */
	struct list left;            /* under threads_mu: pool threads that wait to be joined */
	atomic_u32 thread_count;     /* of the pool; writers under threads_mu */
	atomic_u32 threads_peak;
	atomic_u32 threads_started;
	atomic_u32 thread_failures;
	atomic_u32 starts_fail;      /* the last start has failed: further ones are left to the monitor */
	atomic_u32 stuck_threads;    /* threads with stuck attempts */
	atomic_u32 is_stopping;
	bool is_detached;            /* under threads_mu */
	struct mutex visit_mu;
	uint64_t visits;             /* under visit_mu */
	struct mutex timers_mu;
	struct heap timers;          /* under timers_mu */
	atomic_i64 shortest_ns;      /* the shortest deadline any attempt may have */
	on_own_line atomic_u32 looks; /* grows while a thread looks around, and is not kept from it */
	on_own_line atomic_i64 published_now; /* a recent time, 0: nobody keeps it fresh */
	struct monitor monitor;
};

struct executor_config {
	struct executor_ops ops;
	const struct allocator *allocator;
	faas_clock *clock;
	int32_t threads, max_threads, max_overruns, spin_us;
	uint32_t yields;
	int64_t thread_idle_ns;
	size_t stack_bytes;
	const char *thread_name;
	uint64_t draw_seed; /* 0: equal turns first come, first served */
};

/* Starts the monitor unless in manual mode. 0, or FAAS_ETHREAD and nothing made. */
int faas__executor_init(struct executor *executor, const struct executor_config *config);

/* Asks all threads to leave when they next look for work. */
void faas__executor_stop(struct executor *executor);
/*
 * After stop: waits for threads that run nothing, and until `until` (a time) for those that run something. The number of
 * threads that still do.
 */
int faas__executor_join(struct executor *executor, int64_t until);
/* Calls `visit` for every attempt that runs, its slot claimed; visit_mu is held, and no other lock. */
void faas__executor_visit(struct executor *executor, void (*visit)(void *attempt, void *arg), void *arg);
/* After join: the last thread to leave is to call ops->last_left. False: there is no thread left to do so. */
bool faas__executor_detach(struct executor *executor);
/* After join returned 0, or in last_left: stops the monitor; nothing fires or is started any more. */
void faas__executor_quiesce(struct executor *executor);
/* After quiesce. */
void faas__executor_deinit(struct executor *executor);

static inline bool faas__executor_is_manual(const struct executor *executor)
{
	return executor->base_threads == 0;
}

static inline int64_t faas__executor_now(const struct executor *executor)
{
	return faas__clock_now(executor->clock);
}

#define PUBLISH_NS 5000 /* emitters read the published time with each event; each new one has to be fetched by all */

/* Says what time it is, where that is not known well enough. While anybody does so, the monitor has to tick. */
static inline void faas__executor_publish(struct executor *executor, int64_t now)
{
	if (now - load_relaxed(&executor->published_now) >= PUBLISH_NS)
		store_seq_cst(&executor->published_now, now);
}

/* Guests: for callers that run turns. Who uses one makes it THREAD_BUSY meanwhile, else it is THREAD_PARKED. */
void faas__executor_add_guest(struct executor *executor, struct thread *thread);
void faas__executor_remove_guest(struct executor *executor, struct thread *thread);

/* 0, or FAAS_ETHREAD. For thread_new. */
int faas__thread_init(struct thread *thread, struct executor *executor, bool is_guest);
void faas__thread_deinit(struct thread *thread);

/* Takes one turn on a guest. False: there was nothing to do. */
bool faas__executor_step(struct executor *executor, struct thread *thread);

/* Whether as many threads are at work as there are processors: where they do not block, more would be in their way. */
static inline bool faas__executor_is_full(struct executor *executor)
{
	return load_relaxed(&executor->thread_count) >= load_relaxed(&executor->parked_count) + executor->cpus;
}

/* Threads that look around. */
static inline int64_t faas__executor_looking(struct executor *executor)
{
	return (int64_t)(load_seq_cst(&executor->attentive) & LOOKING_MASK);
}

/* A turn became ready: wakes or starts a thread unless one will come by soon. */
void faas__executor_wake(struct executor *executor);

/*
 * More is ready than those at work will have done soon: the same, unless one looks around or is on its way. `thread` calls,
 * and holds no lock; NULL: somebody does. True: one has been called.
 */
bool faas__executor_wake_more(struct executor *executor, struct thread *thread);

static inline bool faas__thread_is_idle(const struct thread *thread)
{
	return (load_seq_cst(&thread->state) & THREAD_IDLE) != 0;
}

/* Wakes one that is parked, not on the processor `cpu` (-1: on any). False: none is. */
bool faas__thread_wake_parked(struct executor *executor, int cpu);

/* For a pool thread that took a turn: this one may take long after all. */
void faas__thread_slow_down(struct thread *thread);

/* The same: it goes on with more of it, which may be quick or not by now. `wake`: others should come for what is ready. True:
   another has been called. */
bool faas__thread_stays(struct thread *thread, const struct turn *turn, bool wake);

/* The thread's handler waits inside the library; the pool may add a thread meanwhile. */
void faas__thread_wait_begin(struct thread *thread);
void faas__thread_wait_end(struct thread *thread);

/* An attempt on this thread was given up while it runs; and has returned at last. */
void faas__thread_stuck_begin(struct thread *thread);
void faas__thread_stuck_end(struct thread *thread);

/* ---- The monitor ------------------------------------------------------------------------------------------------- */

#define TICK_NS 1000000

int faas__monitor_start(struct executor *executor);
void faas__monitor_stop(struct executor *executor);
void faas__monitor_poke(struct executor *executor);

/* Sees to it that the monitor looks again before `due` (a time), or within a tick. Cheap when it will anyway. */
static inline void faas__monitor_before(struct executor *executor, int64_t due)
{
	if (unlikely(due < load_seq_cst(&executor->monitor.wake_at)))
		faas__monitor_poke(executor);
}

#define TICKING 1u
#define TICKING_CALMLY 2u

static inline void faas__monitor_tick(struct executor *executor)
{
	if (unlikely(load_seq_cst(&executor->monitor.is_ticking) == 0))
		faas__monitor_poke(executor);
}

/* The same for what may have to be noticed soon. */
static inline void faas__monitor_tick_soon(struct executor *executor)
{
	if (unlikely(load_seq_cst(&executor->monitor.is_ticking) != TICKING))
		faas__monitor_poke(executor);
}

/* An attempt took so long that it may have been blocked: calm looks are too far apart to see anybody in one attempt twice. */
static inline void faas__monitor_calm_no_more(struct executor *executor)
{
	if (unlikely(load_seq_cst(&executor->monitor.is_ticking) == TICKING_CALMLY))
		faas__monitor_poke(executor);
}

/* What the monitor does at `now`, for manual mode and for the monitor itself: due deadlines and timers. */
void faas__executor_fire(struct executor *executor, int64_t now);
/* The earliest deadline of what runs, or timer; TIME_NEVER: none. */
int64_t faas__executor_next_due(struct executor *executor);

/*
 * Starts a thread, if there are fewer than `most`, on another processor than `cpu` (below 0: unknown). No lock is held. False:
 * there is none more; who saw this one on its way relied on it, and the monitor is to look.
 */
bool faas__thread_start_one(struct executor *executor, uint32_t most, int cpu);
/* Joins threads that have left. For the monitor and for join. */
void faas__threads_reap(struct executor *executor);

#endif
